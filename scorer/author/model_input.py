"""What a model reads: applications of a contract, encoded as a matrix, and the values that its columns may have."""

import math
from dataclasses import dataclass, replace
from typing import Self

from schemas.contract import Contract, ContractField, Kind
from schemas.contracts import shipped_contract
from scorer.bundle.manifest import Features
from scorer.core.features import FeatureEncoding


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A contract, and the columns of the matrix that its applications are encoded as."""

    contract: Contract
    features: Features

    @property
    def columns(self) -> tuple[str, ...]:
        """The matrix's columns, in order."""
        return self.features.columns

    @property
    def missing(self) -> float | None:
        """The number that replaces unknown numbers; None leaves them to the model."""
        return self.features.missing

    @property
    def encoding(self) -> FeatureEncoding:
        """The encoding. Raises ValueError if a column is not in the contract, or is repeated."""
        return FeatureEncoding(self.contract, self.columns, self.features.missing_number, self.features.derived)

    @property
    def has_own_contract(self) -> bool:
        """Whether a bundle carries the contract: it is not the shipped one, or there are columns of a new kind."""
        has_new_columns = bool(self.features.derived or self.encoding.categories)
        return self.contract.sha256 != shipped_contract().sha256 or has_new_columns

    def leave_missing(self) -> Self:
        """Returns the same columns with unknown numbers left to the model."""
        return replace(self, features=self.features.model_copy(update={"missing": None}))

    def is_one_hot(self, column: str) -> bool:
        """Whether a column stands for one value of a category (0 or 1)."""
        return "=" in column

    def is_number(self, column: str) -> bool:
        """Whether a column has numbers or truth values: it is neither one-hot nor the index of a category's value."""
        if self.is_one_hot(column):
            return False
        return column in self.features.derived or self._field(column).kind is not Kind.CATEGORY

    def may_be_unknown(self, column: str) -> bool:
        """Whether a valid application may have no value of a column; a one-hot column always has one."""
        if self.is_one_hot(column):
            return False
        return column in self.features.derived or self._field(column).may_be_unknown

    def is_flag(self, column: str) -> bool:
        """Whether a column has no numbers except 0 and 1: it is one-hot, or a boolean."""
        if self.is_one_hot(column):
            return True
        if column in self.features.derived or self._field(column).kind is not Kind.BOOLEAN:
            return False
        return self.missing in {None, 0.0, 1.0} or not self.may_be_unknown(column)

    def may_be_missing(self, column: str) -> bool:
        """Whether a bundle leaves an unknown value in a column of numbers to the model, as NaN."""
        return self.missing is None and self.may_be_unknown(column)

    def limits_of(self, column: str) -> tuple[float, float]:
        """Returns the lower and the upper limit of a column that is not one-hot; each may be exclusive, or infinite."""
        if column in self.features.derived:
            return -math.inf, math.inf
        field = self._field(column)
        if field.kind is Kind.BOOLEAN:
            return 0.0, 1.0
        limits = field.limits
        return max(limits.minimum, limits.exclusive_minimum), min(limits.maximum, limits.exclusive_maximum)

    def may_be(self, column: str, value: float) -> bool:
        """Whether a column may have this value without being unknown."""
        if column in self.features.derived:
            return True
        if self.is_one_hot(column) or self._field(column).kind is Kind.BOOLEAN:
            return value in {0.0, 1.0}
        field = self._field(column)
        if field.kind is Kind.CATEGORY:
            return value in range(len(field.categories))
        return not math.isnan(value) and bool(field.limits.hold(value))

    def _field(self, column: str) -> ContractField:
        return self.contract.inputs[column]
