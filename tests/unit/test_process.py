"""A worker process: what it puts together, and that it is taken apart whatever happens."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry

from schemas.decision import BundleReference
from scorer import process
from scorer.bundle.engine import NOT_INSTALLED
from scorer.core.score import Scores, score_batch
from scorer.errors import BrokerError, MisuseError
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from scorer.process import EventLog, Liveness
from scorer.settings import Settings, load_settings
from scorer.stop import Stop
from scorer.stream.delivery import Delivered
from scorer.stream.follow import Pinned
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch
from scorer.watchdog import Limits, Watchdog
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

    def __init__(
        self, _: Settings, observer: Observer, should_stop: Callable[[], bool], refused: Callable[[], str]
    ) -> None:
        self.observer = observer
        self.should_stop = should_stop
        assert refused() == ""
        self.closed = False
        self.made.append(self)

    def poll(self, _: BundleReference) -> Batch:
        self.observer.rebalanced("assigned", frozenset({0}))
        if self.failure is not None:
            raise self.failure
        os.kill(os.getpid(), signal.SIGTERM)
        return Batch([], {})

    def publish(self, _batch: Batch, _scores: Scores) -> None:
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


def test_works_until_sigterm(links: type[ScriptedLink], caplog: pytest.LogCaptureFixture) -> None:
    """On SIGTERM the worker ends without an error, has left the group and says so."""
    caplog.set_level("INFO")
    process.work(settings(), Pinned(tiny_bundle()), Stop(), Watchdog(60))
    assert [link.closed for link in links.made] == [True]
    events = [record.__dict__["event"] for record in caplog.records]
    assert events == ["worker_started", "stop_requested", "worker_stopped"]


def test_failure_leaves_the_group(links: type[ScriptedLink], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the worker cannot go on, its error comes out, and the group has been left."""
    monkeypatch.setattr(links, "failure", BrokerError("no"))
    with pytest.raises(BrokerError, match="no"):
        process.work(settings(), Pinned(tiny_bundle()), Stop(), Watchdog(60))
    assert [link.closed for link in links.made] == [True]


def test_a_port_in_use_is_reported_before_joining_the_group(links: type[ScriptedLink]) -> None:
    """A port that is taken ends the worker before it has joined anything.

    The group used to be joined first and was not left, so that its partitions stood still for a session's time.
    """
    server = MonitorServer("127.0.0.1", 0, CollectorRegistry(), Health(tiny_bundle().reference, 1, 1))
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(MisuseError, match="cannot be used for /metrics"):
        process.work(settings(http_port=port), Pinned(tiny_bundle()), Stop(), Watchdog(60))
    server.close()
    assert links.made == []


def test_the_watchdog_observes_polls_and_deliveries() -> None:
    """A poll gives the next one its time; a delivery has its own until it ends."""
    watchdog = Watchdog(shutdown_s=1.0)
    liveness = Liveness(watchdog, Limits(start_s=1, poll_s=2, delivery_s=3, shutdown_s=4))
    liveness.polled(Batch([], {}))
    liveness.delivering()
    assert set(watchdog._activities) == {"poll", "delivery"}
    liveness.aborted()
    assert set(watchdog._activities) == {"poll"}
    liveness.delivering()
    liveness.committed(Batch([], {}), score_batch([], tiny_bundle(), RECORD_BYTES_MAX), Delivered(1.0, 1.5, 2.0))
    assert set(watchdog._activities) == {"poll"}


def test_log_of_bundles(caplog: pytest.LogCaptureFixture) -> None:
    """The log says when another bundle decides or scores in shadow mode, and not when it stays the same."""
    caplog.set_level("INFO")
    champion = tiny_bundle().reference
    other = champion.model_copy(update={"version": "2.0.0"})
    events = EventLog(champion)
    for reference in (champion, other, other):
        events.serving(reference)
    for challenger in (other, other, None):
        events.in_step("challenger", challenger)
    events.in_step("champion", other)
    logged = [(record.__dict__["event"], record.__dict__["fields"]["bundle"]) for record in caplog.records]
    assert logged == [("bundle_switched", str(other)), ("challenger_changed", str(other)), ("challenger_changed", None)]


def test_what_is_logged_about_engines(caplog: pytest.LogCaptureFixture) -> None:
    """A warning if the compiled engine failed its check, not if it is missing, and an error once if it failed later."""
    caplog.set_level("INFO")
    champion = tiny_bundle().reference
    events = EventLog(champion)
    events.deciding("compiled", "")
    events.deciding("python", NOT_INSTALLED)
    events.deciding("python", "it differs")
    scores = replace(score_batch([], tiny_bundle(), RECORD_BYTES_MAX), engine_failed=True)
    for _ in range(2):
        events.committed(Batch([], {}), scores, Delivered(1.0, 1.5, 2.0))
    logged = [(record.__dict__["event"], record.levelname) for record in caplog.records]
    assert logged == [("engine_unused", "WARNING"), ("engine_failed", "ERROR")]
