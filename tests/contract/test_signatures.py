"""Where signatures are required, nothing decides that trusted keys have not signed; on a real broker."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.record_headers import read_headers
from scorer.bundle.signing import Signature, SigningKey, bundle_statement, event_statement, make_key
from scorer.errors import BundleError, DeploymentError
from scorer.local.broker import Broker
from scorer.operate import topics
from scorer.operate.deployments import append_event, read_history
from scorer.settings import Settings, load_settings
from scorer.store.store import BundleStore
from scorer.store.trust import Purpose, TrustedKey, add_key, revoke_key
from scorer.stream.follow import Follower
from scorer.stream.history import HistoryReader, State, fold
from tests.contract.stages import WAIT_S
from tests.contract.test_deployments import DEFAULT, Recorder, deployment_of, wait_for
from tests.unit.bundle.making import named

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("opens_here")]
Signs = Callable[[bytes], Iterable[str | Signature]]


class Lender:
    """Somebody with a topic, a store and keys, whose workers require signatures."""

    def __init__(self, broker: Broker, unique: Callable[[str], str], folder: Path) -> None:
        self.folder = folder
        names = {f"{kind}_topic": unique(kind) for kind in ("applications", "decisions", "dead_letters", "deployments")}
        self.trusted = folder / "trusted.json"
        flags = {"bootstrap_servers": broker.bootstrap_servers, "store": str(folder / "store"), **names}
        self.unsigned = load_settings(flags, environment={}).settings
        required = {"trusted_keys": str(self.trusted), "require_signatures": True}
        self.settings = load_settings({**flags, **required}, environment={}).settings
        topics.ensure(self.settings, partitions=2, replication=1)
        self.store = BundleStore(self.settings.store)
        self.validation = self.trust("validation", ("bundles",))
        self.ana = self.trust("ana", ("deployments",))
        self.one, self.two = (self.make(name) for name in ("one", "two"))

    def trust(self, name: str, signs: tuple[Purpose, ...]) -> SigningKey:
        """A new key that is trusted."""
        key = make_key(self.folder / f"{name}.pem")
        add_key(self.trusted, TrustedKey(name=name, key=key.public.text, signs=signs))
        return key

    def make(self, name: str, *keys: SigningKey) -> BundleReference:
        """A bundle in the store, signed by these keys, or by validation's."""
        self.store.put(named(self.folder / f"made-{name}", name, "1.0.0"))
        reference = self.store.open(f"{name}:1.0.0").reference
        for key in keys or (self.validation,):
            self.store.notes.add_signature(reference, key.sign(bundle_statement(reference)))
        return reference

    def deploy(self, bundle: BundleReference, *keys: SigningKey, settings: Settings | None = None) -> DeploymentEvent:
        """As the command does it."""
        return append_event(
            settings or self.settings, deployment_of(bundle), lambda statement: [key.sign(statement) for key in keys]
        )

    def write(self, bundle: BundleReference, sign: Signs = lambda _: ()) -> None:
        """What somebody with the right to write the topic can do: the event, with whatever for signatures."""
        value = deployment_of(bundle)(fold([])).model_dump_json().encode()
        self.write_record(value, [("signature", str(signature)) for signature in sign(self.statement(value))])

    def write_record(self, value: bytes, headers: list[tuple[str, str | bytes | None]]) -> None:
        """A record of the history."""
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers})
        producer.produce(self.settings.deployments_topic, value, partition=0, headers=headers)
        assert producer.flush(WAIT_S) == 0

    def statement(self, value: bytes) -> bytes:
        """What is signed of an event here."""
        with closing(HistoryReader(self.unsigned)) as reader:
            return event_statement(reader.cluster_id, self.settings.deployments_topic, value)

    def record(self, offset: int) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
        """A record of the history, as it is."""
        options = {"bootstrap.servers": self.settings.bootstrap_servers, "group.id": "unused"}
        with closing(Consumer(options)) as consumer:
            consumer.assign([TopicPartition(self.settings.deployments_topic, 0, offset)])
            message = consumer.poll(WAIT_S)
            assert message is not None
            return message.value() or b"", list(read_headers(message) or ())


