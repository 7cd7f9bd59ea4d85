"""Makes the profile of the applications that a model was trained on, which identifies no person.

What a profile leaves out, and why:

- No statistic combines two fields, so no combination of values identifies a person.
- A quantile, even an outermost one, has at least ten applications on either side, so it is not an extreme value. It
  is rounded to three digits (dates to 30 days), because a value in the middle is a person's, too.
- A value of a category that fewer than ten applications have is left out, because a rare value identifies a person; so
  is a share of unknown or known values of fewer than ten.
- Shares are rounded to two digits, so that one person more or less hardly ever changes them.
- Texts and ids are not in it.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, ContractField, Kind
from schemas.profile import AT, DECIMALS_MAX, FieldProfile, Profile
from scorer.core.columns import UNKNOWN_CATEGORY, Columns

GROUP_MIN: Final = 10
"""Minimum number of applications behind a statistic, as statistical offices require."""
_KNOWN_MIN: Final = 10 * GROUP_MIN  # so that the outermost quantiles are at most the tenths
_QUANTILE_DIGITS: Final = 3
_SHARE_DIGITS: Final = 2
_DATE_DAYS: Final = 30
_WITH_DECIMALS: Final = 0.99  # the digits of a few numbers do not matter


def make_profile(contract: Contract, applications: Columns) -> Profile:
    """Returns the profile of some applications of a contract."""
    if len(applications) < _KNOWN_MIN:
        return Profile(fields={})
    return Profile(fields={name: _profile(field, applications.values[name]) for name, field in contract.inputs.items()})


def _profile(field: ContractField, column: NDArray[Any]) -> FieldProfile:
    known = column[column != UNKNOWN_CATEGORY] if field.kind is Kind.CATEGORY else column[~np.isnan(column)]
    unknown = _share(len(column) - len(known), len(column))
    match field.kind:
        case Kind.CATEGORY:
            return FieldProfile(unknown=unknown, shares=_shares(field.categories, known))
        case Kind.BOOLEAN:
            return FieldProfile(unknown=unknown, shares=_shares(("false", "true"), known.astype(np.intp)))
        case Kind.DATE | Kind.DATE_TIME:
            return FieldProfile(unknown=unknown, quantiles=_quantiles(known, _round_days))
        case _:
            return FieldProfile(unknown=unknown, quantiles=_quantiles(known, _round_number), decimals=_decimals(known))


def _share(count: int, total: int) -> float:
    """The rounded share of a group and of the others; if one of them is too small, it counts as empty."""
    if count < GROUP_MIN or total - count < GROUP_MIN:
        return float(count > total - count)
    return float(f"{count / total:.{_SHARE_DIGITS}g}")


def _shares(values: tuple[str, ...], known: NDArray[np.intp]) -> dict[str, float]:
    counts = np.bincount(known, minlength=len(values)).tolist()
    return {
        value: float(f"{count / len(known):.{_SHARE_DIGITS}g}")
        for value, count in zip(values, counts, strict=True)
        if count >= GROUP_MIN
    }


def _quantiles(known: NDArray[np.float64], rounded: Callable[[float], float]) -> tuple[float, ...] | None:
    if len(known) < _KNOWN_MIN:
        return None
    margin = GROUP_MIN / len(known)
    return tuple(map(rounded, np.quantile(known, np.clip(AT, margin, 1 - margin)).tolist()))


def _round_number(number: float) -> float:
    return float(f"{number:.{_QUANTILE_DIGITS}g}")


def _round_days(days: float) -> float:
    return float(round(days / _DATE_DAYS) * _DATE_DAYS)


def _decimals(known: NDArray[np.float64]) -> int:
    """The digits after the point that nearly all numbers have at most."""
    enough = (d for d in range(DECIMALS_MAX) if np.isclose(np.round(known, d), known, atol=0).mean() >= _WITH_DECIMALS)
    return next(enough, DECIMALS_MAX) if len(known) >= GROUP_MIN else 0
