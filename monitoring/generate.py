"""Writes the rules, the dashboards and the docs' table of alerts; `--check` reports stale files instead."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import rules
from monitoring.model import model
from monitoring.overview import overview
from monitoring.worker import worker
from schemas.generate import Files, dump_yaml, find_stale, report_stale, write

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = "docs/monitoring.md"
_MADE: Final = "# Made by `make fresh` from monitoring/rules.py.\n"

_REMOVED_PROPERTIES: Final = frozenset({"id", "auto", "auto_count", "auto_min"})
"""Variable properties that the SDK, made for Grafana 10, writes and that later versions do not have."""


def generate(runbooks: str = rules.RUNBOOKS) -> dict[str, Files]:
    """Generates all files: contents by path, per folder. The result is the same on every run.

    Args:
        runbooks: location of the alerts' runbooks: a folder or a URL.
    """
    written = {
        "recording.yml": _MADE.encode() + dump_yaml(rules.recording_rules()),
        "alerts.yml": _MADE.encode() + dump_yaml(rules.alerting_rules(runbooks)),
    }
    boards = {f"{make.__name__}.json": _dump(make()) for make in (overview, worker, model)}
    # Helm cannot read files outside its chart.
    return {
        "monitoring/prometheus/rules": written,
        "monitoring/grafana/dashboards": boards,
        "helm/files/rules": written,
        "helm/files/dashboards": boards,
    }


def _dump(dashboard: Dashboard) -> bytes:
    written = json.loads(JSONEncoder().encode(dashboard))
    written.pop("style", None)  # of Grafana 10; in later versions the user chooses the theme
    for variable in written["templating"]["list"]:
        for name in _REMOVED_PROPERTIES & variable.keys():
            del variable[name]
    return (json.dumps(written, indent=2, ensure_ascii=False) + "\n").encode()


def with_alerts(page: str) -> str:
    """Returns a page with the current table of alerts between its markers."""
    before, begin, rest = page.partition("<!-- alerts: made by `make fresh` -->\n")
    _, end, after = rest.partition("<!-- end of alerts -->")
    assert begin, "the page has no markers for its table of alerts"
    assert end, "the page has no markers for its table of alerts"
    return before + begin + "\n".join(_alerts_table()) + "\n" + end + after


def _alerts_table() -> list[str]:
    return [
        "| alert | severity | fires | meaning |",
        "|---|---|---|---|",
        *(
            f"| [{alert.name}](runbooks/{alert.runbook()}) | {alert.severity} | {_when(alert)} | {alert.summary} |"
            for group in rules.alerts().values()
            for alert in group
        ),
    ]


def _when(alert: rules.Alert) -> str:
    return "immediately" if alert.pending == "0m" else f"after {alert.pending}"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; list stale files, and exit with 1 if any")
    parser.add_argument("--runbooks", default=rules.RUNBOOKS, help="location of the runbooks: a folder or a URL")
    options = parser.parse_args(arguments)
    made, page = generate(options.runbooks), root / PAGE
    if not options.check:
        for folder, files in made.items():
            write(root / folder, files)
        page.write_text(with_alerts(page.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    return report_stale(stale_in(root, made))


def stale_in(root: Path, made: Mapping[str, Files]) -> list[str]:
    """Returns the files that differ from what would be generated now, one line per file."""
    stale = [f"{folder}/{line}" for folder, files in made.items() for line in find_stale(root / folder, files)]
    text = (root / PAGE).read_text(encoding="utf-8")
    return stale if text == with_alerts(text) else [*stale, f"{PAGE}: its table of alerts is stale"]


if __name__ == "__main__":
    sys.exit(main())
