"""Where data files with real applications are, for the tests that need them; none of them is part of the project."""

import os
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[1].parent / "shared" / "data"


def _locate(name: str) -> Path:
    return Path(os.environ.get(f"{name.upper()}_CSV") or _FOLDER / f"{name}.csv")


FILE = _locate("credit_scoring")
"""The data of the course."""
REASON = "needs the course's credit_scoring.csv; CREDIT_SCORING_CSV says where it is"
needed = pytest.mark.skipif(not FILE.is_file(), reason=REASON)


def file() -> Path:
    """The course's file, or the test is skipped."""
    if not FILE.is_file():
        pytest.skip(REASON)
    return FILE


def lender_file(name: str) -> Path:
    """A file of another lender, `german_credit` or `car_loans`, or the test is skipped."""
    path = _locate(name)
    if not path.is_file():
        pytest.skip(f"needs {name}.csv; {name.upper()}_CSV says where it is")
    return path
