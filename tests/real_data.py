"""Where the course's data file is, for the tests that need real applications; it is not ours to publish."""

import os
from pathlib import Path

import pytest

FILE = Path(
    os.environ.get("CREDIT_SCORING_CSV") or Path(__file__).parents[1].parent / "shared" / "data" / "credit_scoring.csv"
)
REASON = "needs the course's credit_scoring.csv; CREDIT_SCORING_CSV says where it is"
needed = pytest.mark.skipif(not FILE.is_file(), reason=REASON)


def file() -> Path:
    """The file, or the test is skipped."""
    if not FILE.is_file():
        pytest.skip(REASON)
    return FILE
