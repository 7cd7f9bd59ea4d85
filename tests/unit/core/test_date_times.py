"""Date-times of a column: the usual spelling, which is read in one go, is read as every other one."""

from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.contract_values import read_date_time
from scorer.core.date_times import days_of_date_times, write_date_time

VALID = ("1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2000-02-29T10:00:00Z", "0001-01-01T00:00:00Z",
         "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "2023-04-30T00:00:00Z")  # fmt: skip
INVALID = ("0000-01-01T00:00:00Z", "2023-02-29T10:00:00Z", "1900-02-29T10:00:00Z", "2023-04-31T10:00:00Z",
           "2023-00-10T10:00:00Z", "2023-13-10T10:00:00Z", "2023-01-00T10:00:00Z", "2023-01-32T10:00:00Z",
           "2023-01-10T24:00:00Z", "2023-01-10T10:60:00Z", "2023-01-10T10:00:60Z", "2023-01-10 10:00:00Z",
           "2023-01-10T10:00:00+", "2023-01-1OT10:00:00Z", "2023/01/10T10:00:00Z", "2023-01-10T10:00:00é",
           "", "x", " 2023-01-10T10:00:00Z", "\u0662023-01-10T10:00:00Z")  # fmt: skip
OTHER = ("2024-02-29t10:00:00z", "2024-02-29T10:00:00.5Z", "2024-02-29T10:00:00+05:30", "2024-02-29T10:00:00.1234567Z")


def _days_of(text: str) -> float:
    moment = read_date_time(text)
    return np.inf if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86_400


@pytest.mark.parametrize(
    "texts", [VALID, INVALID, OTHER, VALID + INVALID + OTHER], ids=["usual", "invalid", "other", "all"]
)
def test_days(texts: tuple[str, ...]) -> None:
    """The instant in days; what is not in the calendar is infinite, wherever in the column it is."""
    expected = [_days_of(text) for text in texts]
    assert days_of_date_times(texts).tolist() == expected
    assert [days_of_date_times([text])[0] for text in texts] == expected
    assert np.isinf(expected).sum() == sum(text in INVALID for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T10:00:00+00:00", "1969-12-31T23:59:59.500000+00:00", "0001-01-01T00:00:00+00:00",
        "9999-12-31T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59",
    ],
)  # fmt: skip
def test_writing(text: str) -> None:
    """An offset can lead to a year that UTC does not have: the explanation of such a decision was a traceback."""
    assert write_date_time(float(days_of_date_times([text])[0])) == text


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:01+00:01"]
)
def test_what_is_written_is_read(text: str) -> None:
    """The same instant, as far as a column has it."""
    (days,) = days_of_date_times([text]).tolist()
    assert days_of_date_times([write_date_time(days)]).tolist() == [days]


def test_no_texts() -> None:
    """A column may be empty."""
    assert days_of_date_times([]).shape == (0,)
