"""The list of flipped applications: safe to open in a spreadsheet, whatever an application calls itself."""

import csv
from pathlib import Path

import pytest

from scorer.errors import MisuseError
from scorer.replay.findings import _FlipsFile
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
