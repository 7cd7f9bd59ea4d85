"""Faults of the network: black holes, lost answers, resets, latency, little bandwidth, refusals, one-sided cuts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from tests.chaos.faults.brokers import Role, nodes_in
from tests.chaos.proxies import BOTH, Stream, Toxic
from tests.chaos.scenario import Heal
from tests.chaos.stage import Stage


@dataclass(frozen=True, slots=True)
class Poison:
    """A toxic on the connections of the workers to some brokers; the publisher and the readers feel nothing."""

    kind: Literal["timeout", "reset_peer", "latency", "bandwidth"]
    role: Role = "all"
    attributes: Mapping[str, int] = field(default_factory=lambda: {"timeout": 0})
    streams: tuple[Stream, ...] = BOTH

    def begin(self, stage: Stage) -> Heal:
        proxies = [f"client-{number}" for number in nodes_in(self.role, stage)]
        toxic = Toxic(self.kind, self.attributes, self.streams)
        stage.cluster.toxiproxy.add(proxies, toxic)
        stage.note(f"{self.kind} {dict(self.attributes)} on {proxies}")
        return partial(stage.cluster.toxiproxy.remove, proxies, toxic)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Connections of the workers to some brokers are closed, and new ones refused."""

    role: Role = "all"

    def begin(self, stage: Stage) -> Heal:
        proxies = [f"client-{number}" for number in nodes_in(self.role, stage)]
        stage.cluster.toxiproxy.accept(proxies, connections=False)
        stage.note(f"{proxies} refuse connections")
        return partial(stage.cluster.toxiproxy.accept, proxies, connections=True)


@dataclass(frozen=True, slots=True)
class CutBetweenBrokers:
    """The other nodes cannot reach one node, which goes on reaching them, and clients go on reaching all.

    Nobody can fetch from it: it leads, and cannot acknowledge. The scenario's cluster has proxies between nodes.
    """

    role: Role
    listeners: tuple[Literal["internal", "controller"], ...] = ("internal",)
    streams: tuple[Stream, ...] = BOTH

    def begin(self, stage: Stage) -> Heal:
        assert stage.cluster.plan.proxied_between, "the scenario's cluster has no proxies between nodes"
        proxies = [f"{listener}-{number}" for number in nodes_in(self.role, stage) for listener in self.listeners]
        toxic = Toxic("timeout", {"timeout": 0}, self.streams)
        stage.cluster.toxiproxy.add(proxies, toxic)
        stage.note(f"cut: {proxies} {list(self.streams)}")
        return partial(stage.cluster.toxiproxy.remove, proxies, toxic)
