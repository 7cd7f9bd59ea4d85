"""The catalogue of the fault tests, and the report of what came of them."""

from pathlib import Path

import pytest

from tests.chaos.catalogue import SCENARIOS, select
from tests.chaos.catalogue_brokers import BROKERS
from tests.chaos.catalogue_core import CORE
from tests.chaos.catalogue_data import DATA
from tests.chaos.catalogue_workers import WORKERS
from tests.chaos.checker import Figures, Verdict
from tests.chaos.product import commands_in, last_error
from tests.chaos.report import Row, write_report, write_row

FIGURES = Figures(
    acknowledged=1_000,
    decided=950,
    dead_letters=49,
    lost=1,
    waived=0,
    doubled=0,
    extra=0,
    out_of_order=0,
    wrong_kind=0,
    published_twice=0,
    wrong_source=0,
    pause_s=12.34,
    publisher_pause_s=1.0,
    recovery_s=None,
    latency_max_s=13.0,
    decides_again_s=2.0,
    stuck_s=0.0,
    rss_max_mb=150.0,
)
LOG = """\
{"level": "info", "event": "worker_started", "message": "m"}
{"level": "error", "event": "process_failed", "error": "gone: run `scorer offsets reset --topic t:0`"}
{"level": "error", "event": "librdkafka", "message": "connection refused"}
Traceback or anything else
"""


def test_names_are_unique() -> None:
    """No two scenarios share a name, nor what is said of them: each can be chosen and told apart."""
    everything = (*BROKERS, *WORKERS, *DATA)
    assert len(SCENARIOS) == len(everything)
    assert len({scenario.title for scenario in everything}) == len(everything)
    core = [scenario.name for turn in CORE for scenario in turn]
    assert len(core) == len(set(core)) == 7


def test_select() -> None:
    """Patterns choose scenarios; without one all are chosen, and one that chooses none is an error."""
    assert select([]) == list(SCENARIOS.values())
    assert {scenario.name for scenario in select(["black-hole-one-*"])} == {"black-hole-one-20", "black-hole-one-60"}
    with pytest.raises(ValueError, match="no scenario is called frozen"):
        select(["frozen-broker", "frozen"])


def test_doubles_are_allowed_at_least_once_alone() -> None:
    """A scenario in which results may be doubled says in its name that its workers deliver at least once."""
    for scenario in SCENARIOS.values():
        repeats = "at-least-once" in scenario.workers.settings.values()
        assert scenario.expect.doubled == repeats == scenario.name.endswith("at-least-once"), scenario.name


def test_the_report(tmp_path: Path) -> None:
    """The table has a row for each scenario that was kept, with its failures, or with the reason why it was skipped."""
    write_row(tmp_path / "runs" / "a", Row("a", "a fault", Verdict(FIGURES, ("1 lost",)), exits=("2 × by itself",)))
    write_row(tmp_path / "runs" / "b", Row("b", "no disk", None, "a small disk cannot be mounted here"))
    write_report(tmp_path)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    assert len(rows) == 3
    assert all(row.count("|") == rows[0].count("|") for row in rows)
    assert "1,000 | 950 | 49 | 1 | 0 | 12.3 (1.0) | never | 2.0 |" in report
    assert "**FAILS**: 1 lost" in report
    assert "skipped: a small disk cannot be mounted here" in report


def test_the_text_of_log_lines() -> None:
    """The last error of the product's own is why a process ended; commands for the operator stand in backquotes."""
    assert last_error(LOG).startswith("process_failed: gone")
    assert last_error("one\ntwo") == "two"
    assert commands_in(LOG) == ["scorer offsets reset --topic t:0"]
