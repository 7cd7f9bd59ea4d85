"""A worker process: signals, what it puts together, and that it is taken apart whatever happens."""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry

from schemas.decision import BundleReference
from scorer import process
from scorer.core.score import Bundle, Scores, score_batch
from scorer.errors import BrokerError, MisuseError
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from scorer.process import Monitoring, Stop
from scorer.settings import Settings, load_settings
from scorer.stream.challenge import Comparison
from scorer.stream.delivery import Delivered
from scorer.stream.follow import Pinned
from scorer.stream.kafka import Watch
from scorer.stream.statistics import Statistics
from scorer.stream.worker import Batch
from tests.fakes import RECORD_BYTES_MAX, tiny_bundle

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Puts the signals' handlers and the garbage collector back."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class ScriptedLink:
    """A Link that does as told and remembers whether it was closed."""

    made: ClassVar[list["ScriptedLink"]] = []
    failure: ClassVar[Exception | None] = None

    def __init__(self, _: Settings, watch: Watch, giving_up: Callable[[], bool]) -> None:
        self.watch = watch
        self.giving_up = giving_up
        self.closed = False
        self.made.append(self)

    def poll(self, _: BundleReference) -> Batch:
        self.watch.rebalanced("assigned", frozenset({0}))
        if self.failure is not None:
            raise self.failure
        os.kill(os.getpid(), signal.SIGTERM)
        return Batch([], {})

    def publish(self, _batch: Batch, _scores: Scores, _bundle: Bundle) -> None:
        raise AssertionError("there was nothing to publish")

    def settle(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedLink]:
    """The process makes scripted links; tells which."""
    monkeypatch.setattr(ScriptedLink, "made", [])
    monkeypatch.setattr(process, "KafkaLink", ScriptedLink)
    return ScriptedLink


def settings(**flags: object) -> Settings:
    """Settings with a free port."""
    return load_settings({"http_port": 0, **flags}, environment={}).settings


@pytest.mark.parametrize("number", SIGNALS)
def test_stop(number: signal.Signals) -> None:
    """The first signal asks to stop; the drain runs from it, and a second one does not begin it anew."""
    stop = Stop(drain_s=3_600)
    assert not stop.asked()
    assert not stop.drained()
    os.kill(os.getpid(), number)
    assert stop.asked()
    assert not stop.drained()
    asked_at = stop._asked_at
    os.kill(os.getpid(), number)
    assert stop._asked_at == asked_at


def test_drain_ends() -> None:
    """When the drain is over, even the batch in hand may take no longer."""
    stop = Stop(drain_s=0)
    os.kill(os.getpid(), signal.SIGTERM)
    while not stop.drained():
        pass
    assert stop.asked()


def test_works_until_sigterm(links: type[ScriptedLink], caplog: pytest.LogCaptureFixture) -> None:
    """On SIGTERM the worker ends without an error, has left the group and says so."""
    caplog.set_level("INFO")
    process.work(settings(), Pinned(tiny_bundle()))
    assert [link.closed for link in links.made] == [True]
    told = [record.__dict__["event"] for record in caplog.records]
    assert told == ["worker_started", "stop_asked", "worker_stopped"]


def test_failure_leaves_the_group(links: type[ScriptedLink], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the worker cannot go on, its error comes out, and the group has been left."""
    monkeypatch.setattr(links, "failure", BrokerError("no"))
    with pytest.raises(BrokerError, match="no"):
        process.work(settings(), Pinned(tiny_bundle()))
    assert [link.closed for link in links.made] == [True]


def test_taken_port_comes_before_the_group(links: type[ScriptedLink]) -> None:
    """A port that is taken ends the worker before it has joined anything.

    The group used to be joined first and was not left, so that its partitions stood still for a session's time.
    """
    taken = MonitorServer("127.0.0.1", 0, CollectorRegistry(), Health(tiny_bundle().reference, stalled_after_s=1))
    port = int(taken.address.rpartition(":")[2])
    with pytest.raises(MisuseError, match="cannot be used for /metrics"):
        process.work(settings(http_port=port), Pinned(tiny_bundle()))
    taken.close()
    assert links.made == []


class Recording:
    """Stands for the metrics and remembers the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)


def test_monitoring_tells_both() -> None:
    """What happens reaches the metrics and the health."""
    recording, now = Recording(), 0.0
    health = Health(tiny_bundle().reference, stalled_after_s=10, clock=lambda: now)
    monitoring = Monitoring(recording, health)  # type: ignore[arg-type]
    now = 5.0
    lag: Mapping[int, int] = {0: 1}
    monitoring.polled(Batch([], {}))
    monitoring.rebalanced("assigned", frozenset({1}))
    monitoring.reachable(yes=False)
    monitoring.committed(Batch([], {}), score_batch([], tiny_bundle(), RECORD_BYTES_MAX), Delivered(1.0, 1.5, 2.0))
    monitoring.aborted()
    monitoring.lag(lag)
    monitoring.lap("decode")
    monitoring.statistics(Statistics("producer", 1, 0, {}, 0.0, {}))
    assert (health.polled_at, health.assigned, health.reachable) == (5.0, frozenset({1}), False)
    assert recording.calls == ["polled", "rebalanced", "committed", "aborted", "lag", "lap", "statistics"]


def test_monitoring_tells_the_slots_apart() -> None:
    """What is refused, in step and compared goes to its own slot's place: a challenger is never said to decide."""
    recording = Recording()
    champion = tiny_bundle().reference
    other = champion.model_copy(update={"version": "2.0.0"})
    health = Health(champion, stalled_after_s=10)
    monitoring = Monitoring(recording, health)  # type: ignore[arg-type]
    monitoring.refused("challenger", other, "no such bundle")
    assert health.refused == ""
    assert health.challenger_refused == f"{other} was deployed and cannot be loaded: no such bundle"
    monitoring.refused("champion", other, "no such bundle")
    assert health.refused == health.challenger_refused
    monitoring.in_step("challenger", other)
    assert (health.bundle, health.challenger, health.challenger_refused) == (champion, other, "")
    assert health.refused
    monitoring.in_step("champion", champion)
    assert (health.challenger, health.refused) == (other, "")
    monitoring.in_step("challenger", None)
    assert health.challenger is None
    monitoring.compared(Comparison(champion, other, applications=1, disagreements=0))
    monitoring.challenge_failed()
    assert recording.calls == [
        "challenger_refused", "refused", "challenging", "challenging", "compared", "challenge_failed",
    ]  # fmt: skip
