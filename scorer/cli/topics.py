"""`scorer topics`: create missing topics, check their settings, and print the required ACLs."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from schemas.rights import Role
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of, settings_of

app = typer.Typer(no_args_is_help=True, help="Create and check the topics, and print the ACLs they need.")


@app.command()
def ensure(
    partitions: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000,
            help="Partitions of the applications and decisions topics; the maximum number of active workers.",
        ),
    ] = 6,
    replication: Annotated[int, typer.Option(min=1, max=10, help="Replication factor; use 3 in production.")] = 1,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create missing topics with the required settings; existing topics are not changed.

    Examples:
    ```
    scorer topics ensure
    scorer topics ensure --partitions 12 --replication 3
    ```
    """
    from scorer.operate import topics

    settings = broker_settings_of(config, bootstrap_servers, assignments)
    created = topics.ensure(settings, partitions, replication)
    if as_json:
        typer.echo(json.dumps({"created": created}))
    else:
        typer.echo(f"created: {', '.join(created)}" if created else "nothing to create: all topics exist")


@app.command()
def check(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the topics with the required settings; exit 1 if any differs.

    Examples:
    ```
    scorer topics check
    scorer topics check --json | jq .differences
    ```
    """
    from scorer.operate import topics

    settings = broker_settings_of(config, bootstrap_servers, assignments)
    differences, remarks = topics.check(settings), topics.small_batch_remarks(settings)
    if as_json:
        typer.echo(json.dumps({"differences": differences, "remarks": remarks}))
    else:
        typer.echo("\n".join([*differences, *remarks]) or "all topics have the required settings")
    if differences:
        raise typer.Exit(1)


@app.command()
def rights(
    roles: Annotated[list[Role], typer.Argument(help="Roles: what the principal runs or does.", show_default=False)],
    principal: Annotated[
        str | None,
        typer.Option(help="Principal to grant them to (default: User: and sasl.username).", show_default=False),
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the `kafka-acls.sh` commands that grant the least privileges, for the names in the settings.

    No broker is contacted and nothing is changed. Several roles may be combined.

    Examples:
    ```
    scorer topics rights worker --principal User:scorer
    scorer topics rights deploy dlq --principal User:ana
    ```
    """
    from schemas.rights import grant, principal_of
    from scorer.stream.rights import needs_of

    settings = settings_of(config, bootstrap_servers, assignments).settings
    needed = dict.fromkeys(need.right for role in roles for need in needs_of(role, settings))
    if as_json:
        typer.echo(json.dumps([asdict(right) for right in needed]))
        return
    for command in grant(needed, principal or principal_of(settings.kafka), settings.bootstrap_servers):
        typer.echo(command)
