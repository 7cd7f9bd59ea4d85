"""The real Link: polling, publishing, and one delivery in flight at most.

The delivery of a batch runs in a thread of its own; with a backlog, the loop scores the next batch meanwhile. Whatever
needs to know how it ended waits for it first: the next publish, a rebalance, a stop. If it failed, the partitions are
rewound to what the group has committed, and what was polled since is dropped: it comes again.

What follows an error is in the table of `scorer.stream.faults`. Where the link cannot continue (fenced, stalled, a
topic that is another one), it is STOPPED: closing it then settles nothing, which would only be refused or hang.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.decision import BundleReference
from schemas.rights import Operation, Right, to_topic
from scorer.core.score import Bundle, Scores
from scorer.errors import BrokerError, FencedError, ScorerError, StalledError, TopicsError
from scorer.logs import BATCH_ABORTED, CONNECTION_FAILED, DEAD_LETTERS_POINT, log
from scorer.settings import Settings
from scorer.stream.commits import OffsetCommits
from scorer.stream.delivery import AddHeaders, Delivered, Delivery, DeliveryThread, Outputs, Refused
from scorer.stream.explain import fenced, refusal, refusal_of_member
from scorer.stream.faults import Deadline, Fault, Fenced, cause_of_abort, triage
from scorer.stream.group_offsets import GroupMark, read_group_offsets
from scorer.stream.librdkafka import (
    assigns_incrementally,
    consumer_config,
    limits,
    producer_config,
    refuse_bad_config,
)
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from scorer.stream.observer import Observer
from scorer.stream.partition import StartAt, start_where_committed
from scorer.stream.reaching import metadata_of, why_unlisted
from scorer.stream.rights import to_own_group, to_own_transactions
from scorer.stream.statistics import read_statistics
from scorer.stream.subscription import Subscription
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.topics import batch_limits, lacking
from scorer.stream.worker import Batch

# For one step of the start, once a broker has answered.
_STEP_S: Final = 15.0
# A topic that was created a moment ago is not known to every broker yet.
_TOPICS_S: Final = 2.0
# Aborts in a row after which waiting does not help; with the pauses between them this is about half a minute.
_ABORTS_IN_A_ROW_MAX: Final = 10
_BACKOFF_S_MAX: Final = 5.0
# What a record has besides its value and headers: a key, and Kafka's framing.
_FRAMING_BYTES: Final = 1_000


class _InFlight(NamedTuple):
    batch: Batch
    scores: Scores
    offsets: list[TopicPartition]
    delivery: Future[Delivered]
    ends_at: float


class KafkaLink:
    """A consumer in the group and a producer, moving together."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        start_at: StartAt = start_where_committed,
        add_headers: AddHeaders | None = None,
        refused: Callable[[], str] | None = None,
    ) -> None:
        """Connects, ends what an earlier process with this instance id left open, and joins the group.

        Args:
            settings: the brokers, the topics and how to deliver.
            observer: told of deliveries, rebalances, lag and reachability.
            should_stop: asked between two attempts of a call; True when a stop may wait no longer.
            start_at: where to start in each partition.
            add_headers: what results have in their headers besides what they carry on.
            refused: why the deployed bundle could not be loaded, for operators; None follows no deployments.

        Raises:
            SettingsError: a librdkafka property is wrong.
            BrokerError: no broker answers, or it refuses.
            TopicsError: a topic is missing.
            TopicRecreatedError: the group's offsets are of an earlier topic of the same name.
        """
        self._settings = settings
        self._observer = observer
        self._should_stop = should_stop
        self._refused = refused
        self._stopped = False
        """Set once the link cannot continue; see above."""
        self._in_flight: _InFlight | None = None
        """Set by `publish`, taken by whoever waits for its end; in the loop's thread alone."""
        self._aborts_in_a_row = 0
        self._reachable = True
        """Whether the consumer reaches a broker. Written by its callbacks, which run while polling."""
        consuming = consumer_config(settings)
        self._identity = TopicIdentity(settings)
        self._require_topics()
        outputs = _outputs(settings, self._identity)
        producing = producer_config(settings, min(outputs.decision_bytes_max, outputs.dead_letter_bytes_max))
        self._transactional_id: str | None = producing.get("transactional.id")
        self._subscription = Subscription(settings, observer, should_stop, start_at, self._identity)
        self._commits = OffsetCommits(lambda: self._consumer, should_stop)
        self._mark = GroupMark(settings)
        with refuse_bad_config():
            producer: Producer = Producer({**producing, "stats_cb": self._on_statistics})
            callbacks = {"error_cb": self._on_error, "stats_cb": self._on_statistics}
            self._consumer = Consumer({**consuming, **callbacks, "on_commit": self._commits.on_commit})
        transactional = self._transactional_id is not None
        self._delivery = Delivery(producer, outputs, transactional, self._identity, should_stop, add_headers)
        if transactional:
            self._end_what_was_left_open()
        self._require_same_topics()
        self._thread = DeliveryThread()
        self._subscription.open(self._consumer, self.settle, assigns_incrementally(consuming))

    def poll(self, reference: BundleReference) -> Batch:
        """Waits a moment for a record, then takes what is there."""
        flight = self._in_flight
        # Without a backlog a batch that is polled ahead would only wait for two commits.
        if flight is None or flight.delivery.done() or len(flight.batch.records) < self._settings.batch_records_max:
            self._land()
        try:
            if self._in_flight is None:
                self._delivery.serve()
                if self._reachable:
                    self._identity.look()
            batch = self._subscription.poll()
        except Fenced as failure:
            raise self._fenced(failure.error) from failure
        return Batch(batch.records, {**self._subscription.behind(self._metadata(reference)), **batch.offsets_next})

    def publish(self, batch: Batch, scores: Scores, bundle: Bundle) -> None:
        """Starts the delivery of the results, once the one before has ended well."""
        if not self._land():
            return  # what came after a batch that was aborted comes again with it
        metadata = self._metadata(bundle.reference)
        offsets = self._subscription.advance(batch.offsets_next, metadata)
        if self._refused is not None and self._settings.deployments_topic in self._identity.ids:
            offsets += self._mark.due(self._consumer, metadata)
        group = self._subscription.group_metadata()
        delivery = self._thread.submit(partial(self._delivery.deliver, batch, scores.outcomes, bundle, offsets, group))
        ends_at = time.monotonic() + limits(self._settings).delivery_s
        self._in_flight = _InFlight(batch, scores, offsets, delivery, ends_at)
        self._observer.delivering()

    def settle(self) -> bool:
        """Waits until all that was published is committed; False if it was aborted instead."""
        if not self._land():
            return False
        try:
            self._commits.settle()
        except KafkaException as error:
            self._recover(error.args[0])
            return False
        return True

    def pause(self, partitions: Iterable[int]) -> None:
        """Polls no more from these partitions, while they are assigned and nothing is rewound."""
        self._subscription.pause(partitions)

    def blocked(self) -> dict[int, str]:
        """The partitions that cannot be read from where the group is, with the reason of each."""
        return self._subscription.blocked()

    def close(self) -> None:
        """Settles, and leaves the group (a static member keeps its partitions until its session ends)."""
        try:
            if not self._stopped:
                self.settle()
        finally:
            self._stopped = True
            self._subscription.close()
            self._thread.close()

    # Publishing

    def _metadata(self, reference: BundleReference) -> str:
        refused = "" if self._refused is None else self._refused()
        return CommittedMetadata(str(reference), self._identity.ids, refused).encode()

    def _land(self) -> bool:
        """Waits for what is in flight; False if it was aborted.

        Raises:
            StalledError: it has taken longer than a delivery can live.
        """
        if self._in_flight is None or self._stopped:
            return not self._stopped
        flight, self._in_flight = self._in_flight, None
        try:
            times = flight.delivery.result(max(0.0, flight.ends_at - time.monotonic()))
        except TimeoutError:
            raise self._stalled() from None
        except KafkaException as error:
            self._recover(error.args[0])
            return False
        except ScorerError:
            self._stopped = True
            raise
        if not self._delivery.transactional:
            self._commits.add(flight.offsets)
        self._aborts_in_a_row = 0
        self._observer.committed(flight.batch, flight.scores, times)
        return True

    # When something goes wrong

    def _recover(self, error: KafkaError) -> None:
        """Rewinds the batch if that can help; otherwise says what to do."""
        if triage(error) is Fault.FATAL:
            raise self._fenced(error)
        self._abort()
        cause = self._delivery.cause(error)
        self._refuse_to_repeat(cause)
        self._aborts_in_a_row += 1
        log(BATCH_ABORTED, topic=self._settings.applications_topic, error=cause.error.str())
        self._commits.forget()
        self._mark.forget()
        try:
            self._subscription.rewind()
        except Fenced as failure:
            raise self._fenced(failure.error) from failure
        time.sleep(min(0.05 * 2**self._aborts_in_a_row, _BACKOFF_S_MAX))

    def _abort(self) -> None:
        try:
            self._delivery.abort()
        except KafkaException as failure:
            raise self._fenced(failure.args[0]) from failure
        self._observer.aborted()

    def _refuse_to_repeat(self, cause: Refused) -> None:
        """Raises if the next attempt would fail in the same way, or if there may be none."""
        error = cause.error
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and cause.topic:
            if cause.topic == self._settings.dead_letters_topic and self._delivery.point_to_large_letters():
                log(DEAD_LETTERS_POINT, topic=cause.topic)
                return
            raise TopicsError(self._too_large(cause))
        if cause_of_abort(error) is Fault.NON_RETRIABLE:
            what = f"topic {cause.topic}" if cause.topic else "this worker"
            raise BrokerError(refusal(error, what, self._settings, *self._delivery_rights(cause)))
        if self._should_stop():
            raise BrokerError(
                f"shutdown timeout ({self._settings.drain_s:g} s) elapsed before the batch was committed "
                f"({error.str()}); it will be processed again"
            )
        if self._aborts_in_a_row >= _ABORTS_IN_A_ROW_MAX:
            where = f" by topic {cause.topic}" if cause.topic else ""
            raise BrokerError(
                f"{self._aborts_in_a_row + 1} batches in a row were aborted, the last one{where} because: {error.str()}"
            )

    def _delivery_rights(self, cause: Refused) -> list[Right]:
        """What a delivery needs; the brokers do not say which topic a transaction may not have."""
        rights = [to_own_group(self._settings, Operation.READ), to_own_transactions(self._settings)]
        if cause.topic:
            return [to_topic(Operation.WRITE, cause.topic), *rights]
        if cause.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return lacking(self._settings, self._topic_rights()) or self._topic_rights()
        return rights

    def _too_large(self, cause: Refused) -> str:
        taken = batch_limits(self._settings, self._identity.admin)[cause.topic]
        if cause.size_bytes + _FRAMING_BYTES < taken:
            return (
                f"topic {cause.topic} refuses a batch of records, each of which is smaller than its max.message.bytes "
                f"({taken}): the limit was lowered while this worker ran. Start it again, and it sends smaller batches"
            )
        return (
            f"topic {cause.topic} refuses a record of {cause.size_bytes} bytes as too large: raise its "
            f"max.message.bytes, which is {taken}; see `scorer topics check`"
        )

    def _fenced(self, error: KafkaError) -> BrokerError:
        """Why the worker cannot continue: another one has replaced it, or it was away for too long."""
        self._stopped = True
        if triage(error) is Fault.FATAL:
            return FencedError(fenced(error, self._transactional_id, self._settings))
        return BrokerError(refusal(error, "this worker", self._settings))

    def _stalled(self) -> StalledError:
        self._stopped = True
        limit_s = limits(self._settings).delivery_s
        return StalledError(
            f"a delivery has taken longer than {limit_s:g} s, which is longer than its transaction lives: the brokers "
            "did not answer, or librdkafka does not return (librdkafka#5456). Nothing of the batch is committed; it "
            "will be processed again"
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._reachable = False
            self._observer.reachable(False)
        log(CONNECTION_FAILED, error=error.str())

    def _on_statistics(self, text: str) -> None:
        statistics = read_statistics(text)
        if statistics.client == "consumer":
            self._reachable = statistics.connections > 0
            self._observer.reachable(self._reachable)
        self._observer.statistics(statistics)

    # Starting

    def _require_topics(self) -> None:
        """Says at once what would otherwise be a wait without end."""
        rights = self._topic_rights()
        names = self._required_topics()
        existing = set(metadata_of(self._identity.admin, self._settings, self._settings.broker_wait_s).topics)
        ends_at = time.monotonic() + _TOPICS_S
        while missing := sorted(names - existing):
            if time.monotonic() > ends_at:
                admin = self._identity.admin
                why = [why_unlisted(admin, self._settings, right, _STEP_S) for right in rights if right.name in missing]
                raise TopicsError("; ".join(why))
            time.sleep(_TOPICS_S / 10)
            existing = set(metadata_of(self._identity.admin, self._settings, _STEP_S).topics)

    def _required_topics(self) -> set[str]:
        return {right.name for right in self._topic_rights()}

    def _topic_rights(self) -> list[Right]:
        outputs = self._settings.decisions_topic, self._settings.dead_letters_topic
        applications = to_topic(Operation.READ, self._settings.applications_topic)
        return [applications, *(to_topic(Operation.WRITE, topic) for topic in outputs)]

    def _require_same_topics(self) -> None:
        """Compares the topics with those whose offsets the group has committed, before the group is joined.

        A worker that joined first and stopped then would make the group wait for it, and keep it from being reset.
        """
        deadline = Deadline(_STEP_S, self._should_stop)
        try:
            ids = self._identity.read(deadline, self._required_topics())
            committed = read_group_offsets(self._settings, self._remembering_partitions(), deadline)
        except KafkaException as failure:
            what = f"the offsets of group {self._settings.group_id}"
            raise BrokerError(refusal_of_member(failure.args[0], what, self._settings)) from failure
        for tp in committed:
            self._identity.compare(decode_metadata(tp.metadata).topic_ids, ids)

    def _remembering_partitions(self) -> list[TopicPartition]:
        """Those whose committed offsets tell which topics the group has processed."""
        topic, deployments = self._settings.applications_topic, self._settings.deployments_topic
        numbers = metadata_of(self._identity.admin, self._settings, _STEP_S, topic).topics[topic].partitions
        own = [TopicPartition(topic, number) for number in sorted(numbers)]
        return [*own, TopicPartition(deployments, 0)] if deployments in self._identity.ids else own

    def _end_what_was_left_open(self) -> None:
        try:
            self._delivery.producer.init_transactions(_STEP_S)
        except KafkaException as failure:
            what = f"to begin transactions with the transactional.id {self._transactional_id}"
            needed = to_own_transactions(self._settings)
            raise BrokerError(refusal(failure.args[0], what, self._settings, needed)) from failure


def _outputs(settings: Settings, identity: TopicIdentity) -> Outputs:
    taken = batch_limits(settings, identity.admin)
    names = settings.decisions_topic, settings.dead_letters_topic
    return Outputs(*names, *(taken[name] for name in names))
