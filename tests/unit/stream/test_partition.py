"""The states of a partition: every pair of them is either in the table or refused; and what outlives a revocation."""

from itertools import product

import pytest

from scorer.stream.partition import Assignment, Partition, State
from tests.fakes import TOPIC

READING, PAUSED, BLOCKED = State.READING, State.PAUSED, State.BLOCKED
REVOKED, REVOKED_PAUSED = State.REVOKED, State.REVOKED_PAUSED
LEGAL = {
    READING: {READING, PAUSED, BLOCKED, REVOKED},
    PAUSED: {READING, PAUSED, BLOCKED, REVOKED_PAUSED},
    BLOCKED: {READING, BLOCKED, REVOKED_PAUSED},
    REVOKED: {READING, REVOKED},
    REVOKED_PAUSED: {READING, REVOKED_PAUSED},
}


@pytest.mark.parametrize(("before", "after"), [*product(State, State)], ids=lambda state: state.name)
def test_every_pair_is_legal_or_refused(before: State, after: State) -> None:
    """A change that the table lists happens, with its reason; any other one is refused, and names both states."""
    partition = Partition(state=before, reason="before")
    if after in LEGAL[before]:
        partition.enter(after, "after")
        assert (partition.state, partition.reason) == (after, "after")
    else:
        with pytest.raises(AssertionError, match=rf"from {before} to {after}$"):
            partition.enter(after, "after")
        assert (partition.state, partition.reason) == (before, "before")


@pytest.mark.parametrize("before", State, ids=lambda state: state.name)
def test_every_partition_can_be_revoked_and_assigned(before: State) -> None:
    """A rebalance finds a partition in any state, and twice in a row; a pause in the consumer outlives it."""
    partitions = Assignment(TOPIC)
    partitions.add(0).state = before
    was_paused = partitions[0].is_paused
    for _ in range(2):
        partitions.revoke(0)
        assert 0 not in partitions
    partition = partitions.add(0)
    assert partition.is_paused == was_paused
    partition.enter(READING)
    assert not partition.is_paused


def test_a_partition_that_was_never_assigned_is_revoked() -> None:
    """An assignment that failed is revoked nevertheless."""
    partitions = Assignment(TOPIC)
    partitions.revoke(3)
    partitions.reposition([3])
    assert (dict(partitions), partitions.repositioned()) == ({}, {3})


def test_a_poll_drops_records_of_revoked_partitions() -> None:
    """What was fetched before a revocation is dropped by the poll in which it happened, and by no other."""
    partitions = Assignment(TOPIC)
    for number in (0, 1):
        partitions.add(number)
    partitions.revoke(0)
    partitions.reposition([0])
    assert partitions.repositioned() == {0}
    partitions.begin_poll()
    assert partitions.repositioned() == set()


def test_a_poll_reassigns_once() -> None:
    """A partition is reassigned by the next poll alone, and only if that may read it."""
    partitions = Assignment(TOPIC)
    for number, state in enumerate((READING, PAUSED, BLOCKED, READING)):
        partitions.add(number).state = state
        partitions[number].is_to_reassign = True
    partitions.revoke(3)
    assert partitions.begin_poll() == [0, 1]
    partitions.add(3)
    assert partitions.begin_poll() == []


def test_a_validation_ends_with_a_revocation() -> None:
    """Records of a partition that is somebody else's are not checked."""
    partitions = Assignment(TOPIC)
    partitions.add(0).is_unvalidated = True
    partitions.revoke(0)
    assert not partitions.add(0).is_unvalidated
