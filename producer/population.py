"""A synthetic population of applicants, drawn from a few rounded statistics of real applications.

The statistics were computed on the course's data file and rounded so far that no row of it can be inferred: the
quantiles of each number (the outermost are the 0.1 % and 99.9 % quantiles, not an applicant's own value), the shares of
each category, and the rank correlations. Numbers are drawn with a Gaussian copula: correlated normal draws, each mapped
to its own quantiles.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Columns: TypeAlias = Mapping[str, NDArray[Any]]

# The shares of the quantiles below. For a number that may be zero, these are the quantiles of its values above zero.
_SHARES: Final = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999])
_QUANTILES: Final = {
    "seniority": (1, 1, 1, 1, 2, 3, 5, 6, 9, 12, 15, 20, 25, 35, 43),
    "age": (18, 20, 22, 24, 27, 29, 32, 35, 39, 42, 47, 53, 57, 63, 66),
    "expenses": (35, 35, 35, 35, 35, 45, 45, 49, 60, 60, 75, 80, 90, 105, 160),
    "income": (19, 40, 56, 67, 83, 100, 110, 125, 140, 158, 185, 230, 290, 430, 700),
    "assets": (500, 1000, 2000, 2500, 3000, 4000, 4000, 5000, 6000, 8000, 10000, 16000, 25000, 60000, 120000),
    "debt": (1, 35, 100, 200, 450, 800, 1000, 1500, 1800, 2200, 3000, 3900, 4800, 9600, 26000),
    "price": (220, 375, 625, 850, 1050, 1180, 1300, 1400, 1520, 1630, 1760, 2100, 2390, 3440, 6700),
    "share": (0.1, 0.19, 0.32, 0.41, 0.55, 0.64, 0.71, 0.77, 0.82, 0.86, 0.91, 0.96, 1, 1, 1),  # loan / price
}
_MONTHS: Final = np.array([6, 12, 18, 24, 30, 36, 42, 48, 54, 60])
_MONTHS_UP_TO: Final = np.cumsum([0.008, 0.035, 0.02, 0.079, 0.01, 0.21, 0.007, 0.194, 0.004])

# Correlations of the normal draws (lower triangle), chosen so that the resulting ranks correlate as in the data.
_DRAWS: Final = (
    "seniority", "time", "age", "expenses", "income", "assets", "debt", "price", "share", "records",
)  # fmt: skip
_CORRELATIONS: Final = (
    (1,),
    (0.01, 1),
    (0.44, -0.05, 1),
    (0.18, 0.01, 0.35, 1),
    (0.16, 0.04, 0.14, 0.27, 1),
    (0.23, -0.04, 0.24, 0.04, 0.27, 1),
    (-0.02, 0.19, -0.26, 0.04, 0.17, 0.2, 1),
    (0.06, 0.2, 0.06, 0.05, 0.16, 0.31, 0.11, 1),
    (-0.09, 0.47, -0.05, 0.01, 0.01, -0.12, -0.02, -0.22, 1),
    (-0.01, 0.06, 0.16, 0.06, 0.01, -0.1, -0.03, 0.12, 0.08, 1),
)

_HOMES: Final = np.array(["unk", "rent", "owner", "private", "ignore", "parents", "other"])
_MARITALS: Final = np.array(["single", "married", "widow", "separated", "divorced"])
_JOBS: Final = np.array(["unk", "fixed", "partime", "freelance", "others"])
_AGES: Final = (24, 28, 33, 42)  # boundaries of the age bands
_MARITAL_BY_AGE: Final = (
    (0.81, 0.19, 0, 0, 0),
    (0.46, 0.52, 0, 0.01, 0.01),
    (0.22, 0.73, 0.01, 0.03, 0.01),
    (0.11, 0.82, 0.01, 0.05, 0.01),
    (0.05, 0.88, 0.04, 0.02, 0.01),
)
_HOME_BY_AGE: Final = (  # for each age band: not single, then single
    (0.01, 0.42, 0.22, 0.05, 0, 0.22, 0.08), (0, 0.12, 0.12, 0.02, 0, 0.64, 0.1),
    (0, 0.26, 0.49, 0.06, 0.01, 0.11, 0.07), (0, 0.14, 0.12, 0.03, 0, 0.61, 0.1),
    (0, 0.24, 0.48, 0.08, 0, 0.14, 0.06), (0, 0.22, 0.14, 0.04, 0.01, 0.49, 0.1),
    (0, 0.25, 0.54, 0.06, 0, 0.08, 0.07), (0.01, 0.3, 0.24, 0.01, 0, 0.39, 0.05),
    (0, 0.18, 0.65, 0.06, 0.01, 0.04, 0.06), (0.01, 0.27, 0.44, 0.04, 0, 0.13, 0.11),
)  # fmt: skip
_SENIORITIES: Final = (1, 3, 6, 12)
_JOB_AGES: Final = (28, 42)
_JOB_BY_SENIORITY: Final = (  # for each seniority band, by age
    (0.01, 0.3, 0.47, 0.13, 0.09), (0, 0.39, 0.31, 0.22, 0.08), (0, 0.24, 0.21, 0.29, 0.26),
    (0, 0.59, 0.26, 0.14, 0.01), (0, 0.63, 0.14, 0.21, 0.02), (0, 0.44, 0.13, 0.23, 0.2),
    (0, 0.75, 0.07, 0.17, 0.01), (0, 0.64, 0.06, 0.29, 0.01), (0, 0.44, 0.02, 0.36, 0.18),
    (0, 0.85, 0.05, 0.09, 0.01), (0, 0.74, 0.02, 0.24, 0), (0, 0.59, 0.02, 0.37, 0.02),
    (0, 0.96, 0, 0.04, 0), (0, 0.87, 0.01, 0.12, 0), (0, 0.69, 0.01, 0.3, 0),
)  # fmt: skip
_NO_SENIORITY: Final = 0.114
_NO_INCOME_BY_JOB: Final = np.array([0.5, 0.01, 0.04, 0.28, 0.11])
_NO_ASSETS_BY_HOME: Final = np.array([0.5, 0.83, 0, 0.01, 0, 0.73, 0.81])
_NO_DEBT_BY_HOME: Final = np.array([0.5, 0.98, 0.71, 0.57, 0.87, 0.97, 0.98])
_INCOME_BY_JOB: Final = np.array([0.8, 1, 0.8, 1.1, 0.8])  # factors for the income from the quantiles
_RECORDS: Final = 0.174
_UNKNOWN: Final = {"income": 0.01, "assets": 0.013, "debt": 0.005}
_YEARS_BEFORE_WORK: Final = 14
_AMOUNT_MIN: Final = 100


def _mix(correlations: tuple[tuple[float, ...], ...]) -> Floats:
    """The matrix that transforms independent normal draws into correlated ones."""
    size = len(correlations)
    lower = np.array([[*row, *(0.0,) * (size - len(row))] for row in correlations])
    mix: Floats = np.linalg.cholesky(lower + np.tril(lower, -1).T).T
    return mix


_NORMAL: Final = np.linspace(-4, 4, 401)
_NORMAL_SHARE: Final = np.array([NormalDist().cdf(z) for z in _NORMAL])
_MIX: Final = _mix(_CORRELATIONS)
_CUMULATED: Final = {
    name: np.cumsum(table, axis=1)[:, :-1]
    for name, table in (("marital", _MARITAL_BY_AGE), ("home", _HOME_BY_AGE), ("job", _JOB_BY_SENIORITY))
}


def draw_applicants(random: np.random.Generator, count: int) -> Columns:
    """Draws applicants.

    Args:
        random: the random generator; the same state gives the same applicants.
        count: the number of applicants.

    Returns:
        A column of `count` values for every field of the contract except the id, in the contract's order: categories as
        strings, numbers as integers; in `income`, `assets` and `debt`, -1 means unknown.
    """
    shares = np.interp(random.standard_normal((count, len(_DRAWS))) @ _MIX, _NORMAL, _NORMAL_SHARE)
    share = dict(zip(_DRAWS, shares.T, strict=True))
    chance = random.random((6, count))

    age = _round(_quantile("age", share["age"]))
    seniority = np.minimum(
        _round(_above_zero("seniority", share["seniority"], _NO_SENIORITY)), age - _YEARS_BEFORE_WORK
    )
    age_band = np.searchsorted(_AGES, age, side="right")
    marital = _choose("marital", age_band, chance[0])
    home = _choose("home", age_band * 2 + (marital == 0), chance[1])
    seniority_band = np.searchsorted(_SENIORITIES, seniority, side="right")
    job = _choose("job", seniority_band * 3 + np.searchsorted(_JOB_AGES, age, side="right"), chance[2])
    income = _above_zero("income", share["income"], _NO_INCOME_BY_JOB[job]) * _INCOME_BY_JOB[job]
    price = _round(_quantile("price", share["price"]))
    return {
        "seniority": seniority,
        "home": _HOMES[home],
        "time": _MONTHS[np.searchsorted(_MONTHS_UP_TO, share["time"], side="right")],
        "age": age,
        "marital": _MARITALS[marital],
        "records": np.where(share["records"] > 1 - _RECORDS, "yes", "no"),
        "job": _JOBS[job],
        "expenses": _round(_quantile("expenses", share["expenses"])),
        "income": np.where(chance[3] < _UNKNOWN["income"], -1, _round(income)),
        "assets": np.where(
            chance[4] < _UNKNOWN["assets"],
            -1,
            _round(_above_zero("assets", share["assets"], _NO_ASSETS_BY_HOME[home]), 500),
        ),
        "debt": np.where(
            chance[5] < _UNKNOWN["debt"], -1, _round(_above_zero("debt", share["debt"], _NO_DEBT_BY_HOME[home]), 100)
        ),
        "amount": np.clip(_round(price * _quantile("share", share["share"]), 50), _AMOUNT_MIN, price),
        "price": price,
    }


def _quantile(name: str, share: Floats) -> Floats:
    values: Floats = np.interp(share, _SHARES, _QUANTILES[name])
    return values


def _above_zero(name: str, share: Floats, zeros: Floats | float) -> Floats:
    """The quantile at `share` of a number that is zero for the share `zeros` of the applicants."""
    values: Floats = np.where(share < zeros, 0.0, _quantile(name, (share - zeros) / (1 - zeros)))
    return values


def _round(values: Floats, step: int = 1) -> Integers:
    return np.rint(values / step).astype(np.int64) * step


def _choose(name: str, band: Integers, chance: Floats) -> Integers:
    """The index of a category, drawn with the shares of its band."""
    chosen: Integers = (chance[:, None] >= _CUMULATED[name][band]).sum(axis=1)
    return chosen
