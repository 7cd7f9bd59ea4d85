"""Encodes applications as the model's float32 matrix, in the bundle's column order.

A numeric field has a column of the same name. A categorical field is one-hot encoded: each of its values has a column
named `field=value`. Opening a bundle fails if a column is not in the contract, so a misspelt name never becomes a
column of zeros.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final, Literal, get_args, get_origin

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from schemas.application import CreditApplication
from scorer.core.wire import Application

CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    name: get_args(field.annotation)
    for name, field in CreditApplication.model_fields.items()
    if get_origin(field.annotation) is Literal
}
"""The values of each categorical field, in the contract's order."""

NUMBERS: Final[tuple[str, ...]] = tuple(
    name for name in CreditApplication.model_fields if name not in CATEGORIES and name != "application_id"
)
"""The numeric fields, in the contract's order."""

MISSING_MAX: Final = float(np.finfo(np.float32).max)
"""Upper limit of `missing`: the matrix holds 32-bit floats."""

_DEFAULTS: Final = {name: CreditApplication.model_fields[name].default for name in CATEGORIES}
_FIELDS: Final = Application.__struct_fields__
_CATEGORY_FIELDS: Final = tuple(_FIELDS.index(name) for name in CATEGORIES)
# All combinations of categorical values; None is an absent field, which has its default value.
_COMBINATIONS: Final = tuple(
    product(*((*values, None) if _DEFAULTS[name] in values else values for name, values in CATEGORIES.items()))
)


def columns_of(fields: Iterable[str]) -> tuple[str, ...]:
    """Returns the columns that encode these fields, sorted by name: the order of scikit-learn's DictVectorizer."""
    columns = [f"{field}={value}" for field in fields if field in CATEGORIES for value in CATEGORIES[field]]
    return tuple(sorted([*columns, *(field for field in fields if field in NUMBERS)]))


class FeatureEncoding:
    """Encodes applications as a matrix with the columns of a bundle."""

    def __init__(self, columns: Sequence[str], missing: float) -> None:
        """Prepares the encoding.

        Args:
            columns: the matrix's columns in order: a numeric field's name, or `field=value`.
            missing: replaces unknown numbers: 0 in the course's recipe; NaN lets the model handle them.

        Raises:
            ValueError: a column is not in the contract, or is repeated.
        """
        unknown = [c for c in columns if c not in NUMBERS and not _is_one_hot_column(c)]
        if unknown:
            msg = f"columns that are not in the contract: {', '.join(unknown)}"
            raise ValueError(msg)
        repeated = sorted({c for c in columns if list(columns).count(c) > 1})
        if repeated:
            msg = f"duplicate columns: {', '.join(repeated)}"
            raise ValueError(msg)
        self.columns = tuple(columns)
        self.missing = missing
        position = {column: i for i, column in enumerate(self.columns)}
        self._numbers = [(position[name], _FIELDS.index(name)) for name in NUMBERS if name in position]
        # The one-hot columns of each combination: encoding a record's categories is one table lookup.
        self._rows = {values: row for row, values in enumerate(_COMBINATIONS)}
        self._table = np.zeros((len(_COMBINATIONS), len(self.columns)), dtype=np.float32)
        for values, row in self._rows.items():
            for (field, default), value in zip(_DEFAULTS.items(), values, strict=True):
                column = position.get(f"{field}={default if value is None else value}")
                if column is not None:
                    self._table[row, column] = 1.0

    def matrix(self, applications: Sequence[Application]) -> NDArray[np.float32]:
        """Encodes a batch.

        Args:
            applications: n decoded applications.

        Returns:
            Shape (n, columns), float32, C order, row i for application i.
        """
        n = len(applications)
        fields = tuple(zip(*map(astuple, applications), strict=True)) or ((),) * len(_FIELDS)
        combinations = zip(*(fields[i] for i in _CATEGORY_FIELDS), strict=True)
        matrix = self._table[np.fromiter(map(self._rows.__getitem__, combinations), dtype=np.intp, count=n)]
        for column, field in self._numbers:
            matrix[:, column] = np.fromiter(fields[field], dtype=np.float32, count=n)  # None becomes NaN
        if not np.isnan(self.missing):
            np.copyto(matrix, self.missing, where=np.isnan(matrix))
        return matrix


def _is_one_hot_column(column: str) -> bool:
    field, _, value = column.partition("=")
    return value in CATEGORIES.get(field, ())
