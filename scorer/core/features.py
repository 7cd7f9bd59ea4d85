"""Applications to the float32 matrix that the model wants, in the bundle's own column order.

A number has a column of its name; a category has a column for each of its values, named `field=value`, that holds 1
where the application has that value. A column that the contract does not know is refused when the bundle is opened, so
no category is ever silently zero because of a misspelt name.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final, Literal, get_args, get_origin

import numpy as np
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

ABSENT: Final = {name: field.default for name, field in CreditApplication.model_fields.items() if name in CATEGORIES}
"""What a categorical field that is absent stands for (undefined where it must be there)."""


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
        self._numbers = [(place[name], attrgetter(name)) for name in NUMBERS if name in place]
        self._categories = [
            (attrgetter(field), _codes(field), table)
            for field in CATEGORIES
            if (table := _places(field, place)) is not None
        ]

    def matrix(self, applications: Sequence[Application]) -> NDArray[np.float32]:
        """Encodes a batch.

        Args:
            applications: n decoded applications.

        Returns:
            Shape (n, columns), float32, C order, row i for application i.
        """
        n = len(applications)
        # One column more than asked for: the values of a category that the model does not know of land there.
        wide = np.zeros((n, len(self.columns) + 1), dtype=np.float32)
        for column, get in self._numbers:
            wide[:, column] = np.fromiter(map(get, applications), dtype=np.float32, count=n)  # None becomes NaN
        rows = np.arange(n)
        for get, codes, table in self._categories:
            coded = np.fromiter(map(codes, map(get, applications)), dtype=np.intp, count=n)
            wide[rows, table[coded]] = 1.0
        matrix = np.ascontiguousarray(wide[:, :-1])
        if not np.isnan(self.missing):
            np.nan_to_num(matrix, copy=False, nan=self.missing)
        return matrix


def _is_category(column: str) -> bool:
    field, _, value = column.partition("=")
    return value in CATEGORIES.get(field, ())


def _codes(field: str) -> Callable[[str | None], int]:
    """The place of a category's value in the contract's list; None (absent) has that of the field's default."""
    places: dict[str | None, int] = {value: i for i, value in enumerate(CATEGORIES[field])}
    if ABSENT[field] in places:
        places[None] = places[ABSENT[field]]
    return places.__getitem__


def _places(field: str, place: dict[str, int]) -> NDArray[np.intp] | None:
    """The column of each of a category's values, -1 for one that has none; None if no value has one."""
    columns = [place.get(f"{field}={value}", -1) for value in CATEGORIES[field]]
    return np.array(columns, dtype=np.intp) if any(c >= 0 for c in columns) else None
