"""`scorer offsets`: show the consumer group's offsets, and reset invalid ones."""

import json
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.operate.offsets import Change, GroupOffsets

app = typer.Typer(no_args_is_help=True, help="Show the offsets of the consumer group, and reset invalid ones.")


@app.command()
def show(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the committed offset, the existing offsets and the lag of each partition; exit 1 if an offset is invalid.

    Examples:
    ```
    scorer offsets show
    scorer offsets show --set group_id=scorer-replay-1
    ```
    """
    from scorer.operate.offsets import OffsetsTool

    settings = broker_settings_of(config, bootstrap_servers, assignments)
    with closing(OffsetsTool(settings)) as tool:
        offsets = tool.read()
    if as_json:
        typer.echo(json.dumps(_as_json(offsets)))
    else:
        _print(settings.group_id, offsets)
    if offsets.recreated or any(partition.problem for partition in offsets.partitions):
        raise typer.Exit(1)


@app.command()
def reset(
    partitions: Annotated[
        list[int] | None, typer.Option("--partition", "-p", min=0, help="Only this partition; may be repeated.")
    ] = None,
    to_offset: Annotated[
        int | None,
        typer.Option(
            min=0, help="Offset to continue from, also where the committed one is valid; needs one --partition."
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until the group has no members; 0 does not wait.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reset invalid offsets of the group to the oldest existing record.

    An offset is invalid if retention has deleted its record, or if the topic was deleted and created again. Other
    offsets are not changed. It also accepts output topics, or a deployments topic, that were recreated. Stop the
    workers first: brokers only change the offsets of a group without members.

    Examples:
    ```
    scorer offsets reset --dry-run
    scorer offsets reset --partition 3
    ```
    """
    from scorer.operate.offsets import OffsetsTool

    if to_offset is not None and len(partitions or ()) != 1:
        raise MisuseError("--to-offset needs exactly one --partition")
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    with closing(OffsetsTool(settings)) as tool:
        recreated = tool.read().recreated
        changes = tool.plan(partitions or (), to_offset)
        if (changes or recreated) and not dry_run:
            tool.reset(changes, wait)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "recreated": recreated, "changes": [_change(c) for c in changes]}))
        return
    for topic in recreated:
        typer.echo(f"topic {topic} was recreated: {'would be accepted' if dry_run else 'accepted'}")
    for change in changes:
        before = change.before if change.before >= 0 else "none"
        reason = f" ({change.problem})" if change.problem else ""
        typer.echo(f"partition {change.partition}: offset {before} -> {change.after}{reason}")
    if not changes and not recreated:
        typer.echo("nothing to reset: all offsets of the group are valid")


def _print(group_id: str, offsets: "GroupOffsets") -> None:
    typer.echo(f"group {group_id}")
    row = "{:>9}  {:>12}  {:>12}  {:>12}  {:>10}  {}"
    typer.echo(row.format("partition", "committed", "first record", "end", "lag", "problem"))
    for p in offsets.partitions:
        committed = p.committed if p.committed >= 0 else "none"
        typer.echo(row.format(p.partition, committed, p.first, p.end, p.lag, p.problem or "none"))
    for topic in offsets.recreated:
        typer.echo(f"topic {topic} was recreated after the group processed it: accept it with `scorer offsets reset`")


def _as_json(offsets: "GroupOffsets") -> dict[str, Any]:
    return {
        "recreated": offsets.recreated,
        "partitions": [
            {
                "partition": p.partition,
                "committed": p.committed if p.committed >= 0 else None,
                "first": p.first,
                "end": p.end,
                "lag": p.lag,
                "bundle": p.metadata.bundle or None,
                "load_failure": p.metadata.refused or None,
                "problem": p.problem or None,
            }
            for p in offsets.partitions
        ],
    }


def _change(change: "Change") -> dict[str, Any]:
    return {
        "partition": change.partition,
        "before": change.before if change.before >= 0 else None,
        "after": change.after,
        "problem": change.problem or None,
    }
