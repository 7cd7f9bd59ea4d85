"""The history on a real broker: operators who write it, and a worker's follower that reads it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from scorer.bundle.load import read_manifest
from scorer.errors import BrokerError, BundleError, DeploymentError, TopicsError
from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker
from scorer.operate import topics
from scorer.operate.deployments import append_event, read_history
from scorer.settings import Settings, load_settings
from scorer.store.entry import Located
from scorer.store.store import BundleStore
from scorer.stream import follow
from scorer.stream.follow import Follower
from scorer.stream.history import State, fold
from scorer.stream.observer import Observer
from tests.contract.stages import WAIT_S
from tests.unit.bundle.crashing import crashing_bundle, install_crashing_runners
from tests.unit.bundle.making import named
from tests.unit.operate.test_deployments import largest_contract

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("opens_here")]
DEFAULT = "credit-risk:1.1.0"


class Recorder(Observer):
    """Records what a follower reports."""

    def __init__(self) -> None:
        self.refusals: list[tuple[BundleReference, str]] = []
        self.skips: list[int] = []
        self.steps = 0
        self.challengers: list[BundleReference | None] = []
        self.refused_challengers: list[tuple[BundleReference, str]] = []

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:
        refusals = self.refusals if slot == "champion" else self.refused_challengers
        refusals.append((reference, reason))

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        if slot == "champion":
            self.steps += 1
        else:
            self.challengers.append(reference)

    def skipped(self, offset: int) -> None:
        self.skips.append(offset)


@pytest.fixture
def settings(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> Settings:
    """Settings with topics and a store of their own."""
    names = {f"{kind}_topic": unique(kind) for kind in ("applications", "decisions", "dead_letters", "deployments")}
    flags = {"bootstrap_servers": broker.bootstrap_servers, "store": str(tmp_path / "store"), **names}
    made = load_settings(flags, environment={}).settings
    topics.ensure(made, partitions=2, replication=1)
    return made


@pytest.fixture
def store(settings: Settings) -> BundleStore:
    """A store with the shipped bundles and `other:1.0.0`, in its place as its name says."""
    named(Path(str(settings.store)) / "other" / "1.0.0", "other", "1.0.0")
    return BundleStore(settings.store)


@pytest.fixture
def observer() -> Recorder:
    """The observer of this test's follower."""
    return Recorder()


@pytest.fixture
def follower(settings: Settings, store: BundleStore, observer: Recorder) -> Iterator[Follower]:
    """A follower at work."""
    with closing(Follower(settings, store, DEFAULT)) as started:
        started.start(observer)
        yield started


def deployment_of(bundle: BundleReference | None, slot: Slot = "champion") -> Callable[[State], DeploymentEvent]:
    """Decides to deploy a bundle, or to retire the one in the slot."""

    def decide(state: State) -> DeploymentEvent:
        return DeploymentEvent(
            event_id=f"{time.monotonic_ns()}",
            slot=slot,
            action="deploy" if bundle else "retire",
            bundle=bundle,
            previous=state.current(slot),
            actor="ana",
            reason="a test",
            at=datetime.now(UTC),
        )

    return decide


def reference_of(store: BundleStore, reference: str) -> BundleReference:
    """How decisions would name a bundle."""
    return store.open(reference).reference


