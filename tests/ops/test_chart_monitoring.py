"""What the chart gives to Prometheus and to Grafana, and what it says to whoever installs it."""

import json
import shutil
from pathlib import Path

import yaml

from monitoring.rules import RUNBOOKS
from tests.ops.chart import CHART, of_kind, render, values_named


def test_rules_and_dashboards_are_the_generated_ones() -> None:
    """Prometheus gets each rule as generated, and Grafana each dashboard to the byte, but for the links to runbooks."""
    resources = render(values_named("production"))
    rules = {r["metadata"]["name"].removeprefix("scorer-"): r["spec"] for r in of_kind(resources, "PrometheusRule")}
    files = sorted((CHART / "files" / "rules").glob("*.yml"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    url = "https://scorer.example.com/runbooks"
    assert rules == {name: yaml.safe_load(text.replace(RUNBOOKS, url)) for name, text in texts.items()}
    assert any("{{ $" in text for text in texts.values()), "nothing to leave untouched"
    boards = {name: text for r in of_kind(resources, "ConfigMap") for name, text in r["data"].items()}
    files = sorted((CHART / "files" / "dashboards").glob("*.json"))
    assert boards == {
        f"scorer-{path.name}": path.read_text(encoding="utf-8").replace(RUNBOOKS, url).rstrip("\n") for path in files
    }
    jobs = {r["metadata"]["name"]: r["spec"]["endpoints"] for r in of_kind(resources, "ServiceMonitor")}
    assert {name: [endpoint["relabelings"] for endpoint in endpoints] for name, endpoints in jobs.items()} == {
        "scorer": [[{"targetLabel": "job", "replacement": "scorer-worker"}]],
        "scorer-console": [[{"targetLabel": "job", "replacement": "scorer-console"}]],
    }


def test_no_link_to_a_runbook_is_dead() -> None:
    """Where the chart knows no URL of the runbooks, alerts and dashboards have no link; they keep all the rest."""
    resources = render(values_named("production"), "--set", "console.ingress.enabled=false")
    groups = [group for r in of_kind(resources, "PrometheusRule") for group in r["spec"]["groups"]]
    annotations = [rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert annotations
    assert all(notes.keys() == {"summary", "description"} for notes in annotations)
    for board in of_kind(resources, "ConfigMap"):
        ((name, text),) = board["data"].items()
        generated = json.loads((CHART / "files" / "dashboards" / name.removeprefix("scorer-")).read_text("utf-8"))
        for panel in generated["panels"]:
            for override in panel.get("fieldConfig", {}).get("overrides", ()):
                for link in (part for part in override["properties"] if part["id"] == "links"):
                    link["value"] = []
        assert json.loads(text) == generated


def test_notes_tell_what_to_do_next(tmp_path: Path) -> None:
    """The notes name the workers' workload as it is, and warn where KEDA cannot find a broker by half a name."""
    chart = Path(shutil.copytree(CHART, tmp_path / "chart"))
    notes = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    # Helm shows the notes of an install alone: here they are part of a resource.
    (chart / "templates" / "_notes.tpl").write_text(f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}', encoding="utf-8")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\ntext: {{ include "notes" . | toJson }}\n', encoding="utf-8"
    )

    def notes_of(values: str, *options: str) -> str:
        (notes,) = of_kind(render(values_named(values), *options, chart=chart), "Notes")
        return str(notes["text"])

    assert "exec deploy/scorer -- scorer deploy" in notes_of("minimal")
    assert "exec statefulset/scorer -- scorer deploy" in notes_of("static-membership")
    assert "Workers: 2 to 12, by KEDA" in notes_of("production")
    assert "Warning" not in notes_of("production")
    assert "KEDA resolves kafka:9092 from its own namespace" in notes_of(
        "minimal", "--set", "autoscaling.keda.enabled=true"
    )
    assert "The workers are pinned to credit-risk:1.1.0" in notes_of("off")
    assert "exec --stdin --tty deploy/scorer -- producer try" in notes_of("minimal")
    assert "https://scorer.example.com/" in notes_of("production")
    without = notes_of("production", "--set", "console.ingress.enabled=false")
    assert "port-forward service/scorer-console 8080:80" in without
    assert "Warning: alerts have no link to their runbooks" in without
