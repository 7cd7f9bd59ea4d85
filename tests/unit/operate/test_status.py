"""`scorer status` names the workers that do not do what is deployed."""

from datetime import UTC, datetime

import pytest

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from scorer.cli.status import status_lines
from scorer.operate.cluster import ClusterState
from scorer.operate.group import Group, Member
from scorer.operate.status import Status, describe_workers
from scorer.settings import Settings
from scorer.stream.history import State
from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata
from tests.unit.operate.test_cluster import replicas

OLD = BundleReference(name="risk", version="1.0.0", digest="0" * 64)
NEW = BundleReference(name="risk", version="2.0.0", digest="1" * 64)


def member(number: int, *partitions: int) -> Member:
    """A worker with these partitions."""
    return Member(f"id-{number}", f"scorer-{number} at host", "scorer", f"scorer-{number}", frozenset(partitions))


def state(**slots: BundleReference) -> State:
    """What is deployed."""
    names: tuple[Slot, ...] = ("champion", "challenger")
    return State({slot: (slots[slot],) for slot in names if slot in slots}, {})


HEALTHY = ClusterState(frozenset({1, 2, 3}), frozenset(), (replicas("credit.decisions", 3),))
GROUP = Group((member(1, 2), member(0, 0, 1)), rebalancing=False)


def test_each_worker_has_its_partitions_lag_and_bundle() -> None:
    """They are sorted by name, and a worker that has decided nothing yet has no bundle."""
    metadata = {0: CommittedMetadata(str(OLD)), 1: CommittedMetadata(str(OLD)), 2: CommittedMetadata()}
    first, second = describe_workers(GROUP, metadata, {0: 5, 1: 7, 2: 0}, state())
    assert (first.name, first.partitions, first.lag, first.bundles) == ("scorer-0 at host", (0, 1), 12, (OLD.short,))
    assert (second.name, second.partitions, second.lag, second.bundles) == ("scorer-1 at host", (2,), 0, ())
    assert not first.fault + second.fault


def test_a_worker_that_did_not_switch_is_a_problem() -> None:
    """A deployment that no worker could load once looked healthy everywhere."""
    refused = LoadFailure("champion", str(NEW), "there is no bundle risk:2.0.0").write()
    metadata = {0: CommittedMetadata(str(OLD), refused=refused), 1: CommittedMetadata(str(NEW)), 2: CommittedMetadata()}
    workers = describe_workers(GROUP, metadata, {0: 0, 1: 0, 2: 0}, state(champion=NEW))
    assert workers[0].fault == f"does not use the champion {NEW.short}: there is no bundle risk:2.0.0"
    assert "is it pinned" in workers[1].fault


def test_a_challenger_that_is_not_loaded_is_a_problem() -> None:
    """The challenger is not in the offsets, but the reason why it could not be loaded is."""
    refused = LoadFailure("challenger", str(NEW), "it is damaged").write()
    metadata = {number: CommittedMetadata(str(OLD), refused=refused) for number in range(3)}
    workers = describe_workers(GROUP, metadata, {}, state(champion=OLD, challenger=NEW))
    assert {worker.fault for worker in workers} == {f"cannot load the challenger {NEW.short}: it is damaged"}


@pytest.mark.parametrize(
    ("group", "unassigned", "problems"),
    [
        (Group((), rebalancing=False), (0, 1, 2), ["no workers: start one with scorer worker"]),
        (Group((member(0, 0),), rebalancing=False), (1, 2), ["partitions without an owner: 1, 2"]),
        (Group((member(0, 0),), rebalancing=True), (1, 2), []),
        (Group((member(0, 0, 1, 2),), rebalancing=False), (), []),
    ],
)
def test_what_is_a_problem(group: Group, unassigned: tuple[int, ...], problems: list[str]) -> None:
    """No workers, and partitions that nobody reads, except while they move."""
    workers = describe_workers(group, {}, {}, state())
    current = Status(HEALTHY, 3, unassigned, 0, group.rebalancing, workers, None, None, None)
    assert (current.problems, current.warnings) == (problems, [])


def test_replicas_are_a_problem_if_somebody_is_affected() -> None:
    """A partition that cannot be read or written is one, with workers and without; one that lacks a replica is not."""
    topics = replicas("credit.decisions", 3, offline=(1,)), replicas("credit.applications", 3, under_replicated=(0, 2))
    cluster = ClusterState(frozenset({1, 2}), frozenset({3}), topics)
    for workers in ((), describe_workers(GROUP, {}, {}, state())):
        current = Status(cluster, 3, (), 0, False, workers, None, None, None)
        assert current.problems[0].startswith("topic credit.decisions: partition 1 cannot be read or written")
        missing, behind = current.warnings
        assert missing.startswith("missing brokers: 3.")
        assert behind.startswith("topic credit.applications: not all replicas of partitions 0, 2 are in sync")
        lines = status_lines(Settings(bootstrap_servers="k:1"), current)
        assert lines[0] == "brokers     2 at k:1"
        assert lines[-2:] == [f"warning     {missing}", f"warning     {behind}"]


def test_the_lines() -> None:
    """One fact per line, none of which depends on the width of the terminal."""
    event = DeploymentEvent(
        event_id="1", slot="champion", action="deploy", bundle=NEW, previous=OLD, actor="ana", reason="better",
        at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    )  # fmt: skip
    workers = describe_workers(GROUP, {n: CommittedMetadata(str(NEW)) for n in range(3)}, {0: 1_500}, state())
    current = Status(HEALTHY, 3, (), 1_500, False, workers, NEW, None, event)
    assert status_lines(Settings(bootstrap_servers="k:1"), current) == [
        "brokers     3 at k:1",
        "group       scorer: 2 workers, 3 partitions",
        "lag         1,500",
        "champion    risk:2.0.0@111111111111",
        "challenger  none",
        "deployed    2026-01-31 09:30:00 UTC, deploy of champion risk:2.0.0@111111111111 by ana: better",
        "worker      scorer-0 at host: partitions 0, 1; lag 1,500; risk:2.0.0@111111111111",
        "            scorer-1 at host: partitions 2; lag 0; risk:2.0.0@111111111111",
    ]
