"""A scenario as data: the workers, the load, the fault, how long it lasts, and what is expected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from tests.chaos.cluster import ClusterPlan
from tests.chaos.publisher import Load

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

Heal = Callable[[], None]
"""Ends a fault, on whatever it was begun on."""


class Fault(Protocol):
    """Something that goes wrong. A frozen dataclass: what it is to hit and how hard, and nothing that changes."""

    def begin(self, stage: "Stage") -> Heal:
        """Makes it happen; returns what ends it. A fault that is over when this returns has nothing to end."""
        ...


def nothing() -> None:
    """Heals what needs no healing."""


class Skipped(Exception):  # noqa: N818  # not an error: the reason why a scenario cannot be run on this machine
    """This machine lacks what a scenario needs; the message says what."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a scenario."""

    count: int = 3
    static: bool = False
    """With an instance id each."""
    proxied: bool = False
    """Connected through the proxies, so that a fault of the network reaches them and nobody else."""
    settings: Mapping[str, str] = field(default_factory=dict)


NO_EXITS: Final = None
CLEAR_EXITS: Final = r"^(?!process_crashed)\w+: ."
"""A process may end by itself if it logs an error that says why; its supervisor starts the next one."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold; what is not named here must hold always (nothing lost, nothing out of order, …)."""

    exits: str | None = NO_EXITS
    """What the last error of a process that ends by itself must match; None: no process ends by itself."""
    doubled: bool = False
    """Whether an application may have several results: only at least once."""
    decides_again_s: float = 60.0
    """From the healing until every worker decides again, without a human."""
    stuck_s: float = 60.0
    """How long a worker that has work may commit nothing, while it says that it is healthy or ready."""
    rss_mb: float | None = None
    """The most memory that a worker may take."""
    must_act: str = ""
    """What an operator's act must match, where the workers have to ask for one; empty: none is needed."""


_LOAD: Final = Load()
_CLUSTER: Final = ClusterPlan()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault under load, and what is expected."""

    name: str
    what: str
    """What is done, for people, in a few words, without how often and for how long."""
    fault: Fault
    hold_s: float = 0.0
    """How long the fault lasts before it is healed."""
    rounds: int = 1
    rest_s: float = 5.0
    """Between two rounds."""
    warm_up_s: float = 6.0
    workers: Workers = Workers()
    load: Load | None = _LOAD
    """Published from before the fault until the workers have recovered; None: the fault publishes itself."""
    partitions: int = 6
    fragile_topic: bool = False
    """The applications have two replicas, one of which is enough to acknowledge them and to lead."""
    decisions_config: Mapping[str, str] = field(default_factory=dict)
    """Settings of the decisions topic, from the beginning."""
    cluster: ClusterPlan = _CLUSTER
    expect: Expectation = Expectation()
    shutdown_timeout_s: float = 90.0
    """How long to wait, after the last record, until all is decided."""
    workers_first: bool = True
    """False where the fault starts the workers itself, after a backlog for example."""
    in_sync: bool = True
    """Whether the fault counts as healed only when all replicas are in sync again."""
    marks_itself: bool = False
    """Whether the fault records its own beginnings and healings, because it is made of several."""

    @property
    def title(self) -> str:
        """What is done, how often, and for how long."""
        times = f", {self.rounds} times" if self.rounds > 1 else ""
        return f"{self.what}{times}" + (f", {self.hold_s:g} s" if self.hold_s else "")
