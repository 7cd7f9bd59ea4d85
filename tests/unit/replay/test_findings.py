"""The list of flipped applications: safe to open in a spreadsheet, whatever an application calls itself."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from schemas.contract import Contract
from scorer.core.decode import Decoder
from scorer.errors import MisuseError
from scorer.replay import findings
from scorer.replay.findings import Findings, _FlipsFile, compute_findings
from scorer.settings import Settings
from tests.fakes import FakeRecord, make_contract
from tests.unit.replay.test_page import OUTCOMES, plan

HOSTILE = ["=1+1", "-5", " @SUM(A1)", "a\0b", "x\x1b[2J\ny", "é-1"]


def test_ids_are_texts_and_figures_are_numbers(tmp_path: Path) -> None:
    """An id `=1+1` used to be a formula, and one with NUL made a file that some readers refuse."""
    path = tmp_path / "flips.csv"
    with _FlipsFile(path, plan(), OUTCOMES) as flips:
        flips.add([(application_id, 1) for application_id in HOSTILE])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    ids = ["'=1+1", "'-5", "' @SUM(A1)", "a\ufffdb", "x\ufffd[2J\ufffdy", "é-1"]
    assert [row["application_id"] for row in rows] == ids
    for row in rows:
        assert int(row["offset"]) == 1
        assert float(row["probability_before"]) == pytest.approx(0.2)
        assert (row["decision_before"], row["decision_after"]) == ("APPROVED", "MAYBE")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names it and says why."""
    with pytest.raises(MisuseError, match=r"none/flips\.csv: cannot be written: No such file"):
        _FlipsFile(tmp_path / "none" / "flips.csv", plan(), OUTCOMES)


def find(monkeypatch: pytest.MonkeyPatch, contract: Contract, *applications: dict[str, object]) -> Findings:
    """The findings of a replay with a bundle of this contract; the first applications are still on the topic."""
    records = [FakeRecord((0, row), json.dumps(application).encode()) for row, application in enumerate(applications)]
    batches = [(records, np.arange(len(records)))]
    monkeypatch.setattr(findings, "read_selected", lambda *_: iter(batches))
    return compute_findings(Settings(), plan(), OUTCOMES, Decoder(contract), None, lambda *_: None)


def test_groups_are_those_of_the_new_bundles_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any contract's categories, with nested names; unknown values and rejected applications belong to no group.

    The report used to know the shipped contract's fields only.
    """
    group = {"type": "object", "properties": {"home": {"type": ["string", "null"], "enum": ["own", "rent", None]}}}
    findings = find(
        monkeypatch,
        make_contract(person=group),
        {"id": "1", "person": {"home": "rent"}},
        {"id": "2", "person": {"home": None}},
        {"id": "3", "person": {"home": "tent"}},
    )
    assert {value: one.applications for value, one in findings.categories["person.home"].items()} == {
        "own": 0,
        "rent": 1,
    }
    assert findings.deleted == findings.applications - 3, "only what is no longer on the topic"


def test_bands_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By quantiles with three digits; unknown numbers and rejected applications belong to no band.

    The report used to have categories only, although age is what reviewers ask about.
    """
    number = {"type": ["number", "null"]}
    ages: tuple[object, ...] = (20.1234, 30, 40, None, "old")
    applications: list[dict[str, object]] = [{"id": "1", "age": age, "debt": None} for age in ages]
    findings = find(monkeypatch, make_contract(age=number, debt=number), *applications)
    assert {name: one.applications for name, one in findings.numbers["age"].items()} == {
        "up to 24.1": 1,
        "over 28 to 32": 1,
        "over 36": 1,
    }
    assert findings.numbers["debt"] == {}


def test_one_number_is_one_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal numbers are not split."""
    applications = ({"id": str(row), "age": 1_000_000} for row in range(3))
    findings = find(monkeypatch, make_contract(age={"type": "integer"}), *applications)
    assert {name: one.applications for name, one in findings.numbers["age"].items()} == {"up to 1,000,000": 3}


def test_booleans_are_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their two values, as of a category; they used to have no table."""
    flags: tuple[object, ...] = (True, False, True, None, "yes")
    applications: list[dict[str, object]] = [{"id": "1", "insured": flag} for flag in flags]
    findings = find(monkeypatch, make_contract(insured={"type": ["boolean", "null"]}), *applications)
    assert {value: one.applications for value, one in findings.categories["insured"].items()} == {
        "false": 1,
        "true": 2,
    }


def test_periods_of_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """By quantiles in whole days, those of date-times in UTC; unknown dates belong to no period. They had no table."""
    date, date_time = ({"type": ["string", "null"], "format": name} for name in ("date", "date-time"))
    days = ("2023-12-31", "2024-02-29", "2024-03-01", "2024-03-02", "2024-12-31")
    times = ("2024-03-02T00:30:00+01:00", "2024-03-01T23:59:59.999Z", "2024-03-02T00:00:00Z", None, None)
    applications: list[dict[str, object]] = [
        {"id": "1", "opened": day, "sent": time, "closed": None} for day, time in zip(days, times, strict=True)
    ]
    contract = make_contract(opened=date, sent=date_time, closed=date)
    findings = find(monkeypatch, contract, *applications)
    assert {name: one.applications for name, one in findings.dates["sent"].items()} == {
        "up to 2024-03-01": 2,
        "after 2024-03-01": 1,
    }
    periods = {name: one.applications for name, one in findings.dates["opened"].items()}
    assert sum(periods.values()) == len(days)
    first, *_, last = periods
    assert (first, last) == ("up to 2024-02-17", "after 2024-05-01")
    assert findings.dates["closed"] == {}


def test_a_contract_without_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has no groups, and still counts what retention has deleted."""
    findings = find(monkeypatch, make_contract(amount={"type": "number"}), {"id": "1", "amount": 5})
    assert (findings.categories, findings.deleted) == ({}, findings.applications - 1)
