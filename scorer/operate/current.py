"""Determines the current decision on each application, from what corrections supersede and not from the read order.

Decisions on one application can be in several partitions if partitions were added to their topic, and there is no order
between partitions. A replay that reverts a decision writes the `decision_id` of an earlier decision again, so ids alone
can form a cycle: A, then B supersedes A, then A supersedes B. Hence three steps; the first non-empty set is used.

1. The decisions that are not superseded.
2. The decisions that were made more often than they were superseded: in the cycle above, A was made twice and
   superseded once.
3. All of them: the beginning of the cycle was deleted, or a decision was forged.

If several are left (two concurrent replays), the one written last is current: within a partition the one with the
highest offset, between partitions the one with the latest timestamp.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.signedinteger[Any]]

NOTHING: Final = 0
"""Value of `supersedes` for a decision that is not a correction, or does not name a decision."""
_CIRCULAR: Final = 2


class DecisionColumns(NamedTuple):
    """The decisions on applications that have several, by column; each column has shape (n,)."""

    application: Integers
    """An arbitrary number per application."""
    identity: Integers
    """Equal if and only if `decision_id` and application are equal."""
    supersedes: Integers
    """The identity of the superseded decision, or NOTHING."""
    replay: Integers
    """Equal for decisions of the same replay."""
    partition: Integers
    """With `offset`: the position of the decision's own record."""
    offset: Integers
    at_ms: Integers
    """That record's timestamp, in milliseconds since 1970."""


def choose_current(columns: DecisionColumns) -> tuple[NDArray[np.intp], int]:
    """Chooses the current decision of each application.

    Returns:
        The indexes of the current decisions, shape (applications,), and the number of applications of step 3.
    """
    rank = _write_order(columns)
    indexes = _drop_repetitions(columns, rank)
    application, identity = columns.application[indexes], columns.identity[indexes]
    steps = _steps(identity, columns.supersedes[indexes])
    # A decision that was superseded and then made again was last made by a correction.
    is_first = (steps > 0) & (columns.supersedes[indexes] == NOTHING)
    order = np.lexsort((-rank[indexes], is_first, steps, application))
    chosen = order[_run_starts_of(application[order])]
    return indexes[chosen], int((steps[chosen] == _CIRCULAR).sum())


def _write_order(columns: DecisionColumns) -> Integers:
    """Ranks the decisions on each application by the time of writing; shape (n,).

    Within a partition, a record never ranks before an earlier record, whatever its timestamp.
    """
    application, partition, offset, at_ms = columns.application, columns.partition, columns.offset, columns.at_ms
    _, time_rank = np.unique(at_ms, return_inverse=True)
    order = np.lexsort((offset, partition, application))
    run_starts = _run_starts_of(application[order]) | _run_starts_of(partition[order])
    # The running maximum of timestamps per application and partition: an offset per run separates the runs.
    run_base = (np.cumsum(run_starts) - 1) * (len(time_rank) + 1)
    latest = np.empty(len(time_rank), dtype=np.int64)
    latest[order] = np.maximum.accumulate(run_base + time_rank[order]) - run_base
    rank = np.empty(len(time_rank), dtype=np.int64)
    rank[np.lexsort((offset, partition, latest, application))] = np.arange(len(time_rank))
    return rank


def _drop_repetitions(columns: DecisionColumns, rank: Integers) -> NDArray[np.intp]:
    """Returns the indexes of distinct decisions: a replay may write the same correction several times."""
    keys = (columns.replay, columns.supersedes, columns.identity, columns.application)
    order = np.lexsort((rank, *keys))
    run_starts = np.logical_or.reduce([_run_starts_of(key[order]) for key in keys])
    return order[np.append(run_starts[1:], True)] if len(order) else order


def _steps(identity: Integers, supersedes: Integers) -> Integers:
    """Returns the step of each decision: 0 not superseded, 1 made more often than superseded, 2 otherwise."""
    identities, index = np.unique(identity, return_inverse=True)
    # A decision that supersedes itself is the same one, published again by a replay with --all.
    is_change = supersedes != identity
    times_made = np.bincount(index[is_change], minlength=len(identities))
    superseded_ids = supersedes[is_change & (supersedes != NOTHING)]
    nearest = np.minimum(np.searchsorted(identities, superseded_ids), max(len(identities) - 1, 0))
    times_superseded = np.bincount(nearest[identities[nearest] == superseded_ids], minlength=len(identities))
    return np.select([times_superseded == 0, times_made > times_superseded], [0, 1], default=_CIRCULAR)[index]


def _run_starts_of(ordered: Integers) -> NDArray[np.bool_]:
    """Marks the first element of each run of equal values; shape (n,)."""
    starts = np.ones(len(ordered), dtype=np.bool_)
    starts[1:] = ordered[1:] != ordered[:-1]
    return starts
