"""What is wrong with a set-up, asked step by step of the real brokers, each finding with its cure."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from schemas.transport import find_weaknesses
from scorer.errors import BundleError, ScorerError
from scorer.settings import Settings
from scorer.stream import topics
from scorer.stream.finding import Finding

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from scorer.stream.working import Workers

_WAIT_S: Final = 10.0


def diagnose(settings: Settings, pinned: str | None, default: str) -> Iterator[Finding]:
    """Asks about broker, topics, bundles, workers, permissions and clock; ends early where no more can be asked.

    It changes nothing, joins no group and commits nothing.

    Args:
        settings: the set-up.
        pinned: the bundle that the workers are pinned to; None goes by the history of deployments.
        default: the bundle that decides before the first deployment.
    """
    from scorer.stream.listening import require_listening

    for weakness in find_weaknesses(settings.kafka):
        yield Finding("encryption", "warning", weakness)
    try:
        require_listening(settings)
        brokers = _brokers(settings)
        unreachable = list(_listeners(brokers))
        yield from unreachable
        if unreachable:
            return
        existing = topics.partitions_of(settings)
    except ScorerError as error:
        yield Finding("broker", "wrong", str(error))
        return
    yield Finding("broker", "ok", f"{len(brokers)} broker{'s' * (len(brokers) != 1)} at {settings.bootstrap_servers}")
    yield from _topics(settings, existing)
    deployed = _Deployed(settings, pinned, default, has_history=settings.deployments_topic in existing)
    yield from deployed.look()
    if settings.applications_topic in existing:
        yield from _workers(settings, deployed)
    yield from _transactions(settings)
    if settings.applications_topic in existing:
        yield from _clock(settings)


def _brokers(settings: Settings) -> dict[int, Any]:
    """The brokers, by id, as they tell clients.

    Raises:
        BrokerError: no broker answers.
    """
    from scorer.stream.reaching import metadata_of

    # Whoever is told an address that leads nowhere asks the bootstrap servers again.
    rebootstrapping = settings.kafka | {"metadata.recovery.strategy": "rebootstrap"}
    admin = topics.admin_client(settings.model_copy(update={"kafka": rebootstrapping}))
    return dict(metadata_of(admin, settings, _WAIT_S).brokers)


def _listeners(brokers: dict[int, Any]) -> Iterator[Finding]:
    """Whether each broker can be connected to at the address that it gives clients."""
    from scorer.stream.listening import connect_fault, explain

    for broker in brokers.values():
        fault = connect_fault(broker.host, broker.port)
        if fault is not None:
            text = (
                f"broker {broker.id} tells clients to connect to {broker.host}:{broker.port} (its "
                f"advertised.listeners), and from here that fails: {explain(fault)}. Set advertised.listeners to an "
                "address that workers can reach; nothing else can be asked before"
            )
            yield Finding("broker", "wrong", text)


def _topics(settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    try:
        read = settings.applications_topic, settings.deployments_topic
        differences, remarks = topics.check(settings, read), topics.small_batches(settings)
    except ScorerError as error:
        yield Finding("topics", "warning", f"cannot be compared: {error}")
        return
    for difference in differences:
        yield Finding("topics", "wrong", difference)
    for remark in remarks:
        yield Finding("topics", "warning", remark)
    if not differences and not remarks:
        count = existing[settings.applications_topic]
        yield Finding("topics", "ok", f"as the contract says; up to {count} workers share the {count} partitions")


class _Deployed:
    """What the workers should decide with: what they are pinned to, or what the history says."""

    def __init__(self, settings: Settings, pinned: str | None, default: str, *, has_history: bool) -> None:
        self._settings = settings
        self._pinned = pinned
        self._default = default
        self._has_history = has_history
        self.is_deployed = pinned is not None
        """Whether a pin or the history says it; before the first deployment it is the default."""
        self.champion: BundleReference | None = None
        """None where it is not known."""
        self.challenger: BundleReference | None = None

    def look(self) -> Iterator[Finding]:
        """Finds and opens the bundles."""
        if self._pinned is not None:
            self.champion, finding = self._open(self._pinned, "")
            yield finding
            return
        champion = None
        if self._has_history:
            from scorer.stream.deployments import fold, read_history

            try:
                state = fold(read_history(self._settings))
            except ScorerError as error:
                yield Finding("bundle", "wrong", f"the history of deployments cannot be read: {error}")
                return
            champion, self.challenger = state.current("champion"), state.current("challenger")
        if champion is None:
            self.champion, finding = self._open(self._default, ", which decides before the first deployment,")
        else:
            self.is_deployed, self.champion = True, champion
            _, finding = self._open(str(champion), ", the champion,")
        yield finding
        if self.challenger is not None:
            yield self._open(str(self.challenger), ", the challenger,")[1]

    def _open(self, reference: str, role: str) -> "tuple[BundleReference | None, Finding]":
        from schemas.decision import shorten
        from scorer.bundle.store import BundleStore

        try:
            opened = BundleStore(self._settings.store).open(reference).reference
        except BundleError as error:
            return None, Finding("bundle", "wrong", f"{shorten(reference)}{role} cannot be opened: {error}")
        text = f"{opened.short}{role} loads and reproduces its golden examples"
        return opened, Finding("bundle", "ok", text)


def _workers(settings: Settings, deployed: _Deployed) -> Iterator[Finding]:
    """Whether the workers work, and with what is deployed."""
    from scorer.stream.working import Workers

    try:
        with closing(Workers(settings, topics.admin_client(settings))) as workers:
            yield from workers.look()
            yield Finding("permissions", "ok", f"the offsets of group {settings.group_id} may be read")
            yield from _deployment(workers, deployed)
    except ScorerError as error:
        yield Finding("group", "wrong", str(error))


def _deployment(workers: "Workers", deployed: _Deployed) -> Iterator[Finding]:
    if deployed.champion is None:
        return
    challenger = None if deployed.challenger is None else str(deployed.challenger)
    yield from workers.compare(str(deployed.champion), is_deployed=deployed.is_deployed, challenger=challenger)


def _transactions(settings: Settings) -> Iterator[Finding]:
    """Whether a worker may begin transactions, by beginning one: with nothing in it, it changes nothing."""
    from confluent_kafka import KafkaException, Producer

    from scorer.stream.explain import refusal
    from scorer.stream.librdkafka import producer_config
    from scorer.stream.rights import to_own_transactions

    if settings.delivery != "exactly-once":
        return
    own = settings.model_copy(update={"instance_id": None})  # never fence a worker that runs
    producer: Producer = Producer(producer_config(own))
    try:
        producer.init_transactions(_WAIT_S)
        yield Finding("permissions", "ok", "transactions may be begun")
    except KafkaException as failure:
        explained = refusal(failure.args[0], "to begin a transaction", settings, to_own_transactions(settings))
        yield Finding("permissions", "wrong", explained)
    finally:
        with suppress(KafkaException):  # one that was refused says so once more
            producer.close()


def _clock(settings: Settings) -> Iterator[Finding]:
    """This machine's clock against the newest applications' timestamps: latencies are differences between the two."""
    from scorer.stream.timestamps import look_at_timestamps

    try:
        yield from look_at_timestamps(settings)
    except ScorerError as error:
        yield Finding("permissions", "wrong", str(error))
