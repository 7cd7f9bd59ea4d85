"""Diagnoses a setup step by step on the real brokers; each finding says how to fix it."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from schemas.transport import find_weaknesses
from scorer.errors import BundleError, ScorerError
from scorer.operate import topics
from scorer.operate.finding import Finding
from scorer.settings import Settings
from scorer.stream.admin import admin_client

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from scorer.operate.group_checks import Workers

_WAIT_S: Final = 10.0


def diagnose(settings: Settings, pinned: str | None, default: str) -> Iterator[Finding]:
    """Checks broker, topics, bundles, workers, permissions and clock; ends early if the other checks are impossible.

    It changes nothing, joins no group and commits nothing.

    Args:
        settings: the setup.
        pinned: the bundle that the workers are pinned to; None reads it from the deployment history.
        default: the bundle that decides before the first deployment.
    """
    from scorer.operate.listening import require_listening

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
    deployed = _DeployedBundles(settings, pinned, default, has_history=settings.deployments_topic in existing)
    yield from deployed.check()
    if settings.applications_topic in existing:
        yield from _workers(settings, deployed)
    yield from _transactions(settings)
    if settings.applications_topic in existing:
        yield from _clock(settings)


def _brokers(settings: Settings) -> dict[int, Any]:
    """Returns the brokers by id, with their advertised addresses.

    Raises:
        BrokerError: no broker answers.
    """
    from scorer.stream.requests import metadata_of

    # A client that gets an unreachable address then asks the bootstrap servers again.
    rebootstrapping = settings.kafka | {"metadata.recovery.strategy": "rebootstrap"}
    admin = admin_client(settings.model_copy(update={"kafka": rebootstrapping}))
    return dict(metadata_of(admin, settings, _WAIT_S).brokers)


def _listeners(brokers: dict[int, Any]) -> Iterator[Finding]:
    """Checks that each broker accepts connections at its advertised address."""
    from scorer.operate.listening import connect_fault, explain

    for broker in brokers.values():
        fault = connect_fault(broker.host, broker.port)
        if fault is not None:
            text = (
                f"broker {broker.id} advertises {broker.host}:{broker.port} (advertised.listeners), and connecting to "
                f"it from this machine fails: {explain(fault)}. Set advertised.listeners to an address that workers "
                "can reach; the other checks need it"
            )
            yield Finding("broker", "wrong", text)


def _topics(settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    try:
        read = settings.applications_topic, settings.deployments_topic
        differences, remarks = topics.check(settings, read), topics.small_batch_remarks(settings)
    except ScorerError as error:
        yield Finding("topics", "warning", f"cannot be checked: {error}")
        return
    for difference in differences:
        yield Finding("topics", "wrong", difference)
    for remark in remarks:
        yield Finding("topics", "warning", remark)
    if not differences and not remarks:
        count = existing[settings.applications_topic]
        yield Finding("topics", "ok", f"configured as required; up to {count} workers share the {count} partitions")


class _DeployedBundles:
    """The bundles that the workers should use: pinned, or current in the deployment history."""

    def __init__(self, settings: Settings, pinned: str | None, default: str, *, has_history: bool) -> None:
        self._settings = settings
        self._pinned = pinned
        self._default = default
        self._has_history = has_history
        self.is_deployed = pinned is not None
        """Whether the champion is pinned or deployed; before the first deployment it is the default."""
        self.champion: BundleReference | None = None
        """None if it is not known."""
        self.challenger: BundleReference | None = None

    def check(self) -> Iterator[Finding]:
        """Finds and opens the bundles."""
        if self._pinned is not None:
            self.champion, finding = self._open(self._pinned, "")
            yield finding
            return
        champion = None
        if self._has_history:
            from scorer.operate.deployments import read_history
            from scorer.stream.history import fold

            try:
                state = fold(read_history(self._settings))
            except ScorerError as error:
                yield Finding("bundle", "wrong", f"the deployment history cannot be read: {error}")
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
        from scorer.store.store import BundleStore

        try:
            opened = BundleStore(self._settings.store).open(reference).reference
        except BundleError as error:
            return None, Finding("bundle", "wrong", f"{shorten(reference)}{role} cannot be opened: {error}")
        text = f"{opened.short}{role} loads and reproduces its golden examples"
        return opened, Finding("bundle", "ok", text)


def _workers(settings: Settings, deployed: _DeployedBundles) -> Iterator[Finding]:
    """Checks that the workers decide applications, and with the deployed bundles."""
    from scorer.operate.group_checks import Workers

    try:
        with closing(Workers(settings, admin_client(settings))) as workers:
            yield from workers.check()
            yield Finding("permissions", "ok", f"the offsets of group {settings.group_id} are readable")
            yield from _deployment(workers, deployed)
    except ScorerError as error:
        yield Finding("group", "wrong", str(error))


def _deployment(workers: "Workers", deployed: _DeployedBundles) -> Iterator[Finding]:
    if deployed.champion is None:
        return
    challenger = None if deployed.challenger is None else str(deployed.challenger)
    yield from workers.compare(str(deployed.champion), is_deployed=deployed.is_deployed, challenger=challenger)


def _transactions(settings: Settings) -> Iterator[Finding]:
    """Checks that a worker may use transactions by initializing a transactional producer, which writes no record."""
    from confluent_kafka import KafkaException, Producer

    from scorer.stream.explain import refusal
    from scorer.stream.librdkafka import producer_config
    from scorer.stream.rights import to_own_transactions

    if settings.delivery != "exactly-once":
        return
    unnamed = settings.model_copy(update={"instance_id": None})  # never fences a running worker
    producer: Producer = Producer(producer_config(unnamed))
    try:
        producer.init_transactions(_WAIT_S)
        yield Finding("permissions", "ok", "transactions are allowed")
    except KafkaException as failure:
        explained = refusal(failure.args[0], "transactions", settings, to_own_transactions(settings))
        yield Finding("permissions", "wrong", explained)
    finally:
        with suppress(KafkaException):  # after a failed start it raises the same error again
            producer.close()


def _clock(settings: Settings) -> Iterator[Finding]:
    """Compares this machine's clock with the newest applications' timestamps; latencies are differences of the two."""
    from scorer.operate.timestamps import check_timestamps

    try:
        yield from check_timestamps(settings)
    except ScorerError as error:
        yield Finding("permissions", "wrong", str(error))
