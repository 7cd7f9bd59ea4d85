"""Diagnoses a setup step by step on the real brokers; each finding says how to fix it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.transport import find_weaknesses
from scorer.errors import BundleError, MisuseError, ScorerError
from scorer.operate import topics
from scorer.operate.finding import Finding
from scorer.settings import Settings
from scorer.stream.admin import admin_client

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from scorer.core.score import Bundle
    from scorer.operate.group_checks import Workers

_WAIT_S: Final = 10.0

Review = Callable[[Path, "Bundle"], Sequence[str]]
"""Returns the errors of an opened bundle's review, given its folder."""


def diagnose(
    settings: Settings, pinned: str | None, default: str, review: Review = lambda _folder, _bundle: ()
) -> Iterator[Finding]:
    """Checks brokers, replicas, topics, bundles, workers, permissions and clock; ends early if it cannot go further.

    It changes nothing, joins no group and commits nothing.

    Args:
        settings: the setup.
        pinned: the bundle that the workers are pinned to; None reads it from the deployment history.
        default: the bundle that decides before the first deployment.
        review: reviews the bundles; packages that load no code for making bundles leave that to the caller.
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
    yield from _replicas(settings)
    yield from _topics(settings, existing)
    deployed = _DeployedBundles(settings, (pinned, default), review)
    yield from deployed.check(has_history=settings.deployments_topic in existing)
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


def _replicas(settings: Settings) -> Iterator[Finding]:
    """Checks that every partition has a leader, and its replicas are in sync."""
    from scorer.operate.cluster import ClusterReader, check_replicas

    try:
        yield from check_replicas(ClusterReader(settings, admin_client(settings)).read())
    except ScorerError as error:
        yield Finding("replicas", "warning", f"cannot be checked: {error}")


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

    def __init__(self, settings: Settings, named: tuple[str | None, str], review: Review) -> None:
        self._settings = settings
        self._pinned, self._default = named
        self._review = review
        self.is_deployed = self._pinned is not None
        """Whether the champion is pinned or deployed; before the first deployment it is the default."""
        self.champion: BundleReference | None = None
        """None if it is not known."""
        self.challenger: BundleReference | None = None

    def check(self, *, has_history: bool) -> Iterator[Finding]:
        """Finds, opens and reviews the bundles."""
        if self._pinned is not None:
            self.champion, findings = self._open(self._pinned, "")
            yield from findings
            return
        champion = None
        if has_history:
            from scorer.operate.deployments import read_history
            from scorer.stream.history import fold

            try:
                state = fold(read_history(self._settings))
            except ScorerError as error:
                yield Finding("bundle", "wrong", f"the deployment history cannot be read: {error}")
                return
            champion, self.challenger = state.current("champion"), state.current("challenger")
        if champion is None:
            self.champion, findings = self._open(self._default, ", which decides before the first deployment,")
        else:
            self.is_deployed, self.champion = True, champion
            _, findings = self._open(str(champion), ", the champion,")
        yield from findings
        if self.challenger is not None:
            yield from self._open(str(self.challenger), ", the challenger,")[1]

    def _open(self, reference: str, role: str) -> "tuple[BundleReference | None, list[Finding]]":
        from schemas.decision import shorten
        from scorer.store.store import BundleStore

        try:
            store = BundleStore(self._settings.store)
            opened = store.open(reference)
            errors = self._review(store.find(reference), opened)
        except (BundleError, MisuseError) as error:  # the latter: support for the store's URL is not installed
            return None, [Finding("bundle", "wrong", f"{shorten(reference)}{role} cannot be opened: {error}")]
        bundle = opened.reference
        text = f"{bundle.short}{role} loads and reproduces its golden examples"
        advice = f"`scorer bundle lint {bundle.name}:{bundle.version}` says how to fix it"
        reviewed = [Finding("lint", "warning", f"{bundle.short}{role} has an error: {e}; {advice}") for e in errors]
        return bundle, [Finding("bundle", "ok", text), *reviewed]


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
