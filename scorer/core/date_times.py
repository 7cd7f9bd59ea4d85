"""Reads the date-times of a column as days since 1970; the usual spelling in one go, the others one by one.

Writes one of them, too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract_values import read_date_time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE: Final = datetime.min.replace(tzinfo=UTC) - _EPOCH, datetime.max.replace(tzinfo=UTC) - _EPOCH
_OFFSET_MAX: Final = timedelta(hours=23, minutes=59)
_MICROSECOND: Final = datetime.resolution
_DAY_US: Final = 86_400_000_000
_DAY_S: Final = 86_400
_USUAL: Final = np.frombuffer(b"0000-00-00T00:00:00Z", dtype=np.uint8)
_IS_DIGIT: Final = np.frombuffer(b"0", dtype=np.uint8) == _USUAL
_DAYS_OF_MONTH: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def days_of_date_times(texts: Sequence[str]) -> NDArray[np.float64]:
    """Reads n texts.

    Args:
        texts: of any content.

    Returns:
        Shape (n,): days since 1970-01-01 in UTC, with fractions; infinite if the text is not an RFC 3339 date-time with
        an offset, or not in the calendar.
    """
    lengths = np.fromiter(map(len, texts), dtype=np.intp, count=len(texts))
    is_usual = lengths == len(_USUAL)
    usual = "".join(texts if is_usual.all() else [text for text in texts if len(text) == len(_USUAL)])
    # Another character becomes a question mark, and the text is read alone.
    characters = np.frombuffer(usual.encode("ascii", "replace"), dtype=np.uint8).reshape(-1, len(_USUAL))
    days = np.full(len(texts), np.nan)
    days[is_usual] = _days_of_usual(characters)
    for i in np.isnan(days).nonzero()[0].tolist():
        days[i] = _days_of(texts[i])
    return days


def write_date_time(days: float) -> str:
    """Writes a date-time in UTC; before the year 1 and after 9999, where UTC has no date, with the largest offset.

    Args:
        days: days since 1970-01-01 in UTC, of a date-time that was read.
    """
    since, (first, last) = timedelta(days=days), _RANGE
    offset = _OFFSET_MAX if since < first else -_OFFSET_MAX if since > last else timedelta()
    local = _EPOCH + min(max(since + offset, first), last)  # the fraction of a day may be rounded beyond the range
    return local.replace(tzinfo=timezone(offset) if offset else UTC).isoformat()


def _days_of_usual(characters: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Reads texts of the form 2024-02-29T10:00:00Z, shape (n, 20); NaN if a text has another form or is invalid."""
    digits = (characters - ord("0")).astype(np.int64)
    has_form = (np.where(_IS_DIGIT, digits <= 9, characters == _USUAL)).all(axis=1)
    century, short_year, month, day, hour, minute, second = (
        digits[:, i] * 10 + digits[:, i + 1] for i in (0, 2, 5, 8, 11, 14, 17)
    )
    year = century * 100 + short_year
    is_leap_day = (month == 2) & (day == 29) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    month_days = _DAYS_OF_MONTH[np.where((month >= 1) & (month <= 12), month, 0)]
    is_valid = has_form & (year >= 1) & (day >= 1) & ((day <= month_days) | is_leap_day)
    is_valid &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = np.where(is_valid, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    seconds = days * _DAY_S + hour * 3_600 + minute * 60 + second
    return np.where(is_valid, seconds / _DAY_S, np.nan)


def _days_of(text: str) -> float:
    moment = read_date_time(text)
    return np.inf if moment is None else (moment - _EPOCH) // _MICROSECOND / _DAY_US
