"""Reference pages of the two commands: all subcommands with help and options, from Typer's command tree."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer

from documentation.fields import plain, table

_ABOUT_OPTIONS: Final = re.compile(r"  \[(.+)\]$", re.DOTALL)
"""What a help record says about an option after its description."""
_WITHOUT_CHOICES: Final = re.compile(r" <(?:str|int|float|path|bool)(?: range)?>")


def scorer_pages() -> Mapping[str, str]:
    """Returns the pages of `scorer` by name: an overview, one per group, and one per panel for other commands."""
    from scorer.cli.root import app

    command, context = _root("scorer", app)
    sections: dict[str, list[str]] = {}
    commands: list[tuple[str, str]] = []
    for child, child_context in _children(command, context):
        if _is_group(child):
            page = f"scorer-{child.name}"
            sections[page] = [f"# {child_context.command_path}", child.help, *_sections(child, child_context)]
            commands += [_row(page, *pair) for pair in _children(child, child_context)]
        else:
            page = f"scorer-{child.rich_help_panel.lower()}"
            sections.setdefault(page, [f"# Commands: {child.rich_help_panel}"]).append(_section(child, child_context))
            commands.append(_row(page, child, child_context))
    overview = [*_head("scorer", command), "## Commands", table(("command", "purpose"), commands)]
    return {name: "\n\n".join(parts) for name, parts in {"scorer": overview, **sections}.items()}


def producer_page() -> str:
    """Returns the page of `producer`."""
    from producer.cli import app

    command, context = _root("producer", app)
    return "\n\n".join([*_head("producer", command), *_sections(command, context)])


def _root(name: str, app: typer.Typer) -> tuple[Any, Any]:
    command = typer.main.get_command(app)
    return command, typer.Context(command, info_name=name)


def _head(name: str, command: Any) -> list[str]:
    return [f"# The command {name}", str(command.help)]


def _children(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the commands of a group with their contexts, in the order of its help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            yield command, typer.Context(command, info_name=name, parent=context)


def _is_group(command: Any) -> bool:
    return hasattr(command, "list_commands")


def _row(page: str, command: Any, context: Any) -> tuple[str, str]:
    """A command in the table of all commands: with a link, and the first sentence of its help."""
    anchor = context.command_path.replace(" ", "-")
    return f"[`{context.command_path}`]({page}.md#{anchor})", plain(command.get_short_help_str(limit=300))


def _sections(group: Any, context: Any) -> Iterator[str]:
    return (_section(*pair) for pair in _children(group, context))


def _section(command: Any, context: Any) -> str:
    usage = f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    records = [p.get_help_record(context) for p in command.params if not p.hidden]
    options = table(("option", "description", "default"), (_option(*record) for record in records if record))
    return "\n\n".join([f"## {context.command_path}", usage, str(command.help), options])


def _option(names: str, text: str) -> tuple[str, str, str]:
    """A row about an argument or option: its names, its description with limits, and its default."""
    about = _ABOUT_OPTIONS.search(text)
    facts = about[1].split("; ") if about else []
    limits = [_limit(fact) for fact in facts if "x" in fact and re.match(r"[-\d.x<>=]+$", fact)]
    default = next((f"`{f.removeprefix('default: ')}`" for f in facts if f.startswith("default: ")), "")
    description = plain(_ABOUT_OPTIONS.sub("", text).strip())
    return (
        f"`{_WITHOUT_CHOICES.sub('', names)}`",
        " ".join([description, *(f"*({limit})*" for limit in limits)]),
        "required" if "required" in facts else default,
    )


def _limit(fact: str) -> str:
    """A range in words: `1<=x<=64` is "1 to 64", `x>=1` is "at least 1"."""
    if between := re.fullmatch(r"(.+)<=x<=(.+)", fact):
        return f"{between[1]} to {between[2]}"
    return fact.replace("x>=", "at least ").replace("x<=", "at most ")
