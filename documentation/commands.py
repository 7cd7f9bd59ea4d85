"""The pages of the two commands: every subcommand with its help and its options, from Typer's own tree."""

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

_OPTIONS_LAST: Final = "\n\n*Arguments and options:*\n"


def scorer_page() -> str:
    """The page of `scorer`."""
    from scorer.cli.root import app

    return _page("scorer", app)


def producer_page() -> str:
    """The page of `producer`."""
    from producer.cli import app

    return _page("producer", app)


def _page(name: str, app: typer.Typer) -> str:
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name=name)
    return "\n\n".join([f"# The command {name}", str(command.help), *_below(command, context, depth=2)])


def _below(group: Any, context: Any, depth: int) -> Iterator[str]:
    """The sections of a group's commands, in the order in which its own help lists them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        own = typer.Context(command, info_name=name, parent=context)
        yield f"{'#' * depth} {own.command_path}"
        if hasattr(command, "list_commands"):
            yield str(command.help)
            yield from _below(command, own, depth + 1)
        else:
            yield _described(command, own)


def _described(command: Any, context: Any) -> str:
    usage = f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    records = [p.get_help_record(context) for p in command.params if not p.hidden]
    return "\n\n".join([usage, str(command.help), "\n".join(_parameter(*record) for record in records if record)])


def _parameter(names: str, text: str) -> str:
    """An argument or option; what Typer says of its default and limits is set apart."""
    return f"- `{names}`: " + re.sub(r"  \[(.+)\]$", r" *(\1)*", text)
