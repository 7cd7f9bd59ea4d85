"""`scorer config` and `scorer doctor`: the settings in force, and what is wrong with this set-up."""

import json
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, settings_of
from scorer.cli.worker import DEFAULT_BUNDLE
from scorer.errors import ScorerError

if TYPE_CHECKING:
    from scorer.stream.diagnose import Finding

_MARKS: Final = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}


def config(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each setting, its value and where it came from; secrets are masked.

    Flags go over SCORER_* in the environment, that over scorer.toml, that over the defaults.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = settings_of(config, bootstrap_servers, assignments).rows()
    if as_json:
        typer.echo(json.dumps({name: {"value": value, "from": origin} for name, value, origin in rows}, indent=2))
        return
    table = Table(box=box.SIMPLE)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value, origin in rows:
        table.add_row(name, value or "[dim]not set[/dim]", origin if origin != "default" else "[dim]default[/dim]")
    Console().print(table)


def doctor(
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="REF", help="The bundle to look at.", autocompletion=complete_reference)
    ] = DEFAULT_BUNDLE,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask what is wrong with this set-up, and how to mend it; exit 1 if anything is.

    It asks about the settings, the bundle, the broker, the topics, the group, the permissions and the clock. It changes
    nothing and disturbs no worker.
    """
    from rich.console import Console
    from rich.markup import escape

    from scorer.stream.diagnose import Finding, diagnose

    loaded = settings_of(config, bootstrap_servers, assignments)
    changed = sum(origin != "default" for origin in loaded.origins.values())
    first = [
        Finding("settings", "ok", f"sound; {changed} not at their defaults (`scorer config` lists them)"),
        _look_at_bundle(bundle, loaded.settings.store),
    ]
    console = Console()
    findings: list[Finding] = []
    for finding in chain(first, diagnose(loaded.settings)):
        findings.append(finding)
        if not as_json:
            mark = f"{_MARKS[finding.state]} [bold]{finding.topic:<11}[/bold]"
            console.print(f" {mark} {escape(finding.text)}", highlight=False, soft_wrap=True)
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        console.print(f"\n{wrong} to mend" if wrong else "\nall is well")
    if wrong:
        raise typer.Exit(1)


def _look_at_bundle(reference: str, store: str | None) -> "Finding":
    from scorer.bundle.store import BundleStore
    from scorer.stream.diagnose import Finding

    try:
        bundle = BundleStore(store).open(reference).reference
    except ScorerError as error:
        return Finding("bundle", "wrong", str(error))
    return Finding("bundle", "ok", f"{bundle.short} loads and keeps its promises")
