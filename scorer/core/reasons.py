"""Chooses the reasons of decisions that are not APPROVED: at most four codes each, the most important one first."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.decision import REASONS_MAX
from scorer.core.contribution_tables import ContributionTables
from scorer.core.contributions import TableContributions, round_contributions
from scorer.core.policy import LABELS, Policy

NONE: Final = 255
"""In place of an entry's index: no reason. A catalogue has at most 200 entries."""
_APPROVED: Final = LABELS.index("APPROVED")
_NEVER: Final = np.iinfo(np.int64).min


class ContributingModel(Protocol):
    """A model whose library computes exact contributions."""

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns each column's contribution to the log-odds of each row, shape (n, columns). Raises ModelError."""
        ...


class Explainer:
    """Explains the decisions of one bundle.

    Attributes:
        codes: the catalogue's codes, in its order; an entry's index is its position.
        is_used: whether the model uses a field of the entry, shape (entries,).
        tables: the model's tables; None if its library computes contributions.
    """

    def __init__(
        self,
        codes: Sequence[str],
        targets: Sequence[int],
        tables: ContributionTables | None,
        model: ContributingModel,
    ) -> None:
        """Prepares the explanations.

        Args:
            codes: the catalogue's codes.
            targets: of each column of the matrix, the index of the entry that is about it; -1 for none.
            tables: the model's tables, with these targets; None to ask the model.
            model: the bundle's model.

        Raises:
            ValueError: no entry is about a field that the model uses.
        """
        self.codes = tuple(codes)
        self.tables = tables
        self._targets = tuple(targets)
        self._table_contributions = None if tables is None else TableContributions(tables, len(codes))
        self._model = model
        used = np.array(self._targets) if tables is None else tables.targets
        self.is_used = np.isin(np.arange(len(codes)), used)
        if not self.is_used.any():
            msg = "no reason in the catalogue is about a field that the model uses"
            raise ValueError(msg)

    def explain(
        self, matrix: NDArray[np.float32], labels: NDArray[np.intp], leading: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Returns the reasons of n decisions.

        Args:
            matrix: the model's matrix, shape (n, columns).
            labels: the decisions' labels as indexes into `LABELS`, shape (n,).
            leading: the entries that come first, shape (n, up to four), `NONE` after the last one of each row.

        Returns:
            Shape (n, 4): indexes of entries, `NONE` after the last one; of APPROVED decisions `NONE` alone.

        Raises:
            ModelError: the model's library fails.
        """
        reasons = np.full((len(labels), REASONS_MAX), NONE, dtype=np.uint8)
        rows = np.flatnonzero(labels != _APPROVED)
        if len(rows):
            first = None if leading is None else leading[rows]
            reasons[rows] = choose(self.contributions(matrix[rows]), self.is_used, first)
        return reasons

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the contribution of each entry to each row's log-odds of default, in units of 2 ** -26.

        Args:
            matrix: shape (n, columns).

        Returns:
            Shape (n, entries): the sum over the columns of the entry's fields.

        Raises:
            ModelError: the model's library fails.
        """
        if self._table_contributions is not None:
            return self._table_contributions.evaluate(matrix)
        return round_contributions(self._model.contributions(matrix), self._targets, len(self.codes))


def find_reasons(policy: Policy, codes: Sequence[str]) -> list[int]:
    """Returns for each rule of a policy the index of its reason among the catalogue's codes, or `NONE`."""
    indexes = {code: index for index, code in enumerate(codes)}
    return [NONE if rule.reason is None else indexes[rule.reason] for rule in policy.rules]


def find_leading(policy: Policy, codes: Sequence[str], rules: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Returns the entries that come first because of rules, shape (n, 1), or `NONE`.

    Args:
        policy: the policy.
        codes: the catalogue's codes.
        rules: the indexes of the rules that decided, shape (n,); -1 for none.
    """
    by_rule = np.array([*find_reasons(policy, codes), NONE], dtype=np.uint8)
    return by_rule[rules][:, np.newaxis]


def choose(
    contributions: NDArray[np.int64], is_used: NDArray[np.bool_], leading: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Chooses at most four entries per row: the leading ones, then those with the largest positive contributions.

    Of equal contributions the earlier entry comes first. A row without leading entries and positive contributions gets
    the entry with the largest one.

    Args:
        contributions: of the entries, shape (n, entries).
        is_used: whether the model uses a field of the entry, shape (entries,); at least one.
        leading: indexes of entries, shape (n, up to four); `NONE` for no entry.

    Returns:
        Shape (n, 4), each row without duplicates; `NONE` after the last entry.
    """
    ranked = np.where(is_used, contributions, _NEVER)
    if leading is None:
        return _largest(ranked, np.zeros(len(ranked), dtype=np.bool_))
    first = leading.copy()
    for later in range(1, first.shape[1]):
        for earlier in range(later):
            first[first[:, later] == first[:, earlier], later] = NONE
    rows, ranks = np.nonzero(first != NONE)
    ranked[rows, first[rows, ranks]] = _NEVER
    chosen = np.concatenate([first, _largest(ranked, (first != NONE).any(axis=1))], axis=1)
    in_order = np.argsort(chosen == NONE, axis=1, kind="stable")[:, :REASONS_MAX]
    return np.take_along_axis(chosen, in_order, axis=1)


def _largest(ranked: NDArray[np.int64], has_leading: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns up to four entries with the largest positive contributions, at least one without a leading entry."""
    order = np.argsort(~ranked, axis=1, kind="stable")[:, :REASONS_MAX]  # the complement falls as the number rises
    is_reason = np.take_along_axis(ranked, order, axis=1) > 0
    is_reason[:, 0] |= ~has_leading
    chosen = np.full((len(ranked), REASONS_MAX), NONE, dtype=np.uint8)
    chosen[:, : order.shape[1]] = np.where(is_reason, order, NONE)
    return chosen
