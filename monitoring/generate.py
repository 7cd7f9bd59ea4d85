"""Writes the rules, the dashboards and the docs' table of alerts, and says with `--check` what is stale."""

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

_GIVEN_UP: Final = frozenset({"id", "auto", "auto_count", "auto_min"})
"""What the SDK, made for Grafana 10, writes of every variable, and later ones have no place for."""


def generate(runbooks: str = rules.RUNBOOKS) -> dict[str, Files]:
    """Everything that is generated in folders of its own: by folder, contents by path; the same on every run.

    Args:
        runbooks: where the alerts' runbooks are: a folder or a URL.
    """
    written = {
        "recording.yml": _MADE.encode() + dump_yaml(rules.recording_rules()),
        "alerts.yml": _MADE.encode() + dump_yaml(rules.alerting_rules(runbooks)),
    }
    boards = {f"{make.__name__}.json": _dump(make()) for make in (overview, worker, model)}
    # Helm reads no file outside its chart.
    return {
        "monitoring/prometheus/rules": written,
        "monitoring/grafana/dashboards": boards,
        "helm/files/rules": written,
        "helm/files/dashboards": boards,
    }


def _dump(dashboard: Dashboard) -> bytes:
    written = json.loads(JSONEncoder().encode(dashboard))
    written.pop("style", None)  # Grafana 10's; the theme is the viewer's since
    for variable in written["templating"]["list"]:
        for name in _GIVEN_UP & variable.keys():
            del variable[name]
    return (json.dumps(written, indent=2, ensure_ascii=False) + "\n").encode()


def with_alerts(page: str) -> str:
    """A page with its table of alerts as it would be made now, between the marks that stand for it."""
    before, begin, rest = page.partition("<!-- alerts: made by `make fresh` -->\n")
    _, end, after = rest.partition("<!-- end of alerts -->")
    assert begin, "the page has no marks for its alerts"
    assert end, "the page has no marks for its alerts"
    return before + begin + "\n".join(_alerts_table()) + "\n" + end + after


def _alerts_table() -> list[str]:
    return [
        "| alert | severity | when | what it means |",
        "|---|---|---|---|",
        *(
            f"| [{alert.name}](runbooks/{alert.runbook()}) | {alert.severity} | {_when(alert)} | {alert.summary} |"
            for group in rules.alerts().values()
            for alert in group
        ),
    ]


def _when(alert: rules.Alert) -> str:
    return "at once" if alert.pending == "0m" else f"after {alert.pending}"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is stale")
    parser.add_argument("--runbooks", default=rules.RUNBOOKS, help="where the runbooks are: a folder or a URL")
    given = parser.parse_args(arguments)
    made, page = generate(given.runbooks), root / PAGE
    if not given.check:
        for folder, files in made.items():
            write(root / folder, files)
        page.write_text(with_alerts(page.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    return report_stale(stale_in(root, made))


def stale_in(root: Path, made: Mapping[str, Files]) -> list[str]:
    """What is not as it would be made now, a line each."""
    stale = [f"{folder}/{line}" for folder, files in made.items() for line in find_stale(root / folder, files)]
    told = (root / PAGE).read_text(encoding="utf-8")
    return stale if told == with_alerts(told) else [*stale, f"{PAGE}: its table is not as it would be made now"]


if __name__ == "__main__":
    sys.exit(main())