def write_line(settings: Settings, value: bytes) -> None:
    """Somebody writes into the history by hand."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    producer.produce(settings.deployments_topic, value, partition=0)
    assert producer.flush(WAIT_S) == 0


def wait_for(holds: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    ends_at = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_written_and_read(settings: Settings, store: BundleStore) -> None:
    """Events are read as they were written, in order; a malformed event is a line with its fault."""
    first = append_event(settings, deployment_of(reference_of(store, "credit-risk:1.0.0")))
    write_line(settings, b'{"slot": "basement"}')
    second = append_event(settings, deployment_of(reference_of(store, "other:1.0.0")))
    lines = read_history(settings)
    assert [line.event for line in lines] == [first, None, second]
    assert "slot" in lines[1].fault
    assert second.previous == first.bundle
    assert fold(lines).current("champion") == second.bundle


def test_two_operators_at_once(settings: Settings, store: BundleStore) -> None:
    """An operator whose history changed in the meantime gets an error, and has written nothing."""
    theirs = reference_of(store, "other:1.0.0")

    def decide_slowly(state: State) -> DeploymentEvent:
        event = deployment_of(reference_of(store, "credit-risk:1.0.0"))(state)
        append_event(settings, deployment_of(theirs))
        return event

    with pytest.raises(DeploymentError, match="another operator changed the deployments at the same time"):
        append_event(settings, decide_slowly)
    (line,) = read_history(settings)
    assert line.event is not None
    assert line.event.bundle == theirs


def test_refusal_writes_nothing(settings: Settings) -> None:
    """What the decision raises comes out, and the history is as it was."""

    def refuse(_: State) -> DeploymentEvent:
        raise DeploymentError("not what was expected")

    with pytest.raises(DeploymentError, match="not what was expected"):
        append_event(settings, refuse)
    assert read_history(settings) == []


def test_missing_topic(settings: Settings) -> None:
    """A missing topic is an error that names it and the cure."""
    elsewhere = settings.model_copy(update={"deployments_topic": "no-such-history"})
    with pytest.raises(TopicsError, match="missing topic: no-such-history; `scorer topics ensure` creates it"):
        read_history(elsewhere)


def test_no_broker(settings: Settings) -> None:
    """Where no broker answers, the error says where it asked."""
    with pytest.raises(BrokerError, match=r"cannot connect to Kafka at 127\.0\.0\.1:1"):
        read_history(settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"}))


def test_default_before_the_first(follower: Follower, store: BundleStore) -> None:
    """Before anything was deployed the default decides."""
    assert follower.current().reference == reference_of(store, DEFAULT)


def test_follows(follower: Follower, settings: Settings, store: BundleStore, observer: Recorder) -> None:
    """A deployed bundle is used within a moment, and loaded once; a malformed event is reported, and ignored."""
    wanted = reference_of(store, "other:1.0.0")
    write_line(settings, b"no event")
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: follower.current().reference == wanted)
    bundle = follower.current()
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: observer.steps >= 2)
    assert follower.current() is bundle
    assert observer.skips == [0]
    assert observer.refusals == []


def test_the_one_before_is_kept_open(follower: Follower, settings: Settings, store: BundleStore) -> None:
    """Going back opens nothing: what was replaced last takes over again as it was."""
    before, wanted = follower.current(), reference_of(store, "other:1.0.0")
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: follower.current().reference == wanted)
    append_event(settings, deployment_of(before.reference))
    wait_for(lambda: follower.current().reference != wanted)
    assert follower.current() is before


def test_starts_with_what_is_deployed(settings: Settings, store: BundleStore, observer: Recorder) -> None:
    """A new worker begins with the history's newest bundle, and reports earlier malformed events."""
    wanted = reference_of(store, "other:1.0.0")
    write_line(settings, b"{}")
    append_event(settings, deployment_of(wanted))
    with closing(Follower(settings, store, DEFAULT)) as started:
        assert started.current().reference == wanted
        started.start(observer)
        assert observer.skips == [0]


