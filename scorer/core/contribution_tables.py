"""Tables of the exact contributions of a tree model's columns to its log-odds: path-dependent TreeSHAP in fixed point.

A tree is divided into blocks: subtrees, each with the conditions on the way to it, at most eight conditions in all. For
each pattern of conditions that hold, a block's table has the contributions of its leaves, summed per target (a reason's
fields). A row costs one look-up per block. All numbers are integers, so sums do not depend on the order of addition,
the engine or the machine.

For one leaf, the game of TreeSHAP is a product: a column that is known has the factor 1 or 0 (whether the row satisfies
its conditions), and one that is unknown the share `z` of training rows that do. The Shapley value of column j is the
integral over y from 0 to 1 of (o_j - z_j) times the product, over the other columns k, of (1 - y) z_k + y o_k; the
product is a polynomial in y, of degree 7 at most, which a Gauss-Legendre rule integrates exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scorer.core.trees import TreesTable

CONDITIONS_MAX: Final = 8  # a pattern is one byte
SCALE_BITS: Final = 26
"""Contributions are integers in units of 2 to the power of -26 log-odds; 32 bits hold contributions below 32."""
TABLE_BYTES_MAX: Final = 64 << 20
_SUM_BITS: Final = 44  # of the leaves' contributions before they are rounded
_LEAF_MAX: Final = 1 << 10  # 256 of them fit into 63 bits
_CHUNK_NUMBERS: Final = 1 << 20
# Literals, not computed: the same bits on every machine.
_RULES: Final = (
    ((0.5, 1.0),),
    ((0.21132486540518713, 0.5), (0.7886751345948129, 0.5)),
    ((0.1127016653792583, 0.2777777777777778), (0.5, 0.4444444444444444), (0.8872983346207417, 0.2777777777777778)),
    (
        (0.06943184420297371, 0.17392742256872692),
        (0.33000947820757187, 0.3260725774312731),
        (0.6699905217924281, 0.3260725774312731),
        (0.9305681557970262, 0.17392742256872692),
    ),
)
"""The Gauss-Legendre rules on 0 to 1, points with weights; rule i is exact up to degree 2 i + 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ContributionTables:
    """The tables of one model; `scorer.core.reasons` and the compiled engine evaluate them.

    Attributes:
        condition_counts: of each of b blocks the number of its conditions, 0 to 8.
        columns: of each condition of all blocks, the column that it compares; int32.
        thresholds: what it compares with; float32.
        is_less: 1 if it holds for a column less than the threshold, 0 if it holds for a column that is not less; an
            unknown value satisfies neither. uint8.
        target_counts: of each block the number of targets that it contributes to.
        targets: these targets, of all blocks; int32.
        values: of each block one row per pattern, with one contribution per target; int32. Bit i of a pattern is set if
            the block's condition i holds.
    """

    condition_counts: NDArray[np.int64]
    columns: NDArray[np.int32] = field(repr=False)
    thresholds: NDArray[np.float32] = field(repr=False)
    is_less: NDArray[np.uint8] = field(repr=False)
    target_counts: NDArray[np.int64]
    targets: NDArray[np.int32] = field(repr=False)
    values: NDArray[np.int32] = field(repr=False)


@dataclass(slots=True)
class _Block:
    """A block of a tree: its conditions as nodes, and the paths to its leaves."""

    nodes: list[int]
    paths: list[list[int]]
    """Of each leaf: the nodes from the root to it, and the leaf itself."""
    targets: list[int]
    """What its columns contribute to, in order."""


