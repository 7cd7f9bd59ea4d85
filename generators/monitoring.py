"""The monitoring as files: Prometheus rules, Grafana dashboards, runbooks, and the documentation's table of alerts."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from generators.files import dump_yaml
from monitoring import recording, rules
from monitoring.model import model
from monitoring.overview import overview
from monitoring.worker import worker

# Helm cannot read files outside its chart.
_RULES: Final = ("monitoring/prometheus/rules", "helm/files/rules")
_DASHBOARDS: Final = ("monitoring/grafana/dashboards", "helm/files/dashboards")
_RUNBOOKS: Final = "docs/runbooks"
_SERVED_RUNBOOKS: Final = "scorer/console/runbooks"
"""The console serves the runbooks, and a package has no files outside it."""
FOLDERS: Final = (*_RULES, *_DASHBOARDS, _SERVED_RUNBOOKS)
PAGE: Final = "docs/monitoring.md"
_MADE: Final = "# Made by `make fresh` from the folder monitoring.\n"

_REMOVED_PROPERTIES: Final = frozenset({"id", "auto", "auto_count", "auto_min"})
"""Variable properties that the SDK, made for Grafana 10, writes and that later versions do not have."""


def generate(root: Path, runbooks: str) -> dict[str, bytes]:
    """Generates all files: contents by path, the same on every run.

    Args:
        root: the repository, which has the runbooks, and the page with the table of alerts.
        runbooks: URL below which each runbook has the name of its alert.
    """
    written = {
        "recording.yml": _MADE.encode() + dump_yaml(recording.recording_rules()),
        "alerts.yml": _MADE.encode() + dump_yaml(rules.alerting_rules(runbooks)),
    }
    boards = {"overview.json": _dump(overview(runbooks)), "worker.json": _dump(worker()), "model.json": _dump(model())}
    return {
        **{f"{folder}/{name}": content for folder in _RULES for name, content in written.items()},
        **{f"{folder}/{name}": content for folder in _DASHBOARDS for name, content in boards.items()},
        **{f"{_SERVED_RUNBOOKS}/{path.name}": path.read_bytes() for path in (root / _RUNBOOKS).glob("*.md")},
        PAGE: _with_alerts((root / PAGE).read_text(encoding="utf-8")).encode(),
    }


def _dump(dashboard: Dashboard) -> bytes:
    written = json.loads(JSONEncoder().encode(dashboard))
    written.pop("style", None)  # of Grafana 10; in later versions the user chooses the theme
    for variable in written["templating"]["list"]:
        for name in _REMOVED_PROPERTIES & variable.keys():
            del variable[name]
    return (json.dumps(written, indent=2, ensure_ascii=False) + "\n").encode()


def _with_alerts(page: str) -> str:
    """Returns a page with the current table of alerts between its markers."""
    before, begin, remainder = page.partition("<!-- alerts: made by `make fresh` -->\n")
    _, end, after = remainder.partition("<!-- end of alerts -->")
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