@pytest.fixture
def lender(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> Lender:
    """A lender of the test's own."""
    return Lender(broker, unique, tmp_path)


@pytest.fixture
def observer() -> Recorder:
    """What the follower of this test observer."""
    return Recorder()


@pytest.fixture
def follower(lender: Lender, observer: Recorder) -> Iterator[Follower]:
    """A worker's follower at work, with the default bundle."""
    with closing(Follower(lender.settings, lender.store, DEFAULT)) as started:
        started.start(observer)
        yield started


def decides(follower: Follower, bundle: BundleReference) -> None:
    """Waits until it decides."""
    wait_for(lambda: follower.current().reference == bundle)


def forgeries(lender: Lender) -> dict[str, Signs]:
    """By what is wrong with them, signatures of an event that do not count."""
    stranger = make_key(lender.folder / "stranger.pem")
    as_ana = lender.ana.public.key_id
    return {
        "none": lambda _: (),
        "a stranger's": lambda statement: [stranger.sign(statement)],
        "a stranger's under ana's id": lambda statement: [Signature(as_ana, stranger.sign(statement).signature)],
        "of a key for bundles": lambda statement: [lender.validation.sign(statement)],
        "of other bytes": lambda statement: [lender.ana.sign(statement + b" ")],
        "of another topic": lambda statement: [lender.ana.sign(statement.replace(b"\n", b"\nother-", 2))],
        "no signature": lambda _: ["ed25519", "\x1b[2J", "ed25519:" + "0" * 16 + ":" + "A" * 86 + "==", "x" * 100_000],
    }


def test_events_that_nobody_trusted_has_signed(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """They are no events: not for a worker that runs, not for one that starts, and not for an operator."""
    default = follower.current()
    wrong = forgeries(lender)
    for sign in wrong.values():
        lender.write(lender.one, sign)
    wait_for(lambda: len(observer.skips) == len(wrong))
    assert follower.current() is default
    with closing(Follower(lender.settings, lender.store, DEFAULT)) as another:
        assert another.current().reference == default.reference
    for sign in wrong.values():
        with pytest.raises(DeploymentError, match=r"workers would ignore this event .* signed by: none"):
            append_event(lender.settings, deployment_of(lender.one), sign)
    lender.deploy(lender.two, lender.ana)
    decides(follower, lender.two)
    assert observer.refusals == []


def test_an_event_that_is_published_again(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """An old event, signature and all, counts once: published again it does not bring the old bundle back."""
    lender.deploy(lender.one, lender.ana)
    decides(follower, lender.one)
    value, headers = lender.record(0)
    lender.deploy(lender.two, lender.ana)
    decides(follower, lender.two)
    lender.write_record(value, headers)
    wait_for(lambda: len(observer.skips) == 1)
    assert follower.current().reference == lender.two
    with closing(Follower(lender.settings, lender.store, DEFAULT)) as another:
        assert another.current().reference == lender.two
    last = read_history(lender.settings)[-1]
    assert (last.event, last.fault) == (None, "event_id: duplicate of the event at offset 0")


def test_an_event_of_another_topic(lender: Lender, broker: Broker, unique: Callable[[str], str]) -> None:
    """What is signed for one history, such as that of a test system, counts in no other."""
    (lender.folder / "other").mkdir()
    other = Lender(broker, unique, lender.folder / "other")
    shutil.copyfile(other.trusted, lender.trusted)
    other.deploy(other.one, other.ana)
    lender.write_record(*other.record(0))
    (line,) = read_history(lender.settings)
    assert line.event is None
    assert line.fault.startswith("signature: 1 of the trusted keys must sign it; signed by: none")


def test_a_bundle_that_nobody_trusted_has_signed(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """A signed deployment of a bundle without a signature, or with one of a key for deployments, is refused."""
    default = follower.current()
    for name, key in (("mine", lender.ana), ("late", make_key(lender.folder / "stranger.pem"))):
        observer.refusals.clear()
        lender.deploy(lender.make(name, key), lender.ana)
        wait_for(lambda: bool(observer.refusals))
        assert f"{name}:1.0.0" in observer.refusals[-1][1]
        assert "is not signed by a trusted key" in observer.refusals[-1][1]
    assert follower.current() is default
    with pytest.raises(BundleError, match="is not signed by a trusted key"):
        Follower(lender.settings, lender.store, DEFAULT)


def test_a_bundle_that_was_swapped(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """Another bundle in the place of the signed one, the signature left beside it, decides nothing."""
    default = follower.current()
    folder = Path(str(lender.settings.store)) / "one" / "1.0.0"
    shutil.rmtree(folder)
    named(lender.folder / "evil", "one", "1.0.0")
    shutil.copytree(lender.folder / "evil", folder)
    (folder / "model-card.md").write_text("another model")
    lender.deploy(lender.one, lender.ana)
    wait_for(lambda: bool(observer.refusals))
    assert follower.current() is default


def test_a_key_that_is_revoked(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """What it has deployed stops deciding in workers that run, and what it signs from then on counts for nothing."""
    ben = lender.trust("ben", ("deployments",))
    lender.deploy(lender.one, ben)
    decides(follower, lender.one)
    lender.deploy(lender.two, lender.ana)
    decides(follower, lender.two)
    revoke_key(lender.trusted, "ana")
    decides(follower, lender.one)
    with pytest.raises(DeploymentError, match="signed by: none"):
        lender.deploy(lender.two, lender.ana)
    revoke_key(lender.trusted, "ben")
    wait_for(lambda: str(follower.current().reference).startswith(DEFAULT))
    assert observer.refusals == []


def test_a_key_for_bundles_that_is_revoked(lender: Lender, follower: Follower) -> None:
    """Where it alone has signed what decides, the worker ends, and does not start until another key has signed it."""
    lender.deploy(lender.one, lender.ana)
    decides(follower, lender.one)
    revoke_key(lender.trusted, "validation")
    assert follower._following is not None
    assert "is not signed by a trusted key" in str(follower._following.exception(WAIT_S))
    with pytest.raises(BundleError, match=r"one:1\.0\.0@.* is not signed by a trusted key"):
        follower.current()
    with pytest.raises(BundleError, match="is not signed by a trusted key"):
        Follower(lender.settings, lender.store, DEFAULT)
    newer = lender.trust("newer", ("bundles",))
    lender.store.notes.add_signature(lender.one, newer.sign(bundle_statement(lender.one)))
    with closing(Follower(lender.settings, lender.store, DEFAULT)) as another:
        assert another.current().reference == lender.one


def test_keys_change_after_the_bundle_was_deleted(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """It goes on deciding where it is loaded, also when another key is trusted; until the key that signed it is not."""
    lender.deploy(lender.one, lender.ana)
    decides(follower, lender.one)
    lender.store.delete(lender.store.entry("one:1.0.0"))
    lender.trust("ben", ("deployments",))
    time.sleep(1.0)  # workers look twice per second
    assert follower.current().reference == lender.one
    assert observer.refusals == []
    revoke_key(lender.trusted, "validation")
    assert follower._following is not None
    assert "is not signed by a trusted key" in str(follower._following.exception(WAIT_S))


def test_keys_are_rotated_without_a_restart(lender: Lender, follower: Follower, observer: Recorder) -> None:
    """New keys sign what decides, then the old ones are revoked: the same bundle decides all the time."""
    lender.deploy(lender.one, lender.ana)
    decides(follower, lender.one)
    bundle = follower.current()
    ana, validation = lender.trust("ana-2", ("deployments",)), lender.trust("validation-2", ("bundles",))
    lender.store.notes.add_signature(lender.one, validation.sign(bundle_statement(lender.one)))
    lender.deploy(lender.one, ana)
    for name in ("ana", "validation"):
        revoke_key(lender.trusted, name)
    lender.deploy(lender.two, ana)  # whose bundle the new key has not signed
    wait_for(lambda: follower.current() is bundle and bool(observer.refusals))
    lender.store.notes.add_signature(lender.two, validation.sign(bundle_statement(lender.two)))
    lender.deploy(lender.two, ana)
    decides(follower, lender.two)
    assert fold(read_history(lender.settings)).signers["champion"] == ("ana-2",)


def test_two_must_sign(lender: Lender, observer: Recorder) -> None:
    """With dual control one key is not enough, nor one key twice; the history names both."""
    dual = lender.settings.model_copy(update={"deployment_signatures": 2})
    ben = lender.trust("ben", ("bundles", "deployments"))
    for keys in ((), (lender.ana,), (lender.ana, lender.ana), (lender.ana, lender.validation)):
        with pytest.raises(DeploymentError, match="2 of the trusted keys must sign it"):
            lender.deploy(lender.one, *keys, settings=dual)
    lender.deploy(lender.two, lender.ana)  # by an operator who has not set it
    with closing(Follower(dual, lender.store, DEFAULT)) as follower:
        follower.start(observer)
        assert observer.skips == [0]
        lender.deploy(lender.one, lender.ana, ben, settings=dual)
        decides(follower, lender.one)
    assert read_history(dual)[-1].signers == ("ana", "ben")


def test_signers_are_named_where_nothing_is_required(lender: Lender) -> None:
    """With a file of trusted keys alone, every event counts, and the history says who signed."""
    named_only = lender.settings.model_copy(update={"require_signatures": False})
    lender.deploy(lender.one, settings=named_only)
    lender.deploy(lender.two, lender.ana, settings=named_only)
    assert [line.signers for line in read_history(named_only)] == [(), ("ana",)]
    assert [line.signers for line in read_history(lender.unsigned)] == [(), ()]


def test_a_file_that_is_wrong_for_a_moment(lender: Lender, follower: Follower) -> None:
    """A worker goes on with the keys that it has read while the file cannot be."""
    content = lender.trusted.read_bytes()
    lender.trusted.write_bytes(content[:40])
    time.sleep(1.0)
    assert str(follower.current().reference).startswith(DEFAULT)
    lender.trusted.write_bytes(content)
    lender.deploy(lender.one, lender.ana)
    decides(follower, lender.one)


def test_what_an_operator_decides_on(lender: Lender) -> None:
    """What does not count for workers does not count for who decides on the next event either."""
    lender.write(lender.one)
    seen: list[State] = []

    def decide(state: State) -> DeploymentEvent:
        seen.append(state)
        return deployment_of(lender.two)(state)

    append_event(lender.settings, decide, lambda statement: [lender.ana.sign(statement)])
    assert seen[0].current("champion") is None


def test_a_signature_covers_the_contract(lender: Lender) -> None:
    """A signed event with another contract is not signed; as it was written, it is."""
    contract = dict(shipped_contract().document)
    event = deployment_of(lender.one)(fold([])).model_copy(update={"contract": contract})
    value = event.model_dump_json().encode()
    signature: list[tuple[str, str | bytes | None]] = [("signature", str(lender.ana.sign(lender.statement(value))))]
    for changed in (contract | {"title": "another"}, None):
        lender.write_record(event.model_copy(update={"contract": changed}).model_dump_json().encode(), signature)
    lender.write_record(value, signature)
    *forged, signed = read_history(lender.settings)
    assert [line.event for line in forged] == [None, None]
    assert signed.event == event
