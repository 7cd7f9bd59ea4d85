"""The file of loans that README and documentation use: synthetic applicants, and what became of their loans."""

import csv
import io
import json
import math
from typing import Any, Final

import numpy as np

from schemas.contracts.credit_applicants import draw_applicants

PATH: Final = "examples/applications.csv"
_ROWS: Final = 800
_SEED: Final = 20_240
# Log-odds of a default, added up. They make a model learnable; they are not those of any lender's loans.
_BASE: Final = -2.4
_BY_VALUE: Final[dict[str, dict[str, float]]] = {
    "records": {"yes": 2.4},
    "job": {"partime": 1.6, "freelance": 0.6, "others": 0.5},
    "home": {"owner": -0.8, "parents": -0.2, "rent": 0.5},
}
_PER_YEAR_OF_WORK: Final = -0.15
_PER_INCOME: Final = -0.012
_OF_THE_WHOLE_PRICE: Final = 3.0
_INCOME_IF_UNKNOWN: Final = 100.0


def generate() -> dict[str, bytes]:
    """The generated file: its content by path, the same on every run."""
    random = np.random.default_rng(_SEED)
    columns = {name: column.tolist() for name, column in draw_applicants(random, _ROWS).items()}
    chances = random.random(_ROWS).tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["application_id", *columns, "status"])
    for number, (chance, *cells) in enumerate(zip(chances, *columns.values(), strict=True), 1):
        values = dict(zip(columns, map(_plain, cells), strict=True))
        status = "default" if chance < _default_probability(values) else "ok"
        writer.writerow([f"loan-{number:03}", *values.values(), status])
    return {PATH: text.getvalue().encode()}


def _plain(cell: str | int) -> str | int | None:
    """A category without its quotes, a number as it is, and None for an unknown number."""
    if isinstance(cell, str):
        return str(json.loads(cell))
    return None if cell < 0 else cell


def _default_probability(values: dict[str, Any]) -> float:
    income = _INCOME_IF_UNKNOWN if values["income"] is None else values["income"]
    log_odds = (
        _BASE
        + sum(weights.get(values[name], 0.0) for name, weights in _BY_VALUE.items())
        + _PER_YEAR_OF_WORK * min(values["seniority"], 20)
        + _PER_INCOME * (min(income, 300) - _INCOME_IF_UNKNOWN)
        + _OF_THE_WHOLE_PRICE * values["amount"] / values["price"]
    )
    return 1 / (1 + math.exp(-log_odds))
