"""Faults of brokers: killed, frozen, restarted one after another, short of disk, elected without being in sync."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from tests.chaos.history import TO_THE_END
from tests.chaos.product import transactional_id
from tests.chaos.scenario import Heal, nothing
from tests.chaos.stage import FRAGILE_REPLICAS, Stage, instance_id

Role = Literal[
    "applications leader",
    "decisions leader",
    "group coordinator",
    "transaction coordinator",
    "active controller",
    "each in turn",
    "all but one",
    "all",
]
_LEADER_S: Final = 60.0


def nodes_in(role: Role, stage: Stage) -> list[int]:
    """The nodes that a fault is to hit."""
    cluster = stage.cluster
    numbers = list(cluster.nodes)
    leader = cluster.leader(stage.names.applications)
    transactions = transactional_id(stage.names.group, instance_id(0))
    one: dict[Role, Callable[[], int]] = {
        "applications leader": lambda: leader,
        "decisions leader": lambda: cluster.leader(stage.names.decisions),
        "group coordinator": lambda: cluster.group_coordinator(stage.names.group),
        "transaction coordinator": lambda: cluster.transaction_coordinator(transactions),
        "active controller": cluster.active_controller,
        "each in turn": lambda: numbers[stage.round % len(numbers)],
    }
    if role == "all":
        return numbers
    if role == "all but one":
        return [number for number in numbers if number != leader]
    return [one[role]()]


@dataclass(frozen=True, slots=True)
class KillBrokers:
    """SIGKILL; healed by starting them again."""

    role: Role

    def begin(self, stage: Stage) -> Heal:
        numbers = nodes_in(self.role, stage)
        for number in numbers:
            stage.cluster.nodes[number].kill()
        stage.note(f"killed: {numbers}")
        return stage.cluster.start_nodes


@dataclass(frozen=True, slots=True)
class FreezeBrokers:
    """SIGSTOP; healed by SIGCONT."""

    role: Role

    def begin(self, stage: Stage) -> Heal:
        nodes = [stage.cluster.nodes[number] for number in nodes_in(self.role, stage)]
        for node in nodes:
            node.freeze()
        stage.note(f"frozen: {[node.number for node in nodes]}")

        def heal() -> None:
            for node in nodes:
                node.thaw()

        return heal


@dataclass(frozen=True, slots=True)
class RollingRestart:
    """SIGTERM and a new start, one node after another, each once all replicas are in sync again."""

    def begin(self, stage: Stage) -> Heal:
        for node in stage.cluster.nodes.values():
            node.terminate()
            stage.cluster.start_nodes()
            in_sync = stage.cluster.wait_until_in_sync()
            stage.note(f"restarted {node.number}, {'all' if in_sync else 'not all'} replicas in sync")
        return nothing


@dataclass(frozen=True, slots=True)
class FillDisk:
    """The small disk of the last node is full; healed by room on it and a restart of the node."""

    def begin(self, stage: Stage) -> Heal:
        disk = stage.cluster.small_disk
        assert disk is not None, "the scenario's cluster has no small disk"
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        stage.note("the disk is full")

        def heal() -> None:
            node = list(stage.cluster.nodes.values())[-1]
            stage.note(f"node {node.number} {'runs' if node.running else 'has ended'}")
            ballast.unlink()
            node.terminate()
            stage.cluster.start_nodes()

        return heal


@dataclass(frozen=True, slots=True)
class ElectUnclean:
    """A replica that is behind becomes the leader of the applications, and what it lacks is gone.

    For a scenario with a fragile topic: the follower is killed, applications are published meanwhile, then the leader
    is killed and the follower started. It leads, and the topic ends before offsets that the group has committed.
    """

    behind_s: float

    def begin(self, stage: Stage) -> Heal:
        leader, follower = (stage.cluster.nodes[number] for number in FRAGILE_REPLICAS)
        follower.kill()
        stage.sleep(self.behind_s)
        load = stage.stop_publishing()
        leader.kill()
        follower.start()
        follower.wait_until_it_answers()
        for partition, end in stage.offsets.ends_now(_LEADER_S).items():
            stage.waive(partition, end, TO_THE_END)
        stage.note("the follower leads; what it lacks is gone")
        if load is not None:
            stage.publish(load)
        return stage.cluster.start_nodes
