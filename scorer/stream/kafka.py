"""The Kafka implementation of Link: polling, publishing, and at most one delivery in flight.

A batch is delivered in a background thread; with a backlog, the loop scores the next batch meanwhile. The next publish,
a rebalance and a shutdown wait for the delivery first. If it failed, the partitions are rewound to the committed
offsets, and records polled since then are dropped and polled again.

`scorer.stream.faults` classifies errors. If the link cannot continue (fenced, stalled, a recreated topic), it is
STOPPED: closing it then commits nothing, because that would fail or hang.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import ClassVar, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.decision import BundleReference
from schemas.rights import Operation, Right, to_topic
from scorer.core.score import Scores
from scorer.errors import BrokerError, FencedError, ScorerError, StalledError, TopicsError
from scorer.logs import BATCH_ABORTED, CONNECTION_FAILED, DEAD_LETTERS_ARE_POINTERS, log
from scorer.settings import Settings
from scorer.stream.admin import batch_limits, lacking
from scorer.stream.commits import OffsetCommits
from scorer.stream.delivery import AddHeaders, Delivered, Delivery, DeliveryThread, Outputs, Refused
from scorer.stream.explain import fenced, refusal, refusal_of_member
from scorer.stream.faults import Deadline, Fault, Fenced, cause_of_abort, triage
from scorer.stream.group_offsets import CommittedOffsets, GroupMark
from scorer.stream.librdkafka import (
    assigns_incrementally,
    consumer_config,
    limits,
    producer_config,
    translate_config_errors,
)
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from scorer.stream.observer import Observer
from scorer.stream.partition import StartAt, start_where_committed
from scorer.stream.requests import metadata_of, why_unlisted
from scorer.stream.rights import to_own_group, to_own_transactions
from scorer.stream.statistics import read_statistics
from scorer.stream.subscription import Subscription
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.worker import Batch

# Timeout of one step of the start, after a broker has answered.
_STEP_S: Final = 15.0
# A new topic is not known to every broker at once.
_TOPICS_S: Final = 2.0
# Maximum number of consecutive aborts; with the pauses between them, about half a minute.
_ABORTS_IN_A_ROW_MAX: Final = 10
_BACKOFF_S_MAX: Final = 5.0
# Size of a record in addition to its value and headers: the key and Kafka's framing.
_FRAMING_BYTES: Final = 1_000


class _InFlight(NamedTuple):
    batch: Batch
    scores: Scores
    offsets: list[TopicPartition]
    delivery: Future[Delivered]
    ends_at: float


class KafkaLink:
    """A consumer in the group, and a producer that publishes its results.

    Attributes:
        observer: notified of what happens.
    """

    consumer_class: ClassVar[type[Consumer]] = Consumer
    producer_class: ClassVar[type[Producer]] = Producer

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        start_at: StartAt = start_where_committed,
        add_headers: AddHeaders | None = None,
        refused: Callable[[], str] | None = None,
    ) -> None:
        """Connects, aborts a transaction that an earlier process with this instance id left open, and joins the group.

        Args:
            settings: the brokers, the topics and the delivery guarantee.
            observer: notified of deliveries, rebalances, lag and reachability.
            should_stop: checked between attempts of a call; True once the shutdown timeout has elapsed.
            start_at: returns the offset to start from in each partition.
            add_headers: returns headers for the results, in addition to those copied from their records.
            refused: returns why the deployed bundle could not be loaded; None if deployments are not followed.

        Raises:
            SettingsError: a librdkafka property is invalid.
            BrokerError: no broker answers, or one returns an error.
            TopicsError: a topic is missing.
            TopicRecreatedError: the group's offsets belong to a deleted topic of the same name.
        """
        self._settings = settings
        self.observer = observer
        self._should_stop = should_stop
        self._refused = refused
        self._stopped = False
        """True once the link cannot continue; see above."""
        self._in_flight: _InFlight | None = None
        """Set by `publish`, cleared by `_await_in_flight`; used in the loop's thread only."""
        self._aborts_in_a_row = 0
        self._reachable = True
        """Whether the consumer is connected to a broker. Set by its callbacks, which run while polling."""
        consumer_properties = consumer_config(settings)
        self._identity = TopicIdentity(settings)
        self._require_topics()
        outputs = _outputs(settings, self._identity)
        producer_properties = producer_config(settings, min(outputs.decision_bytes_max, outputs.dead_letter_bytes_max))
        self._transactional_id: str | None = producer_properties.get("transactional.id")
        self._subscription = Subscription(settings, observer, should_stop, start_at, self._identity)
        self._commits = OffsetCommits(lambda: self._consumer, should_stop)
        self._mark = GroupMark(settings)
        with translate_config_errors():
            producer: Producer = self.producer_class({**producer_properties, "stats_cb": self._on_statistics})
            callbacks = {"error_cb": self._on_error, "stats_cb": self._on_statistics}
            self._consumer: Consumer = self.consumer_class(
                {**consumer_properties, **callbacks, "on_commit": self._commits.on_commit}
            )
        transactional = self._transactional_id is not None
        self._delivery = Delivery(producer, outputs, transactional, self._identity, should_stop, add_headers)
        if transactional:
            self._abort_open_transaction()
        self._require_same_topics()
        self._thread = DeliveryThread()
        self._subscription.open(self._consumer, self.settle, assigns_incrementally(consumer_properties))

    def poll(self, reference: BundleReference) -> Batch:
        """Waits briefly for a record, then returns all available records, up to the batch limit."""
        flight = self._in_flight
        # Without a backlog, a batch that is polled ahead would only wait for two commits.
        if flight is None or flight.delivery.done() or len(flight.batch.records) < self._settings.batch_records_max:
            self._await_in_flight()
        try:
            if self._in_flight is None:
                self._delivery.serve()
                if self._reachable:
                    self._identity.look()
            batch = self._subscription.poll()
        except Fenced as failure:
            raise self._fenced(failure.error) from failure
        return Batch(batch.records, {**self._subscription.behind(self._metadata(reference)), **batch.offsets_next})

    def publish(self, batch: Batch, scores: Scores) -> None:
        """Starts the delivery of the results, after the previous delivery has succeeded."""
        if not self._await_in_flight():
            return  # records after an aborted batch are polled again with it
        metadata = self._metadata(scores.bundle)
        offsets = self._subscription.advance(batch.offsets_next, metadata)
        if self._refused is not None and self._settings.deployments_topic in self._identity.ids:
            offsets += self._mark.due(self._consumer, metadata)
        group = self._subscription.group_metadata()
        delivery = self._thread.submit(partial(self._delivery.deliver, batch, scores, offsets, group))
        ends_at = time.monotonic() + limits(self._settings).delivery_s
        self._in_flight = _InFlight(batch, scores, offsets, delivery, ends_at)
        self.observer.delivering()

    def settle(self) -> bool:
        """Waits until everything published is committed; False if it was aborted instead."""
        if not self._await_in_flight():
            return False
        try:
            self._commits.settle()
        except KafkaException as error:
            self._recover(error.args[0])
            return False
        return True

    def pause(self, partitions: Iterable[int]) -> None:
        """Stops polling these partitions until they are rewound or assigned again."""
        self._subscription.pause(partitions)

    def blocked(self) -> dict[int, str]:
        """Returns the partitions that cannot be read from their committed offset, each with its reason."""
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

    def _await_in_flight(self) -> bool:
        """Waits for the delivery in flight; False if it was aborted.

        Raises:
            StalledError: the delivery has exceeded its time limit.
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
        self.observer.committed(flight.batch, flight.scores, times)
        return True

    # Errors

    def _recover(self, error: KafkaError) -> None:
        """Aborts and rewinds the batch if a retry can succeed; otherwise raises an error that says what to do."""
        if triage(error) is Fault.FATAL:
            raise self._fenced(error)
        self._abort()
        cause = self._delivery.cause(error)
        self._raise_if_permanent(cause)
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
        self.observer.aborted()

    def _raise_if_permanent(self, cause: Refused) -> None:
        """Raises if the next attempt would fail in the same way, or if no attempt is left."""
        error = cause.error
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and cause.topic:
            if cause.topic == self._settings.dead_letters_topic and self._delivery.point_to_large_records():
                log(DEAD_LETTERS_ARE_POINTERS, topic=cause.topic)
                return
            raise TopicsError(self._too_large(cause))
        if cause_of_abort(error) is Fault.NON_RETRIABLE:
            what = f"topic {cause.topic}" if cause.topic else "this worker"
            raise BrokerError(refusal(error, what, self._settings, *self._delivery_rights(cause)))
        if self._should_stop():
            raise BrokerError(
                f"shutdown timeout ({self._settings.shutdown_timeout_s:g} s) elapsed before the batch was committed "
                f"({error.str()}); it will be processed again"
            )
        if self._aborts_in_a_row >= _ABORTS_IN_A_ROW_MAX:
            topic = f" (topic {cause.topic})" if cause.topic else ""
            raise BrokerError(
                f"{self._aborts_in_a_row + 1} consecutive batches were aborted, the last one{topic} with: {error.str()}"
            )

    def _delivery_rights(self, cause: Refused) -> list[Right]:
        """Returns the rights that a delivery needs; brokers do not say for which topic a transaction lacks a right."""
        rights = [to_own_group(self._settings, Operation.READ), to_own_transactions(self._settings)]
        if cause.topic:
            return [to_topic(Operation.WRITE, cause.topic), *rights]
        if cause.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return lacking(self._settings, self._topic_rights()) or self._topic_rights()
        return rights

    def _too_large(self, cause: Refused) -> str:
        limit = batch_limits(self._settings, self._identity.admin)[cause.topic]
        if cause.size_bytes + _FRAMING_BYTES < limit:
            return (
                f"topic {cause.topic} rejected a batch, although each record is smaller than its max.message.bytes "
                f"({limit}): the limit was lowered while this worker was running. Restart it to send smaller batches"
            )
        return (
            f"topic {cause.topic} rejected a record of {cause.size_bytes} bytes as too large: raise its "
            f"max.message.bytes, which is {limit}; see `scorer topics check`"
        )

    def _fenced(self, error: KafkaError) -> BrokerError:
        """Stops the link; returns the error: another worker replaced this one, or it was unresponsive for too long."""
        self._stopped = True
        if triage(error) is Fault.FATAL:
            return FencedError(fenced(error, self._transactional_id, self._settings))
        return BrokerError(refusal(error, "this worker", self._settings))

    def _stalled(self) -> StalledError:
        self._stopped = True
        limit_s = limits(self._settings).delivery_s
        return StalledError(
            f"a delivery took longer than {limit_s:g} s, which exceeds the timeout of its transaction: the brokers did "
            "not answer, or librdkafka hangs (librdkafka#5456). The batch was not committed; it will be processed again"
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._reachable = False
            self.observer.reachable(False)
        log(CONNECTION_FAILED, error=error.str())

    def _on_statistics(self, text: str) -> None:
        statistics = read_statistics(text)
        if statistics.client == "consumer":
            self._reachable = statistics.connections > 0
            self.observer.reachable(self._reachable)
        self.observer.statistics(statistics)

    # Starting

    def _require_topics(self) -> None:
        """Raises if a topic is missing, because a consumer would wait for it without an error."""
        rights = self._topic_rights()
        names = self._required_topics()
        existing = set(metadata_of(self._identity.admin, self._settings, self._settings.broker_wait_s).topics)
        ends_at = time.monotonic() + _TOPICS_S
        while missing := sorted(names - existing):
            if time.monotonic() > ends_at:
                admin = self._identity.admin
                reasons = [
                    why_unlisted(admin, self._settings, right, _STEP_S) for right in rights if right.name in missing
                ]
                raise TopicsError("; ".join(reasons))
            time.sleep(_TOPICS_S / 10)
            existing = set(metadata_of(self._identity.admin, self._settings, _STEP_S).topics)

    def _required_topics(self) -> set[str]:
        return {right.name for right in self._topic_rights()}

    def _topic_rights(self) -> list[Right]:
        outputs = self._settings.decisions_topic, self._settings.dead_letters_topic
        applications = to_topic(Operation.READ, self._settings.applications_topic)
        return [applications, *(to_topic(Operation.WRITE, topic) for topic in outputs)]

    def _require_same_topics(self) -> None:
        """Compares the topics' ids with those in the group's committed offsets, before the group is joined.

        A worker that joined first and then stopped would delay the group, and prevent a reset of its offsets.
        """
        try:
            ids = self._identity.read(Deadline(_STEP_S, self._should_stop), self._required_topics())
        except KafkaException as failure:
            raise BrokerError(refusal_of_member(failure.args[0], "the ids of the topics", self._settings)) from failure
        with closing(CommittedOffsets(self._settings, Operation.READ)) as offsets:
            committed = offsets.read(self._partitions_with_topic_ids(), _STEP_S, self._should_stop)
        for tp in committed:
            self._identity.compare(decode_metadata(tp.metadata).topic_ids, ids)

    def _partitions_with_topic_ids(self) -> list[TopicPartition]:
        """Returns the partitions whose committed metadata name the ids of the topics that the group has processed."""
        topic, deployments = self._settings.applications_topic, self._settings.deployments_topic
        numbers = metadata_of(self._identity.admin, self._settings, _STEP_S, topic).topics[topic].partitions
        own = [TopicPartition(topic, number) for number in sorted(numbers)]
        return [*own, TopicPartition(deployments, 0)] if deployments in self._identity.ids else own

    def _abort_open_transaction(self) -> None:
        try:
            self._delivery.producer.init_transactions(_STEP_S)
        except KafkaException as failure:
            what = f"transactional.id {self._transactional_id}"
            needed = to_own_transactions(self._settings)
            raise BrokerError(refusal(failure.args[0], what, self._settings, needed)) from failure


def _outputs(settings: Settings, identity: TopicIdentity) -> Outputs:
    limits_bytes = batch_limits(settings, identity.admin)
    names = settings.decisions_topic, settings.dead_letters_topic
    return Outputs(*names, *(limits_bytes[name] for name in names))
