"""Finds numbers that stand for unknown in a column: far outside all others, and repeated."""

from collections.abc import Mapping, Sequence
from typing import Final

_CODES_MAX: Final = 5  # more values outside the others are values
_REPEATED_MIN: Final = 2


def find_unknown_codes(counts: Mapping[float, int], extremes: Sequence[float]) -> list[float]:
    """Numbers that are probably codes: -9 where nothing else is negative, 99999999 where all others are far below.

    Args:
        counts: how often each number occurs.
        extremes: the least and the greatest different numbers of the column.

    Returns:
        The codes, ascending; none if they cannot be told from values.
    """
    return [*_find_negative(counts, extremes), *_find_greatest(counts, extremes)]


def find_far_values(counts: Mapping[float, int], extremes: Sequence[float], codes: Sequence[float]) -> list[float]:
    """Other numbers that repeat far outside of the rest, which are values or codes: only a person knows."""
    rest = sorted(set(extremes) - set(codes))
    far: list[float] = []
    while len(rest) > 2 and len(far) < _CODES_MAX:
        *below, greatest = rest
        if counts.get(greatest, 0) < _REPEATED_MIN or greatest - below[-1] <= 10 * (below[-1] - min(0, below[0])):
            break
        far.append(greatest)
        rest = below
    return far


def _find_negative(counts: Mapping[float, int], extremes: Sequence[float]) -> list[float]:
    negative = sorted({number for number in extremes if number < 0})
    are_codes = len(negative) <= _CODES_MAX and all(
        _is_code(number) and counts.get(number, 0) >= _REPEATED_MIN for number in negative
    )
    return negative if are_codes and max(extremes, default=-1) >= 0 else []


def _find_greatest(counts: Mapping[float, int], extremes: Sequence[float]) -> list[float]:
    codes = sorted(
        {number for number in extremes if number > 9 and _is_code(number) and counts.get(number, 0) >= _REPEATED_MIN}
    )
    while codes:
        values = [number for number in extremes if number < codes[0] and number >= 0]
        others_above = any(number > codes[0] and number not in codes for number in extremes)
        if len(codes) <= _CODES_MAX and values and not others_above and codes[0] > 2 * max(values):
            return codes
        del codes[0]
    return []


def _is_code(number: float) -> bool:
    """Whether surveys and old programs use such a number as a code: -1, -9, 99, 888, 99999999."""
    digits = str(abs(int(number)))
    return number.is_integer() and len(set(digits)) == 1 and digits[0] in ("1789" if len(digits) == 1 else "789")
