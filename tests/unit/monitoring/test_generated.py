"""What is generated of the monitoring is complete, and names nothing that is not there."""

import re
from pathlib import Path

import pytest
import yaml

from generators.__main__ import ROOT
from monitoring.promql import series
from monitoring.rules import RUNBOOKS as RUNBOOKS_URL
from monitoring.rules import alerts as alerts_by_group
from scorer.monitor.families import CONSOLE_METRICS, LATENCY, METRICS, REJECTS, REPLAY_METRICS
from tests.unit.monitoring import queries

RUNBOOKS = ROOT / "docs" / "runbooks"
PROMTOOL_TESTS = sorted((ROOT / "monitoring" / "prometheus" / "tests").glob("*.yml"))
# What Prometheus itself has of every target, prometheus_client of every process, and Alertmanager of itself.
FOREIGN = {
    "up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds",
    "alertmanager_integrations", "alertmanager_notifications_failed_total", "alertmanager_receivers",
}  # fmt: skip
PARTS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
DECLARED = {
    f"{metric.name}{part}": metric
    for metric in (*METRICS, *REPLAY_METRICS, *CONSOLE_METRICS)
    for part in PARTS[metric.kind]
}


def alerts() -> list[str]:
    """The names of the alerts."""
    return [rule["alert"] for rule in queries.rules("alerts.yml")]


def test_queries_name_only_declared_metrics() -> None:
    """A query of a dashboard or rule reads declared metrics, recorded series, and what each target has anyway."""
    recorded = {rule["record"] for rule in queries.rules("recording.yml")}
    known = DECLARED.keys() | recorded | FOREIGN
    all_queries = [*queries.of_panels(), *queries.of_variables(), *queries.of_rules()]
    assert len(all_queries) > 60
    unknown = {query.where: names for query in all_queries if (names := queries.metrics_in(query.expression) - known)}
    assert unknown == {}


def test_every_declared_metric_is_looked_at() -> None:
    """No metric is declared that neither a dashboard nor a rule reads."""
    read = {
        name for query in (*queries.of_panels(), *queries.of_rules()) for name in queries.metrics_in(query.expression)
    }
    looked_at = {DECLARED[name].name for name in read & DECLARED.keys()}
    assert looked_at == {metric.name for metric in (*METRICS, *REPLAY_METRICS, *CONSOLE_METRICS)}


def test_every_recorded_series_is_read() -> None:
    """No rule records what nobody reads."""
    read = {
        name for query in (*queries.of_panels(), *queries.of_rules()) for name in queries.metrics_in(query.expression)
    }
    assert {rule["record"] for rule in queries.rules("recording.yml")} <= read


def test_metrics_in_an_expression() -> None:
    """Names of series are told from functions, labels, operators and strings."""
    expression = 'sum by (a, le) (rate(b_total{c="d"}[5m])) / on (a) group_left () (e > 0) unless f offset 1m'
    assert queries.metrics_in(expression) == {"b_total", "e", "f"}
    assert queries.metrics_in('label_values(g{h=~"$i"}, j)') == {"g"}
    assert queries.selectors_in('b_total{c="d"} / e') == {'b_total{c="d"}', "e"}


def test_series_are_asked_for_by_their_kind() -> None:
    """A histogram has parts and a counter has none: who mixes them up is told when the queries are made."""
    assert series(REJECTS, 'code="empty"') == 'scorer_rejections_total{code="empty"}'
    with pytest.raises(AssertionError):
        series(LATENCY)
    with pytest.raises(AssertionError):
        series(REJECTS, part="bucket")


@pytest.mark.parametrize("path", queries.BOARDS, ids=lambda path: path.stem)
def test_panels(path: Path) -> None:
    """Each panel says what it shows and what to do, has a unit and a place, and asks the data source that is chosen."""
    board = dict(queries.boards())[path]
    source = {"type": "prometheus", "uid": "${datasource}"}
    occupied: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & occupied, f"{panel['title']} lies upon another panel"
        occupied |= cells
    assert max(x for x, _ in occupied) == 23
    for panel in queries.panels(board):
        shows, _, wrong = panel["description"].partition("\n\n**When it looks wrong:** ")
        assert shows.endswith((".", ")")), panel["title"]
        assert wrong.endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "table", panel["title"]
        assert panel["datasource"] == source
        assert panel["targets"]
        assert all(target["datasource"] == source and target["expr"] for target in panel["targets"])
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in queries.panels(board)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("path", queries.BOARDS, ids=lambda path: path.stem)
def test_variables(path: Path) -> None:
    """Data source, namespace and job can be chosen on each dashboard; deployments are marked; and no query is fixed."""
    board = dict(queries.boards())[path]
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names[:3] == ["datasource", "namespace", "job"]
    used = {
        name for panel in queries.panels(board) for t in panel["targets"] for name in re.findall(r"\$(\w+)", t["expr"])
    }
    assert used == {*names, "__rate_interval"} - {"datasource"}
    assert [mark["name"] for mark in board["annotations"]["list"]] == ["Deployments"]


def test_there_are_three_dashboards() -> None:
    """Overview, Worker and Model, each with an address of its own."""
    assert [path.stem for path in queries.BOARDS] == ["model", "overview", "worker"]
    assert {board["uid"] for _, board in queries.boards()} == {"scorer-model", "scorer-overview", "scorer-worker"}


def test_alerts_say_what_to_do() -> None:
    """Each alert has a severity, a summary, a description with its figures, and a link to its runbook."""
    for rule in queries.rules("alerts.yml"):
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "description", "runbook_url"}
        assert notes["summary"].endswith(".")
        assert "{{ $labels" in notes["description"] or "{{ with $labels" in notes["description"]
        assert notes["runbook_url"] == f"{RUNBOOKS_URL}/{rule['alert']}"


def test_every_alert_has_a_runbook() -> None:
    """It is in the file that the table of alerts links to, and has the alert's name as its title."""
    for alert in (alert for group in alerts_by_group().values() for alert in group):
        page = RUNBOOKS / alert.runbook()
        assert page.read_text(encoding="utf-8").startswith(f"# {alert.name}\n"), page


def test_alertmanager_suppresses_alerts_that_exist() -> None:
    """Each name, and each alternative of a pattern, in the rules about consequences is that of one alert."""
    configuration = yaml.safe_load((ROOT / "monitoring" / "alertmanager" / "alertmanager.yml").read_text("utf-8"))
    for rule in configuration["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = matcher.removeprefix("alertname ").lstrip("=~ ").strip('"')
            assert len([name for name in alerts() if re.fullmatch(pattern, name)]) == pattern.count("|") + 1, matcher


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_runbooks(path: Path) -> None:
    """A runbook tells who is affected, where to look, what fixes it and when it is nothing; and is some alert's."""
    text = path.read_text(encoding="utf-8")
    assert text.partition("\n")[0].removeprefix("# ") in alerts()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Who is affected", "Diagnosis", "Fix", "False alarms"]
    for board in re.findall(r"dashboard (\w+)", text):
        assert board in {"Overview", "Worker", "Model"}, board
    for other in re.findall(r"\bScorer[A-Z]\w+", text):
        assert other in alerts(), other


def test_every_alert_is_tested_both_ways() -> None:
    """Each alert has a promtool test in which it fires and one in which it does not, and none is tested that is not."""
    fired: set[str] = set()
    silent: set[str] = set()
    for path in PROMTOOL_TESTS:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for alert_test in test["alert_rule_test"]:
                (fired if alert_test["exp_alerts"] else silent).add(alert_test["alertname"])
    assert fired == silent == set(alerts())
