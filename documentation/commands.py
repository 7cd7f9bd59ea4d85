"""Reference pages of the two commands: all subcommands with help and options, from Typer's command tree."""

import re
from collections.abc import Iterator
from typing import Any

import typer


def scorer_page() -> str:
    """Returns the page of `scorer`."""
    from scorer.cli.root import app

    return _page("scorer", app)


def producer_page() -> str:
    """Returns the page of `producer`."""
    from producer.cli import app

    return _page("producer", app)


def _page(name: str, app: typer.Typer) -> str:
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name=name)
    return "\n\n".join([f"# The command {name}", str(command.help), *_sections(command, context, depth=2)])


def _sections(group: Any, context: Any, depth: int) -> Iterator[str]:
    """Yields the sections of a group's commands, in the order of its help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        command_context = typer.Context(command, info_name=name, parent=context)
        yield f"{'#' * depth} {command_context.command_path}"
        if hasattr(command, "list_commands"):
            yield str(command.help)
            yield from _sections(command, command_context, depth + 1)
        else:
            yield _command(command, command_context)


def _command(command: Any, context: Any) -> str:
    usage = f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    records = [p.get_help_record(context) for p in command.params if not p.hidden]
    return "\n\n".join([usage, str(command.help), "\n".join(_parameter(*record) for record in records if record)])


def _parameter(names: str, text: str) -> str:
    """Formats an argument or option; its default and limits follow in italics."""
    return f"- `{names}`: " + re.sub(r"  \[(.+)\]$", r" *(\1)*", text)
