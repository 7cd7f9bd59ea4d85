"""How far a deployment has come, from the group and its offsets alone."""

from types import SimpleNamespace

import pytest

from schemas.decision import BundleReference
from scorer.operate import rollout
from scorer.operate.group import Group, Member
from scorer.operate.rollout import UnswitchedWorker, compare, load_failures, wait_for_workers
from scorer.settings import Settings
from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata

OLD, NEW = f"credit-risk:1.0.0@{'1' * 64}", f"my-risk:1.0.0@{'2' * 64}"
SAME_HOST = "scorer at 10.0.0.1"


def member(number: int, *partitions: int, name: str = "") -> Member:
    """A worker with these partitions."""
    return Member(f"id-{number}", name or f"scorer-{number}", "scorer", None, frozenset(partitions))


def refused(bundle: str, reason: str) -> CommittedMetadata:
    """An offset of a worker that could not load a bundle."""
    return CommittedMetadata(OLD, refused=LoadFailure("champion", bundle, reason).write())


def test_all_have_switched() -> None:
    """Nobody is behind; a worker without partitions has nothing to switch."""
    group = Group((member(0, 0, 1), member(1)), rebalancing=False)
    rollout = compare(group, dict.fromkeys((0, 1), CommittedMetadata(NEW)), NEW)
    assert (rollout.workers, rollout.done, rollout.failed) == (2, True, False)


def test_some_have_not_and_say_why() -> None:
    """Workers are told apart even where they have one name and one host; each has its partitions and its reason."""
    group = Group((member(0, 0, name=SAME_HOST), member(1, 1, 2, name=SAME_HOST)), rebalancing=False)
    committed = {0: refused(NEW, "no such bundle"), 1: CommittedMetadata(OLD), 2: CommittedMetadata("")}
    rollout = compare(group, committed, NEW)
    assert rollout.unswitched == (
        UnswitchedWorker(SAME_HOST, (0,), (OLD,), "no such bundle"),
        UnswitchedWorker(SAME_HOST, (1, 2), (OLD,), ""),
    )
    assert not rollout.done
    assert not rollout.failed, "the second one may still be loading it"


def test_failed_once_all_unswitched_workers_report_a_load_failure() -> None:
    """Waiting longer is of no use then; while partitions move, it may be."""
    group = Group((member(0, 0), member(1, 1)), rebalancing=False)
    committed = {0: refused(NEW, "no such bundle"), 1: CommittedMetadata(NEW)}
    assert compare(group, committed, NEW).failed
    assert not compare(Group(group.members, rebalancing=True), committed, NEW).failed


def test_a_load_failure_of_an_earlier_deployment_does_not_count() -> None:
    """A worker that could not load the bundle before is not said to refuse the one that has just been deployed."""
    group = Group((member(0, 0),), rebalancing=False)
    rollout = compare(group, {0: refused(f"other:1.0.0@{'3' * 64}", "no such bundle")}, NEW)
    assert rollout.unswitched[0].reason == ""
    assert not rollout.failed


def test_load_failures_are_of_one_slot() -> None:
    """What was refused as a challenger is not refused as a champion."""
    group = Group((member(0, 0), member(1, 1)), rebalancing=False)
    committed = {0: CommittedMetadata(OLD, refused=LoadFailure("challenger", NEW, "no such bundle").write())}
    assert load_failures(group, committed, "challenger", NEW) == [("scorer-0", "no such bundle")]
    assert load_failures(group, committed, "champion", NEW) == []


DONE, WAITING = {0: CommittedMetadata(NEW)}, {0: CommittedMetadata(OLD)}
FAILED = {0: refused(NEW, "no such bundle")}


@pytest.mark.parametrize(
    ("states", "wait_s", "polls"),
    [
        ([DONE], 60.0, 1),
        ([WAITING, DONE], 60.0, 2),
        ([WAITING, FAILED], 60.0, 2),
        ([WAITING], 0.0, 2),
        ([WAITING], 1.0, 6),
    ],
    ids=["done", "done later", "failed", "checked once", "timeout"],
)
def test_waiting_ends_when_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, states: list[dict[int, CommittedMetadata]], wait_s: float, polls: int
) -> None:
    """Waiting ends when all workers have switched, when all others have reported a failure, or at the timeout.

    Each poll is shown, and the client is closed in every case.
    """
    now_s, closed, shown = [100.0], [], []
    left = list(states)

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    def ask_group(*_: object) -> tuple[Group, dict[int, CommittedMetadata]]:
        return Group((member(0, 0),), rebalancing=False), left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))
    monkeypatch.setattr(rollout, "admin_client", lambda _: None)
    monkeypatch.setattr(rollout, "CommittedOffsets", lambda _: SimpleNamespace(close=lambda: closed.append(True)))
    monkeypatch.setattr(rollout, "ask_group", ask_group)
    reference = BundleReference(name="my-risk", version="1.0.0", digest="2" * 64)
    progress = wait_for_workers(Settings(), reference, wait_s, lambda state, _waited_s: shown.append(state))
    assert (progress.done, progress.failed) == (states[-1] is DONE, states[-1] is FAILED)
    assert len(shown) == polls
    assert closed == [True]
