"""Which deployments workers do not follow, as the console says it."""

from datetime import UTC, datetime

import pytest

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from scorer.console.unswitched import SWITCH_S, UnswitchedTracker
from scorer.operate.group import Group, Member
from scorer.stream.history_record import Line
from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata

OLD = BundleReference(name="credit-risk", version="1.1.0", digest="1" * 64)
NEW = BundleReference(name="plain-risk", version="1.0.0", digest="2" * 64)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """The time that the test sets."""
    return Clock()


@pytest.fixture
def unfollowed(clock: Clock) -> UnswitchedTracker:
    """What is under test."""
    return UnswitchedTracker(clock)


def deployed(offset: int, bundle: BundleReference, slot: Slot = "champion") -> Line:
    """A line of the history."""
    event = DeploymentEvent(
        event_id=f"e{offset}", slot=slot, action="deploy", bundle=bundle, previous=OLD,
        actor="ana", reason="a test", at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return Line(offset, event)


def group(rebalancing: bool = False) -> Group:
    """Two workers with a partition each."""
    members = tuple(Member(f"id-{n}", f"scorer-{n}", "scorer", None, frozenset({n})) for n in range(2))
    return Group(members, rebalancing)


def says(*refused: str, bundle: BundleReference = OLD) -> dict[int, CommittedMetadata]:
    """What the two partitions' offsets say."""
    return {n: CommittedMetadata(str(bundle), refused=refused[n] if n < len(refused) else "") for n in range(2)}


def test_a_deployment_that_nobody_follows(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """It looked healthy everywhere: green, "2 workers are running". After ten seconds it is said, with the reason."""
    lines = [Line(0, None, "no event"), deployed(4, NEW)]
    committed = says(*[LoadFailure("champion", str(NEW), "there is no bundle").write()] * 2)
    assert unfollowed.update(lines, group(), committed) == ()
    clock.now_s += SWITCH_S
    assert unfollowed.update(lines, group(), committed) == ()
    clock.now_s += 1
    (entry,) = unfollowed.update(lines, group(), committed)
    assert entry.text == "2 of 2 workers have not switched to plain-risk:1.0.0; still credit-risk:1.1.0"
    assert (entry.slot, entry.offset, entry.reasons) == ("champion", 4, ("there is no bundle",))
    assert unfollowed.update(lines, group(), says(bundle=NEW)) == ()


def test_one_of_two_without_a_word(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """A pinned worker gives no reason, and is counted all the same."""
    committed = {0: CommittedMetadata(str(NEW)), 1: CommittedMetadata(str(OLD))}
    unfollowed.update([deployed(0, NEW)], group(), committed)
    clock.now_s += SWITCH_S + 1
    (entry,) = unfollowed.update([deployed(0, NEW)], group(), committed)
    assert entry.text == "1 of 2 workers has not switched to plain-risk:1.0.0; still credit-risk:1.1.0"
    assert entry.reasons == ()


def test_each_deployment_has_its_own_time(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """A second deployment is not blamed for what the first one took."""
    unfollowed.update([deployed(0, NEW)], group(), says())
    clock.now_s += SWITCH_S + 1
    newer = BundleReference(name="plain-risk", version="2.0.0", digest="3" * 64)
    assert unfollowed.update([deployed(0, NEW), deployed(1, newer)], group(), says()) == ()


def test_a_rebalance_neither_begins_nor_ends_it(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """While partitions move, assignments are incomplete: what was said before stays said, and nothing is added."""
    lines = [deployed(0, NEW)]
    unfollowed.update(lines, group(rebalancing=True), says())
    clock.now_s += SWITCH_S + 1
    assert unfollowed.update(lines, group(rebalancing=True), says()) == ()
    assert unfollowed.update(lines, group(), says()) == ()
    clock.now_s += SWITCH_S + 1
    assert len(unfollowed.update(lines, group(rebalancing=True), says())) == 1


def test_a_challenger_that_cannot_be_loaded(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """Nothing waits for a challenger, so that its failure was seen by nobody who did not read the workers' logs."""
    lines = [deployed(0, NEW, "challenger")]
    committed = says(LoadFailure("challenger", str(NEW), "there is no bundle").write())
    unfollowed.update(lines, group(), committed)
    clock.now_s += SWITCH_S + 1
    (entry,) = unfollowed.update(lines, group(), committed)
    assert entry.text == "1 of 2 workers has not loaded the challenger plain-risk:1.0.0"


def test_before_the_first_deployment_there_is_nothing_to_follow(unfollowed: UnswitchedTracker, clock: Clock) -> None:
    """Workers decide with the shipped bundle, or with the one they are pinned to."""
    unfollowed.update([], group(), says())
    clock.now_s += SWITCH_S + 1
    assert unfollowed.update([], group(), says()) == ()