class _Trees:
    """The nodes of all trees, numbered through, with their covers."""

    def __init__(self, trees: TreesTable) -> None:
        starts = np.repeat(np.cumsum([0, *trees.sizes])[:-1], trees.sizes)
        left, right = (np.frombuffer(part, np.int32) for part in (trees.left, trees.right))
        self.is_leaf = left < 0
        self.children = np.column_stack([left + starts, right + starts])
        self.column = np.frombuffer(trees.column, np.int32)
        self.value = np.frombuffer(trees.value, np.float32)
        self.is_less = np.frombuffer(trees.default_left, np.uint8) == 0
        self.parent = np.full(len(left), -1)
        inner = np.flatnonzero(~self.is_leaf)
        for side in range(2):
            self.parent[self.children[inner, side]] = inner
        self.is_left = np.zeros(len(left), dtype=np.bool_)
        self.is_left[self.children[inner, 0]] = True
        covers = np.frombuffer(trees.cover, np.float32).astype(np.float64)
        has_parent = self.parent >= 0
        self.share = np.ones(len(left))
        """Of each node its cover, divided by its parent's."""
        if not (covers[inner] > 0).all():
            msg = "its trees do not say how many training rows reached each node (sum_hessian)"
            raise ValueError(msg)
        self.share[has_parent] = covers[has_parent] / covers[self.parent[has_parent]]
        self.roots = np.cumsum([0, *trees.sizes])[:-1].tolist()

    @property
    def depth(self) -> int:
        """The number of splits on the way to the deepest leaf."""
        depth, level = 0, self.children[[root for root in self.roots if not self.is_leaf[root]]].ravel()
        while len(level):
            depth, level = depth + 1, self.children[level[~self.is_leaf[level]]].ravel()
        return depth

    def blocks(self, target_of: NDArray[np.intp]) -> Iterator[_Block]:
        """Divides the trees into the largest possible blocks, without those that contribute to no target."""
        children = self.children.tolist()
        for root in self.roots:
            counts = self._count_inner(root)
            pending = [[root]]
            while pending:
                path = pending.pop()
                node, conditions = path[-1], len(path) - 1 + counts[path[-1]]
                if conditions > CONDITIONS_MAX:
                    pending += [[*path, child] for child in reversed(children[node])]
                    continue
                block = self._block(path)
                targets = target_of[self.column[block.nodes]]
                block.targets = np.unique(targets[targets >= 0]).tolist()
                if block.targets:
                    yield block

    def _block(self, path: list[int]) -> _Block:
        """Returns the block of the subtree at the end of a path."""
        block, pending = _Block(path[:-1], [], []), [path]
        while pending:
            path = pending.pop()
            if self.is_leaf[path[-1]]:
                block.paths.append(path)
            else:
                block.nodes.append(path[-1])
                pending += [[*path, child] for child in reversed(self.children[path[-1]].tolist())]
        return block

    def _count_inner(self, root: int) -> dict[int, int]:
        """Returns, per node of a tree, the number of splits in the subtree below it, itself included."""
        order, children, is_leaf = [root], self.children, self.is_leaf
        for node in order:
            if not is_leaf[node]:
                order += children[node].tolist()
        counts: dict[int, int] = {}
        for node in reversed(order):
            counts[node] = 0 if is_leaf[node] else 1 + sum(counts[child] for child in children[node].tolist())
        return counts