def test_missing_bundle_leaves_the_old_one(
    follower: Follower,
    settings: Settings,
    store: BundleStore,
    observer: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a bundle cannot be loaded, that is reported and retried until the store has it; the previous one decides."""
    monkeypatch.setattr(follow, "_RETRY_S", 0.1)
    serving = follower.current()
    late = named(Path(str(settings.store)).parent / "late", "late", "1.0.0")
    wanted = BundleStore(settings.store).open(str(late)).reference
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: len(observer.refusals) >= 2)
    assert observer.refusals[0][0] == wanted
    assert re.match("bundle late:1.0.0@[0-9a-f]{64} not found", observer.refusals[0][1])
    assert follower.current() is serving
    store.put(late)
    wait_for(lambda: follower.current().reference == wanted)
    wait_for(lambda: observer.steps == 1)


def test_other_content_of_one_version(
    follower: Follower, settings: Settings, store: BundleStore, observer: Recorder
) -> None:
    """A store that has another bundle under the name and version that was deployed does not serve it."""
    serving = follower.current()
    append_event(settings, deployment_of(reference_of(store, "other:1.0.0").model_copy(update={"digest": "0" * 64})))
    wait_for(lambda: bool(observer.refusals))
    assert "two bundles have the same name and version" in observer.refusals[0][1]
    assert follower.current() is serving
    append_event(settings, deployment_of(serving.reference))
    wait_for(lambda: observer.steps == 1)
    assert follower.current() is serving


def test_start_without_the_bundle(settings: Settings, store: BundleStore) -> None:
    """A worker that cannot load what was deployed does not start with anything else."""
    missing = reference_of(store, "other:1.0.0").model_copy(update={"version": "9.9.9"})
    append_event(settings, deployment_of(missing))
    with pytest.raises(BundleError, match=r"bundle other:9\.9\.9@[0-9a-f]{64} not found"):
        Follower(settings, store, DEFAULT)


def test_challenger_comes_and_goes(
    follower: Follower, settings: Settings, store: BundleStore, observer: Recorder
) -> None:
    """A challenger is loaded beside the champion, which it leaves alone, and is gone a moment after it is retired."""
    champion, wanted = follower.current(), reference_of(store, "other:1.0.0")
    assert follower.challenger() is None
    append_event(settings, deployment_of(wanted, "challenger"))
    wait_for(lambda: observer.challengers[-1:] == [wanted])
    challenger = follower.challenger()
    assert challenger is not None
    assert challenger.reference == wanted
    assert follower.current() is champion
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: follower.current().reference == wanted)
    assert follower.challenger() is challenger
    append_event(settings, deployment_of(None, "challenger"))
    wait_for(lambda: observer.challengers[-1:] == [None])
    assert follower.challenger() is None
    assert follower.current().reference == wanted
    assert observer.refusals == observer.refused_challengers == []


def test_worker_starts_without_its_challenger(
    settings: Settings, store: BundleStore, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker starts with its champion; a challenger that is missing is reported, and retried until it is there."""
    monkeypatch.setattr(follow, "_RETRY_S", 0.1)
    late = named(Path(str(settings.store)).parent / "late", "late", "1.0.0")
    wanted = BundleStore(settings.store).open(str(late)).reference
    append_event(settings, deployment_of(wanted, "challenger"))
    with closing(Follower(settings, store, DEFAULT)) as started:
        assert started.current().reference == reference_of(store, DEFAULT)
        started.start(observer)
        wait_for(lambda: len(observer.refused_challengers) >= 2)
        assert observer.refused_challengers[0][0] == wanted
        assert started.challenger() is None
        store.put(late)
        wait_for(lambda: observer.challengers == [wanted])
        assert observer.refusals == []


@pytest.mark.parametrize("slot", ["champion", "challenger"])
def test_whatever_goes_wrong_in_loading(
    follower: Follower,
    settings: Settings,
    store: BundleStore,
    observer: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    slot: Slot,
) -> None:
    """A bundle whose runner raises what no runner should is refused like any other; the follower goes on.

    Such an error used to end the follower, and with it every worker of the group at the same moment.
    """
    serving, wanted = follower.current(), reference_of(store, "other:1.0.0")

    def stumble(_: BundleReference) -> Located:
        raise ZeroDivisionError("in a runner")

    with monkeypatch.context() as patched:
        patched.setattr(store, "locate", stumble)
        append_event(settings, deployment_of(wanted, slot))
        refusals = observer.refusals if slot == "champion" else observer.refused_challengers
        wait_for(lambda: bool(refusals))
    assert refusals[0] == (wanted, "ZeroDivisionError('in a runner')")
    assert follower.current() is serving
    assert follower.challenger() is None
    append_event(settings, deployment_of(wanted, slot))
    wait_for(lambda: wanted in {b.reference for b in (follower.current(), follower.challenger()) if b is not None})


@pytest.mark.parametrize("slot", ["champion", "challenger"])
def test_a_model_that_crashes_its_library(
    follower: Follower,
    settings: Settings,
    observer: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slot: Slot,
) -> None:
    """It crashes a process of its own and is refused. It would have ended every worker of the group, at each start."""
    monkeypatch.undo()  # a child opens bundles again
    monkeypatch.setenv("PYTHONPATH", str(install_crashing_runners(tmp_path / "packages")))
    serving = follower.current()
    folder = crashing_bundle(Path(str(settings.store)) / "crashing" / "1.0.0", "crash")
    wanted = read_manifest(folder).reference
    append_event(settings, deployment_of(wanted, slot))
    refusals = observer.refusals if slot == "champion" else observer.refused_challengers
    wait_for(lambda: bool(refusals))
    assert refusals[0][0] == wanted
    assert "was killed by SIGSEGV" in refusals[0][1]
    assert follower.current() is serving
    assert follower.challenger() is None


@pytest.mark.parametrize("name", ["{folder}/outside", "../outside", "a/b", "x\x1b[2J", "x" * 65])
def test_a_name_is_no_path(
    follower: Follower, settings: Settings, store: BundleStore, observer: Recorder, tmp_path: Path, name: str
) -> None:
    """An event that names a bundle by a folder is malformed: it made a bundle from outside of the store decide."""
    named(tmp_path / f"outside:1.0.0@{'a' * 64}", "other", "1.0.0")
    wanted = reference_of(store, "other:1.0.0")
    hostile = json.loads(deployment_of(wanted)(fold([])).model_dump_json())
    hostile["bundle"] = {"name": name.format(folder=tmp_path), "version": "1.0.0", "digest": "a" * 64}
    write_line(settings, json.dumps(hostile).encode())
    append_event(settings, deployment_of(wanted))
    wait_for(lambda: follower.current().reference == wanted)
    assert (observer.skips, observer.refusals) == ([0], [])


def test_broker_restarts(own_broker: JavaBroker, settings: Settings, store: BundleStore, observer: Recorder) -> None:
    """A follower goes on through a restart of the broker, and sees what is deployed afterwards."""
    elsewhere = settings.model_copy(update={"bootstrap_servers": own_broker.bootstrap_servers})
    topics.ensure(elsewhere, partitions=2, replication=1)
    wanted = reference_of(store, "other:1.0.0")
    with closing(Follower(elsewhere, store, DEFAULT)) as started:
        started.start(observer)
        own_broker.restart()
        append_event(elsewhere, deployment_of(wanted))
        wait_for(lambda: started.current().reference == wanted)


def test_an_event_with_the_largest_contract(settings: Settings, store: BundleStore, observer: Recorder) -> None:
    """Topics and clients as they are by default carry an event with a contract of 256 kB, and a worker follows it."""
    wanted = reference_of(store, "other:1.0.0")
    document = largest_contract()
    event = append_event(settings, lambda state: deployment_of(wanted)(state).model_copy(update={"contract": document}))
    (line,) = read_history(settings)
    assert line.event == event
    assert line.event.contract == document
    with closing(Follower(settings, store, DEFAULT)) as follower:
        follower.start(observer)
        assert follower.current().reference == wanted
    assert observer.skips == []
