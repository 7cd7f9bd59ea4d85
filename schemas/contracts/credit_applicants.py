"""Draws a synthetic population of credit-application's applicants from rounded statistics (credit_applicants.toml).

Numbers are drawn with a Gaussian copula: correlated normal draws, each mapped to its own quantiles. Categories are
drawn with the shares of the applicant's band.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Columns: TypeAlias = Mapping[str, NDArray[Any]]


def _mixing_matrix(correlations: Iterable[list[float]]) -> Floats:
    """The matrix that transforms independent normal draws into correlated ones, from their lower triangle."""
    rows = list(correlations)
    lower = np.array([[*row, *(0.0,) * (len(rows) - len(row))] for row in rows])
    matrix: Floats = np.linalg.cholesky(lower + np.tril(lower, -1).T).T
    return matrix


_STATISTICS: Final = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_QUANTILES: Final[dict[str, list[float]]] = _STATISTICS["quantiles"]
_VALUES: Final = {name: np.array([f'"{value}"' for value in values]) for name, values in _STATISTICS["values"].items()}
_ZEROS: Final = {name: np.array(shares) for name, shares in _STATISTICS["zeros"].items()}
_UNKNOWN: Final[dict[str, float]] = _STATISTICS["unknown"]
_BANDS: Final[dict[str, list[int]]] = _STATISTICS["bands"]
_INCOME_FACTORS: Final = np.array(_STATISTICS["income"]["factors"])
_MONTHS: Final = np.array(_STATISTICS["months"]["values"])
_MONTHS_UP_TO: Final = np.cumsum(_STATISTICS["months"]["shares"])
_CUMULATED: Final = {name: np.cumsum(table, axis=1)[:, :-1] for name, table in _STATISTICS["shares"].items()}
_DRAWS: Final = tuple(_STATISTICS["correlations"])
_MIXING_MATRIX: Final = _mixing_matrix(_STATISTICS["correlations"].values())
_NORMAL: Final = np.linspace(-4, 4, 401)
_NORMAL_SHARE: Final = np.array([NormalDist().cdf(z) for z in _NORMAL])


def draw_values(random: np.random.Generator, count: int) -> dict[tuple[str, ...], list[Any]]:
    """Draws applicants as `producer.drawing` does: values that `str()` writes as JSON, by the field's path."""
    columns = draw_applicants(random, count)
    values: dict[tuple[str, ...], list[Any]] = {(name,): column.tolist() for name, column in columns.items()}
    for name in _UNKNOWN:
        for row in np.flatnonzero(columns[name] < 0):
            values[name,][row] = "null"
    return values


def draw_applicants(random: np.random.Generator, count: int) -> Columns:
    """Draws applicants.

    Args:
        random: the random generator; the same state gives the same applicants.
        count: the number of applicants.

    Returns:
        A column of `count` values for every field of the contract except the id: categories as JSON, numbers as
        integers; in `income`, `assets` and `debt`, -1 means unknown.
    """
    shares = np.interp(random.standard_normal((count, len(_DRAWS))) @ _MIXING_MATRIX, _NORMAL, _NORMAL_SHARE)
    share = dict(zip(_DRAWS, shares.T, strict=True))
    chance = random.random((6, count))

    age = _round(_quantile("age", share["age"]))
    seniority = np.minimum(_round(_above_zero("seniority", share["seniority"])), age - _STATISTICS["years_before_work"])
    marital = _choose("marital", _band("age", age), chance[0])
    home = _choose("home", _band("age", age) * 2 + (marital == 0), chance[1])
    job = _choose("job", _band("seniority", seniority) * 3 + _band("age_at_work", age), chance[2])
    income = _round(_above_zero("income", share["income"], job) * _INCOME_FACTORS[job])
    assets = _round(_above_zero("assets", share["assets"], home), 500)
    debt = _round(_above_zero("debt", share["debt"], home), 100)
    price = _round(_quantile("price", share["price"]))
    amount = _round(price * _quantile("share", share["share"]), 50)
    return {
        "seniority": seniority,
        "home": _VALUES["home"][home],
        "time": _MONTHS[np.searchsorted(_MONTHS_UP_TO, share["time"], side="right")],
        "age": age,
        "marital": _VALUES["marital"][marital],
        "records": np.where(share["records"] > 1 - _STATISTICS["records"], '"yes"', '"no"'),
        "job": _VALUES["job"][job],
        "expenses": _round(_quantile("expenses", share["expenses"])),
        "income": np.where(chance[3] < _UNKNOWN["income"], -1, income),
        "assets": np.where(chance[4] < _UNKNOWN["assets"], -1, assets),
        "debt": np.where(chance[5] < _UNKNOWN["debt"], -1, debt),
        "amount": np.clip(amount, _STATISTICS["amount_min"], price),
        "price": price,
    }


def _quantile(name: str, share: Floats) -> Floats:
    values: Floats = np.interp(share, _QUANTILES["at"], _QUANTILES[name])
    return values


def _above_zero(name: str, share: Floats, category: Integers | tuple[()] = ()) -> Floats:
    """The quantile at `share` of a number that is zero for a share of the applicants, or of those in a category."""
    zeros = _ZEROS[name][category]
    values: Floats = np.where(share < zeros, 0.0, _quantile(name, (share - zeros) / (1 - zeros)))
    return values


def _round(values: Floats, step: int = 1) -> Integers:
    return np.rint(values / step).astype(np.int64) * step


def _band(name: str, values: Integers) -> Integers:
    return np.searchsorted(_BANDS[name], values, side="right")


def _choose(name: str, band: Integers, chance: Floats) -> Integers:
    """The index of a category, drawn with the shares of its band."""
    chosen: Integers = (chance[:, None] >= _CUMULATED[name][band]).sum(axis=1)
    return chosen
