"""Encodes applications as the model's float32 matrix, in the bundle's column order.

A numeric field, a boolean or a date has a column of the same name. A category is one-hot encoded, with a column named
`field=value` for each of its values; or, for a model with categorical splits, it has a column of the same name with the
index of its value in the contract, and NaN if it is unknown. A derived column has a name of its own, and an expression
over fields (`scorer.core.expressions`). A column that is none of these is an error when the bundle is opened, so a
misspelt name never becomes a column of zeros.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, ContractField, Kind
from scorer.core.columns import UNKNOWN_CATEGORY, Columns
from scorer.core.expressions import NumberExpression, parse_number

MISSING_MAX: Final = float(np.finfo(np.float32).max)
"""Upper limit of `missing`: the matrix holds 32-bit floats."""
COLUMN_CHARACTERS_MAX: Final = 256


def columns_of(contract: Contract, fields: Iterable[str]) -> tuple[str, ...]:
    """Returns the columns that encode these fields, sorted by name: the order of scikit-learn's DictVectorizer.

    Categories are one-hot encoded; a column of a category's indexes has the field's name.
    """
    columns: list[str] = []
    for name in fields:
        field = contract.inputs[name]
        columns += one_hot_columns(field) if field.kind is Kind.CATEGORY else [name]
    return tuple(sorted(columns))


def one_hot_columns(field: ContractField) -> list[str]:
    """Returns the columns of a category, in the contract's order of its values."""
    return [f"{field.name}={value}" for value in field.categories]


class FeatureEncoding:
    """Encodes applications of a contract as a matrix with the columns of a bundle.

    Attributes:
        contract, columns, missing: as they were given.
        derived: the expressions of derived columns, by name.
        numbers: the columns of numbers and the derived ones, each with its position in the matrix.
        indexes: the columns of categories' indexes, likewise.
        one_hot: per category, the position of the column of each of its values, -1 for none; the last one is for
            unknown values, code -1.
    """

    def __init__(
        self, contract: Contract, columns: Sequence[str], missing: float, derived: Mapping[str, str] | None = None
    ) -> None:
        """Prepares the encoding.

        Args:
            contract: describes the applications.
            columns: the matrix's columns in order: a field's name, `field=value`, or the name of a derived column.
            missing: replaces unknown numbers: 0 in the course's recipe; NaN lets the model handle them. An unknown
                category in a column of indexes is always NaN, because every number is the index of some category.
            derived: the expressions of derived columns, by name.

        Raises:
            ValueError: a column is not in the contract, or is repeated; or a derived column has the name of another
                column, is not used, or its expression is invalid.
        """
        one_hot = {
            column: (field.name, code)
            for field in contract.inputs.values()
            for code, column in enumerate(one_hot_columns(field))
        }
        indexes = {name for name, field in contract.inputs.items() if field.kind is Kind.CATEGORY}
        numbers = contract.inputs.keys() - indexes
        self.derived = _parse_derived(derived or {}, contract, columns, {*numbers, *one_hot, *contract.fields})
        numbers |= self.derived.keys()
        known = {*numbers, *one_hot, *indexes}
        unknown = [column for column in columns if column not in known]
        if unknown:
            msg = f"columns that are not in the contract: {', '.join(unknown)}"
            raise ValueError(msg)
        repeated = sorted({column for column in columns if list(columns).count(column) > 1})
        if repeated:
            msg = f"duplicate columns: {', '.join(repeated)}"
            raise ValueError(msg)
        self.contract = contract
        self.columns = tuple(columns)
        self.missing = missing
        self.numbers = [(i, column) for i, column in enumerate(columns) if column in numbers]
        self.indexes = [(i, column) for i, column in enumerate(columns) if column in indexes]
        self.one_hot: dict[str, NDArray[np.intp]] = {}
        for i, column in enumerate(columns):
            if column in one_hot:
                name, code = one_hot[column]
                none = np.full(len(contract.inputs[name].categories) + 1, -1, dtype=np.intp)
                self.one_hot.setdefault(name, none)[code] = i

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """By column of category indexes, the category's values in order of their index."""
        return {name: self.contract.inputs[name].categories for _, name in self.indexes}

    @property
    def fields(self) -> tuple[str, ...]:
        """The contract's fields that the matrix depends on, sorted by name."""
        direct = {column.partition("=")[0] for column in self.columns if column not in self.derived}
        return tuple(sorted(direct.union(*(expression.fields for expression in self.derived.values()))))

    @property
    def column_fields(self) -> tuple[str, ...]:
        """Of each column its field; a derived column is a field of its own."""
        return tuple(column if column in self.derived else column.partition("=")[0] for column in self.columns)

    def matrix(self, columns: Columns) -> NDArray[np.float32]:
        """Encodes a batch.

        Args:
            columns: of n applications.

        Returns:
            Shape (n, columns), float32, C order, row i for application i.
        """
        n = len(columns)
        matrix = np.zeros((n, len(self.columns)), dtype=np.float32)
        for i, name in self.numbers:
            expression = self.derived.get(name)
            column = expression.evaluate(columns.values) if expression else columns.values[name]
            matrix[:, i] = column if np.isnan(self.missing) else np.where(np.isnan(column), self.missing, column)
        for i, name in self.indexes:
            index = columns.values[name]
            matrix[:, i] = np.where(index == UNKNOWN_CATEGORY, np.nan, index)
        rows = np.arange(n)
        for name, positions in self.one_hot.items():
            targets = positions[columns.values[name]]
            has_column = targets >= 0
            matrix[rows[has_column], targets[has_column]] = 1.0
        return matrix


def _parse_derived(
    derived: Mapping[str, str], contract: Contract, columns: Sequence[str], names_taken: Collection[str]
) -> dict[str, NumberExpression]:
    expressions: dict[str, NumberExpression] = {}
    for name, text in derived.items():
        if name in names_taken or "=" in name:
            msg = f"derived column {name}: the contract has a field or column of this name; choose another"
            raise ValueError(msg)
        if name not in columns:
            msg = f"derived column {name} is not among the columns"
            raise ValueError(msg)
        try:
            expressions[name] = parse_number(text, contract)
        except ValueError as error:
            msg = f"derived column {name}: {error}"
            raise ValueError(msg) from None
    return expressions
