"""Synthetic applications on which a converted model must give the same predictions as the original."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.fields import PROPERTIES, may_be_null, rule_of
from scorer.author.shipped import CATEGORIES, CONTRACT
from scorer.bundle.golden import golden_matrix
from scorer.bundle.manifest import Features
from scorer.core.features import FeatureEncoding

TOLERANCE: Final = 1e-6  # between the probabilities of the original and of the converted model
_ROWS: Final = 2_000  # enough to detect a difference on one application in a few hundred
_UNKNOWN_SHARE: Final = 0.1
_ZERO_SHARE: Final = 0.1
_SEED: Final = 1  # the same rows every time, so that the result of the check is deterministic


def comparison_matrix(features: Features) -> NDArray[np.float32]:
    """Returns the matrix of the golden examples and of random applications around the contract's example.

    The golden examples alone are few, and many are at the contract's limits, where models that differ elsewhere agree.
    """
    golden = golden_matrix(FeatureEncoding(CONTRACT, features.columns, features.missing_number))
    random = np.random.default_rng(_SEED)
    values = {field: random.choice(vocabulary, size=_ROWS) for field, vocabulary in CATEGORIES.items()}
    drawn = np.empty((_ROWS, len(features.columns)), dtype=np.float32)
    for position, column in enumerate(features.columns):
        field, equals, value = column.partition("=")
        drawn[:, position] = values[field] == value if equals else _draw_numbers(field, features.missing_number, random)
    return np.concatenate([golden, drawn])


def _draw_numbers(field: str, missing: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Draws a number per row, up to four times the contract's example; some are 0 or unknown where that is allowed."""
    rule = rule_of(field)
    lowest = rule.get("minimum", 1)
    highest = min(4 * (PROPERTIES[field]["examples"][0] or 1_000), rule["maximum"])
    numbers = np.round(random.uniform(lowest, highest, _ROWS))
    if lowest == 0:
        numbers[random.random(_ROWS) < _ZERO_SHARE] = 0
    if may_be_null(field):
        numbers[random.random(_ROWS) < _UNKNOWN_SHARE] = missing
    return numbers
