"""`scorer config` and `scorer doctor`: show the effective settings, and diagnose the installation."""

import json
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.printable import printable
from scorer.cli.completion import complete_reference
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, ServersOption, SetOption, settings_of
from scorer.cli.tables import output_console, print_tables

if TYPE_CHECKING:
    from scorer.core.score import Bundle

_MARKS: Final = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}


def config(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each setting, its value and its source, and which settings file was looked for; secrets are masked.

    Precedence, highest first: flags, SCORER_* environment variables, scorer.toml, defaults.

    Examples:
    ```
    scorer config
    scorer config --set linger_ms=5
    scorer config --json | jq .bootstrap_servers
    ```
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = settings_of(config, bootstrap_servers, assignments).rows()
    if as_json:
        typer.echo(json.dumps({name: {"value": value, "from": origin} for name, value, origin in rows}, indent=2))
        return
    typer.echo(_describe_file(config))
    table = Table(box=box.SIMPLE)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value, origin in rows:
        cells = name, Text(value) if value else Text("not set", "dim"), Text(origin, "dim" * (origin == "default"))
        table.add_row(*cells)  # texts, because a value in brackets, such as an address, would be taken for markup
    print_tables(table)


def _describe_file(named: Path | None) -> str:
    """Which settings file was looked for, and whether it exists."""
    from schemas.settings import FILE_NAME

    path = named or Path(FILE_NAME)
    missing = "" if path.exists() else " (not found, so no setting is from a file)"
    with suppress(FileNotFoundError):  # the current folder was deleted
        path = path.absolute()
    return printable(f"settings file: {path}{missing}")


def doctor(
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="REF",
            help="Bundle that the workers are pinned to; default: the champion.",
            autocompletion=complete_reference,
        ),
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diagnose this installation and suggest fixes; exit 1 if there is a problem.

    It checks the settings, the brokers, the topics and their replicas, the deployed bundles, the workers, the
    permissions and the clock, and lists the errors of `scorer bundle lint` on the deployed bundles as warnings.
    It is read-only and does not disturb the workers. A warning may be intended, and does not change the exit code.

    Examples:
    ```
    scorer doctor
    scorer doctor -b kafka-1:9092 --json
    ```
    """
    from rich.markup import escape

    from scorer.operate.diagnose import diagnose
    from scorer.operate.finding import Finding

    loaded = settings_of(config, bootstrap_servers, assignments)
    changed = sum(origin != "default" for origin in loaded.origins.values())
    first = Finding("settings", "ok", f"valid; values other than the default: {changed} (see `scorer config`)")
    console = output_console()
    findings: list[Finding] = []
    for finding in chain([first], diagnose(loaded.settings, bundle, DEFAULT_BUNDLE, _find_errors)):
        findings.append(finding)
        if not as_json:
            mark = f"{_MARKS[finding.state]} [bold]{finding.topic:<11}[/bold]"
            console.print(f" {mark} {escape(printable(finding.text))}", highlight=False, soft_wrap=True)
    counts = Counter(finding.state for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        console.print(f"\n{_verdict(counts['wrong'], counts['warning'])}")
    if counts["wrong"]:
        raise typer.Exit(1)


def _find_errors(folder: "Path", bundle: "Bundle") -> list[str]:
    """The errors of a bundle's review."""
    from scorer.author.lint import lint_bundle

    findings = lint_bundle(folder, opened=bundle)
    return [f"{finding.where}: {finding.what}" for finding in findings if finding.severity == "error"]


def _verdict(problems: int, warnings: int) -> str:
    """The summary line: the number of problems and of warnings."""
    parts = [f"{problems} problem{'s' * (problems != 1)}" if problems else "no problems found"]
    if warnings:
        parts.append(f"{warnings} warning{'s' * (warnings != 1)}")
    return ", ".join(parts)
