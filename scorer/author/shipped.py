"""The shipped contract, which models are trained for, and its fields by kind."""

from typing import Final

from schemas.contract import Kind
from schemas.contracts import shipped_contract

CONTRACT: Final = shipped_contract()
CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    name: field.categories for name, field in CONTRACT.inputs.items() if field.kind is Kind.CATEGORY
}
"""The values of each categorical field, in the contract's order."""
NUMBERS: Final[tuple[str, ...]] = tuple(name for name, field in CONTRACT.inputs.items() if field.kind.is_numeric)
"""The numeric fields, in the contract's order."""
