"""The trees of a model as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TreesTable:
    """Trees of a model whose probability is the logistic function of the sum of their leaves.

    Attributes:
        sizes: the number of nodes of each tree.
        left, right, column: of each node of all trees: its children within its tree, -1 for a leaf, and its column;
            int32.
        value: of each node what it compares with, or the leaf's value; float32.
        default_left: of each node whether an unknown value goes to the left child; uint8.
        cover: of each node the sum of its training rows' weights; float32. The engine does not read it.
        base_score: the probability that the trees start from.
    """

    sizes: Sequence[int]
    left: bytes = field(repr=False)
    right: bytes = field(repr=False)
    column: bytes = field(repr=False)
    value: bytes = field(repr=False)
    default_left: bytes = field(repr=False)
    cover: bytes = field(repr=False)
    base_score: float