class _Leaves:
    """The leaves of blocks with the same number of conditions, as arrays: one row per leaf, one column per player.

    A player is a column of the matrix that is compared on the way to the leaf. There are up to eight; the others always
    satisfy their conditions and change nothing.

    Attributes:
        mask, wanted: which bits of a pattern are conditions on the player's column, and the value of each of them on
            the way to the leaf.
        shares: the share of training rows that satisfy all of them.
        rows: the row of the sums to which the player contributes; -1 for none.
        values: of each leaf.
        players: the greatest number of players of a leaf.
    """

    def __init__(self, count: int) -> None:
        self.mask = np.zeros((count, CONDITIONS_MAX), dtype=np.uint8)
        self.wanted = np.zeros((count, CONDITIONS_MAX), dtype=np.uint8)
        self.shares = np.ones((count, CONDITIONS_MAX))
        self.rows = np.full((count, CONDITIONS_MAX), -1)
        self.values = np.zeros(count)
        self.players = 1

    def set(
        self, leaf: int, nodes: _Trees, block: _Block, path: list[int], targets: tuple[int, NDArray[np.intp]]
    ) -> None:
        """Sets the arrays of a leaf; `targets` has the first row of its block, and the target of each column."""
        first_row, target_of = targets
        players: dict[int, int] = {}
        for node, child in pairwise(path):
            column = int(nodes.column[node])
            player = players.setdefault(column, len(players))
            bit = 1 << block.nodes.index(node)
            self.mask[leaf, player] |= bit
            if nodes.is_left[child] == nodes.is_less[node]:
                self.wanted[leaf, player] |= bit
            self.shares[leaf, player] *= nodes.share[child]
            if target_of[column] >= 0:
                self.rows[leaf, player] = first_row + block.targets.index(target_of[column])
        self.values[leaf] = nodes.value[path[-1]]
        self.players = max(self.players, len(players))

    def add_to(self, sums: NDArray[np.int64]) -> None:
        """Adds the leaves' contributions to the sums, shape (rows, patterns), in units of 2 to the power of -44."""
        patterns = np.arange(sums.shape[1], dtype=np.uint8)
        step = max(1, _CHUNK_NUMBERS // (sums.shape[1] * self.players))
        for start in range(0, len(self.values), step):
            part, players = slice(start, start + step), slice(self.players)
            holds = (patterns & self.mask[part, players, None]) == self.wanted[part, players, None]
            contributions = _contributions(holds, self.shares[part, players, None])
            contributions *= self.values[part, None, None] * float(1 << _SUM_BITS)
            rows = self.rows[part, players].ravel()
            wanted_rows = np.flatnonzero(rows >= 0)
            if not len(wanted_rows):
                continue
            wanted_rows = wanted_rows[np.argsort(rows[wanted_rows], kind="stable")]
            whole = np.rint(contributions.reshape(len(rows), -1)[wanted_rows]).astype(np.int64)
            distinct, first = np.unique(rows[wanted_rows], return_index=True)
            sums[distinct] += np.add.reduceat(whole, first, axis=0)


def _contributions(holds: NDArray[np.bool_], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each player's contribution to a leaf of value 1.

    Args:
        holds: whether the player's conditions hold, shape (leaves, players, patterns).
        shares: of training rows for which they hold, shape (leaves, players, 1).
    """
    players = holds.shape[1]
    integral = np.zeros(holds.shape)
    for point, weight in _RULES[(players - 1) // 2]:
        factors = (1 - point) * shares + point * holds
        before = np.full_like(factors[:, 0], weight)
        products = np.empty_like(factors)
        for player in range(players):
            products[:, player] = before
            before = before * factors[:, player]
        after = np.ones_like(before)
        for player in reversed(range(players)):
            products[:, player] *= after
            after = after * factors[:, player]
        integral += products
    return (holds - shares) * integral


def build_tables(trees: TreesTable, targets: Sequence[int]) -> ContributionTables | None:
    """Builds the tables of a model.

    Args:
        trees: the model's trees.
        targets: of each column of the matrix, the target to which its contributions are added; -1 for none.

    Returns:
        The tables; None if a tree is deeper than eight levels, a number does not fit into its 32 bits, or the tables
        would have more than 64 MB.

    Raises:
        ValueError: a node that is not a leaf has no cover, so that contributions are undefined.
    """
    nodes = _Trees(trees)
    if nodes.depth > CONDITIONS_MAX or np.abs(nodes.value[nodes.is_leaf]).max() > _LEAF_MAX:
        return None
    target_of = np.asarray(targets)
    blocks: list[_Block] = []
    numbers = 0
    for block in nodes.blocks(target_of):
        blocks.append(block)
        numbers += len(block.targets) << len(block.nodes)
        if numbers * 4 > TABLE_BYTES_MAX:
            return None
    values = _fill(nodes, blocks, target_of)
    if any(len(value) and max(value.max(), -value.min()) >= 1 << 31 for value in values):
        return None
    conditions = np.array([node for block in blocks for node in block.nodes], dtype=np.intp)
    return ContributionTables(
        np.array([len(block.nodes) for block in blocks], dtype=np.int64),
        nodes.column[conditions],
        nodes.value[conditions],
        nodes.is_less[conditions].astype(np.uint8),
        np.array([len(block.targets) for block in blocks], dtype=np.int64),
        np.array([target for block in blocks for target in block.targets], dtype=np.int32),
        np.concatenate([np.empty(0), *values]).astype(np.int32),
    )


def _fill(nodes: _Trees, blocks: Sequence[_Block], target_of: NDArray[np.intp]) -> list[NDArray[np.int64]]:
    """Returns the values of each block, row by row."""
    values: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * len(blocks)
    for conditions in {len(block.nodes) for block in blocks}:
        group = [number for number, block in enumerate(blocks) if len(block.nodes) == conditions]
        leaves = _Leaves(sum(len(blocks[number].paths) for number in group))
        ends, leaf = [0], 0
        for number in group:
            block = blocks[number]
            for path in block.paths:
                leaves.set(leaf, nodes, block, path, (ends[-1], target_of))
                leaf += 1
            ends.append(ends[-1] + len(block.targets))
        sums = np.zeros((ends[-1], 1 << conditions), dtype=np.int64)
        leaves.add_to(sums)
        rounded = (sums + (1 << (_SUM_BITS - SCALE_BITS - 1))) >> (_SUM_BITS - SCALE_BITS)
        for number, start, end in zip(group, ends, ends[1:], strict=False):
            values[number] = rounded[start:end].T.ravel()
    return values
