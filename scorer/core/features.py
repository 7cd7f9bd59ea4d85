"""Applications to the float32 matrix that the model wants, in the bundle's own column order.

A number has a column of its name; a category has a column for each of its values, named `field=value`, that holds 1
where the application has that value. A column that the contract does not know is refused when the bundle is opened, so
no category is ever silently zero because of a misspelt name.
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
"""Each categorical field with its values, in the contract's order."""

NUMBERS: Final[tuple[str, ...]] = tuple(
    name for name in CreditApplication.model_fields if name not in CATEGORIES and name != "application_id"
)
"""The numeric fields, in the contract's order."""

MISSING_MAX: Final = float(np.finfo(np.float32).max)
"""The largest value of `missing`: the matrix holds 32-bit floats."""

_DEFAULTS: Final = {name: CreditApplication.model_fields[name].default for name in CATEGORIES}
_FIELDS: Final = Application.__struct_fields__
_CATEGORY_FIELDS: Final = tuple(_FIELDS.index(name) for name in CATEGORIES)
# What an application's categorical fields can hold together; None is an absent one, which stands for its default.
_COMBINATIONS: Final = tuple(
    product(*((*values, None) if _DEFAULTS[name] in values else values for name, values in CATEGORIES.items()))
)


def columns_of(fields: Iterable[str]) -> tuple[str, ...]:
    """The columns that encode these fields, sorted by name, which is the order of scikit-learn's DictVectorizer."""
    columns = [f"{field}={value}" for field in fields if field in CATEGORIES for value in CATEGORIES[field]]
    return tuple(sorted([*columns, *(field for field in fields if field in NUMBERS)]))


class FeatureEncoding:
    """Builds the matrix of a bundle, by column."""

    def __init__(self, columns: Sequence[str], missing: float) -> None:
        """Prepares the encoding.

        Args:
            columns: the matrix's columns in order: a numeric field's name, or `field=value`.
            missing: what stands for an unknown number: 0 in the course's recipe; NaN leaves it to the model.

        Raises:
            ValueError: a column that the contract does not know, or one twice.
        """
        unknown = [c for c in columns if c not in NUMBERS and not _is_category(c)]
        if unknown:
            msg = f"columns that no field of the contract gives: {', '.join(unknown)}"
            raise ValueError(msg)
        repeated = sorted({c for c in columns if list(columns).count(c) > 1})
        if repeated:
            msg = f"columns that stand twice: {', '.join(repeated)}"
            raise ValueError(msg)
        self.columns = tuple(columns)
        self.missing = missing
        place = {column: i for i, column in enumerate(self.columns)}
        self._numbers = [(place[name], _FIELDS.index(name)) for name in NUMBERS if name in place]
        # The one-hot columns of each combination: a record's categories are encoded by one look at a table.
        self._rows = {values: row for row, values in enumerate(_COMBINATIONS)}
        self._table = np.zeros((len(_COMBINATIONS), len(self.columns)), dtype=np.float32)
        for values, row in self._rows.items():
            for (field, default), value in zip(_DEFAULTS.items(), values, strict=True):
                column = place.get(f"{field}={default if value is None else value}")
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


def _is_category(column: str) -> bool:
    field, _, value = column.partition("=")
    return value in CATEGORIES.get(field, ())
