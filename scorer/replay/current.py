"""Which decision on each application is current: corrections say what they supersede, so no order of reading matters.

Decisions on one application can be in several partitions once their topic has grown, and nothing orders partitions. A
replay that turns a decision back writes the `decision_id` of an earlier decision again, so that ids alone can go round
in a circle: A, then B instead of A, then A instead of B. Hence three steps; the first that leaves anything decides.

1. The decisions that no other one supersedes.
2. The decisions that were made more often than they were superseded: in the circle above, A twice and once.
3. All of them: the beginning of the circle is gone, or somebody forged one.

Where several are left (two replays at once), the one written last is current: of a partition the one with the highest
offset, and between partitions the one with the latest timestamp.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.signedinteger[Any]]

NOTHING: Final = 0
"""In the place of what a decision supersedes: it is no correction, or does not say."""
_CIRCULAR: Final = 2


class Written(NamedTuple):
    """Decisions on applications that have several, by column; each of shape (n,)."""

    application: Integers
    """Whose decisions they are: any number for each application."""
    identity: Integers
    """Equal for the same `decision_id` on the same application, and for nothing else."""
    supersedes: Integers
    """The identity of the decision that it supersedes, or NOTHING."""
    replay: Integers
    """Equal for the same replay."""
    partition: Integers
    """With `offset`: where the decision's own record is."""
    offset: Integers
    at_ms: Integers
    """That record's timestamp, in milliseconds since 1970."""


def choose_current(written: Written) -> tuple[NDArray[np.intp], int]:
    """Chooses the current decision of each application.

    Returns:
        The current decisions' places among the n, shape (applications,), and how many applications are of step 3.
    """
    rank = _order_of_writing(written)
    places = _without_repetitions(written, rank)
    application, identity = written.application[places], written.identity[places]
    steps = _steps(identity, written.supersedes[places])
    # What was superseded and then made again was made last by a correction.
    is_first = (steps > 0) & (written.supersedes[places] == NOTHING)
    order = np.lexsort((-rank[places], is_first, steps, application))
    chosen = order[_firsts(application[order])]
    return places[chosen], int((steps[chosen] == _CIRCULAR).sum())


def _order_of_writing(written: Written) -> Integers:
    """Of each decision how late it was written among those on its application; shape (n,).

    In a partition a later record counts as written no earlier than those before it, whatever its timestamp says.
    """
    application, partition, offset, at_ms = written.application, written.partition, written.offset, written.at_ms
    _, at = np.unique(at_ms, return_inverse=True)
    order = np.lexsort((offset, partition, application))
    begins = _firsts(application[order]) | _firsts(partition[order])
    # The latest timestamp so far in each run of one application and partition: runs are kept apart by a multiple.
    apart = (np.cumsum(begins) - 1) * (len(at) + 1)
    latest = np.empty(len(at), dtype=np.int64)
    latest[order] = np.maximum.accumulate(apart + at[order]) - apart
    rank = np.empty(len(at), dtype=np.int64)
    rank[np.lexsort((offset, partition, latest, application))] = np.arange(len(at))
    return rank


def _without_repetitions(written: Written, rank: Integers) -> NDArray[np.intp]:
    """The places of the decisions, each once however often it was written: by the same replay, instead of the same."""
    keys = (written.replay, written.supersedes, written.identity, written.application)
    order = np.lexsort((rank, *keys))
    begins = np.logical_or.reduce([_firsts(key[order]) for key in keys])
    return order[np.append(begins[1:], True)] if len(order) else order


def _steps(identity: Integers, supersedes: Integers) -> Integers:
    """Of each decision the step that leaves it: 0 never superseded, 1 made more often than superseded, 2 neither."""
    identities, which = np.unique(identity, return_inverse=True)
    # One that supersedes itself is the same decision, published again by a replay that publishes all.
    is_another = supersedes != identity
    made = np.bincount(which[is_another], minlength=len(identities))
    named = supersedes[is_another & (supersedes != NOTHING)]
    found = np.minimum(np.searchsorted(identities, named), max(len(identities) - 1, 0))
    superseded = np.bincount(found[identities[found] == named], minlength=len(identities))
    return np.select([superseded == 0, made > superseded], [0, 1], default=_CIRCULAR)[which]


def _firsts(ordered: Integers) -> NDArray[np.bool_]:
    """Where another value begins in an array in which equal values are neighbours; shape (n,)."""
    begins = np.ones(len(ordered), dtype=np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    return begins
