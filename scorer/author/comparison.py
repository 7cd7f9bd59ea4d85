"""Synthetic applications on which a converted model must give the same predictions as the original."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, ContractField, Kind
from schemas.made_up import bounds_of, example_of
from scorer.author.model_input import ModelInput
from scorer.bundle.golden import golden_matrix
from scorer.core.columns import Columns

TOLERANCE: Final = 1e-6  # between the probabilities of the original and of the converted model
_ROWS: Final = 2_000  # enough to detect a difference on one application in a few hundred
_UNKNOWN_SHARE: Final = 0.1
_ZERO_SHARE: Final = 0.1
_SEED: Final = 1  # the same rows every time, so that the result of the check is deterministic


def comparison_matrix(inputs: ModelInput) -> NDArray[np.float32]:
    """Returns the matrix of the golden examples and of random applications around the contract's example.

    The golden examples alone are few, and many are at the contract's limits, where models that differ elsewhere agree.
    """
    return np.concatenate([golden_matrix(inputs.encoding), inputs.encoding.matrix(_draw(inputs.contract))])


def _draw(contract: Contract) -> Columns:
    random = np.random.default_rng(_SEED)
    values = {
        name: random.integers(0, len(field.categories), _ROWS) if field.categories else _draw_numbers(field, random)
        for name, field in contract.inputs.items()
    }
    return Columns([""] * _ROWS, values, np.zeros(_ROWS, dtype=np.intp), np.zeros(_ROWS, dtype=np.bool_))


def _draw_numbers(field: ContractField, random: np.random.Generator) -> NDArray[np.float64]:
    """Draws a number per row, up to four times the contract's example; some are 0 or unknown where that is allowed."""
    if field.kind is Kind.BOOLEAN:
        return random.integers(0, 2, _ROWS).astype(np.float64)
    low, high = bounds_of(field)
    if field.kind.is_numeric:
        low = 1 if low > 0 and field.limits.exclusive_minimum >= field.limits.minimum else low
        high = min(4 * (example_of(field) or 1_000), high)
    numbers = np.round(random.uniform(low, high, _ROWS))
    if low == 0:
        numbers[random.random(_ROWS) < _ZERO_SHARE] = 0
    if field.may_be_unknown:
        numbers[random.random(_ROWS) < _UNKNOWN_SHARE] = np.nan
    return numbers
