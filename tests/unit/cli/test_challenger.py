"""`scorer challenger` answers what a challenger is for: how often it would have decided differently."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.contracts import shipped_contract
from schemas.deployment import DeploymentEvent
from schemas.rows import Hints
from scorer.bundle.load import read_manifest
from scorer.cli.rows import FileRecord, read_batches
from scorer.store.store import BundleStore
from scorer.stream.history_record import Line
from tests.unit.bundle.making import EXPLAINED
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.slow

LOANS = Path(__file__).parents[3] / "examples" / "applications.csv"


def read_newest(*_: object) -> Iterator[list[FileRecord]]:
    """The applications of a file, and a record that is not an application."""
    yield from read_batches(str(LOANS), "credit.applications", shipped_contract(), Hints())
    yield [FileRecord("credit.applications", 2_000, b"{")]


@pytest.fixture(autouse=True)
def topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no broker."""
    monkeypatch.setattr("scorer.operate.listening.require_listening", lambda _: None)
    monkeypatch.setattr("scorer.operate.newest.read_newest", read_newest)


def deploy_challenger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The other shipped bundle is the challenger."""
    event = DeploymentEvent(
        event_id="e-1",
        slot="challenger",
        action="deploy",
        bundle=BundleStore(tmp_path).open("credit-risk:1.0.0").reference,
        previous=None,
        actor="ana",
        reason="would it decline more?",
        at=datetime(2026, 1, 31, tzinfo=UTC),
    )
    monkeypatch.setattr("scorer.operate.deployments.read_history", lambda _: [Line(0, event)])


def test_without_a_challenger(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to deploy one."""
    monkeypatch.setattr("scorer.operate.deployments.read_history", lambda _: [])
    ended = run("challenger")
    assert ended.code == 1
    assert "there is no challenger: scorer deploy REF --slot challenger" in ended.err


def test_the_table(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The answer was in two counters on ports that nobody printed; a record that is invalid is not compared."""
    deploy_challenger(monkeypatch, tmp_path)
    ended = run("challenger")
    assert ended.code == 0
    first, *_ = ended.out.splitlines()
    assert first == "The newest 801 applications of credit.applications:"
    champion, candidate = read_manifest(EXPLAINED).reference.short, "credit-risk:1.0.0@4ebcad5e357a"
    assert f"Decisions (rows: champion {champion}, columns: challenger {candidate})\n" in ended.out
    assert "of 800 decisions change (" in ended.out
    assert "Skipped: 1 of 801 rows" in ended.out


def test_the_counts_for_scripts(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nine numbers, which add up to what was compared."""
    deploy_challenger(monkeypatch, tmp_path)
    report = json.loads(run("challenger", "--json").out)
    counts = [count for row in report["flips"].values() for count in row.values()]
    assert len(counts) == 9
    assert sum(counts) == report["compared"] == 800
    assert 0 < report["flipped"] < 400
