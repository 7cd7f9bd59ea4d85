"""The Kafka implementation of Link: polling, publishing, and at most one delivery in flight.

A batch is delivered in a background thread; with a backlog, the loop scores the next batch meanwhile. The next publish,
a rebalance and a shutdown wait for the delivery first. If it failed, the partitions are rewound to the committed
offsets, and records polled since then are dropped and polled again.

`scorer.stream.faults` classifies errors. If the link cannot continue (fenced, stalled, a recreated topic), it is
STOPPED: closing it then commits nothing, because that would fail or hang.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from schemas.decision import BundleReference
from scorer.core.score import Scores
from scorer.errors import BrokerError, FencedError, ScorerError, StalledError
from scorer.settings import Settings
from scorer.stream.aborts import Aborts
from scorer.stream.commits import OffsetCommits
from scorer.stream.connection import Connection
from scorer.stream.delivery import AddHeaders, Delivered, Delivery
from scorer.stream.explain import fenced, refusal
from scorer.stream.faults import Fault, Fenced, triage
from scorer.stream.fetching import Fetching
from scorer.stream.group_offsets import GroupMark
from scorer.stream.in_flight import Deliveries, InFlight
from scorer.stream.librdkafka import (
    assigns_incrementally,
    consumer_config,
    limits,
    producer_config,
    translate_config_errors,
)
from scorer.stream.metadata import CommittedMetadata
from scorer.stream.observer import Observer
from scorer.stream.partition import StartAt, start_where_committed
from scorer.stream.startup import abort_open_transaction, outputs_of, require_same_topics, require_topics
from scorer.stream.subscription import Subscription
from scorer.stream.task_thread import TaskThread
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.worker import Batch


class KafkaLink:
    """A consumer in the group, and a producer that publishes its results.

    Attributes:
        observer: notified of what happens.
        consumer_class, producer_class: the classes of the clients; tests replace them.
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
        self._refused = refused
        self._deliveries = Deliveries()
        consumer_properties = consumer_config(settings)
        self._identity = TopicIdentity(settings)
        require_topics(settings, self._identity)
        outputs = outputs_of(settings, self._identity)
        producer_properties = producer_config(settings, min(outputs.decision_bytes_max, outputs.dead_letter_bytes_max))
        self._transactional_id: str | None = producer_properties.get("transactional.id")
        self._connection = Connection(observer)
        self._commits = OffsetCommits(lambda: self._consumer, should_stop)
        self._mark = GroupMark(settings)
        with translate_config_errors():
            reports = {"stats_cb": self._connection.on_statistics}
            producer: Producer = self.producer_class({**producer_properties, **reports})
            callbacks = {"error_cb": self._connection.on_error, "on_commit": self._commits.on_commit, **reports}
            self._consumer: Consumer = self.consumer_class({**consumer_properties, **callbacks})
        fetching = Fetching(self._consumer, settings.applications_topic, assigns_incrementally(consumer_properties))
        self._subscription = Subscription(settings, observer, should_stop, start_at, self._identity, fetching)
        transactional = self._transactional_id is not None
        self._delivery = Delivery(producer, outputs, transactional, self._identity, should_stop, add_headers)
        self._aborts = Aborts(settings, self._identity, self._delivery, should_stop)
        if self._transactional_id is not None:
            abort_open_transaction(producer, self._transactional_id, settings)
        require_same_topics(settings, self._identity, should_stop)
        self._thread = TaskThread[Delivered]("delivery")
        self._subscription.open(self.settle)

    def poll(self, reference: BundleReference) -> Batch:
        """Waits briefly for a record, then returns all available records, up to the batch limit."""
        flight = self._deliveries.in_flight
        # Without a backlog, a batch that is polled ahead would only wait for two commits.
        if flight is None or flight.delivery.done() or not self._subscription.size.is_backlogged:
            self._await_in_flight()
        try:
            if self._deliveries.in_flight is None:
                self._delivery.serve()
                if self._connection.is_reachable:
                    self._identity.check_all()
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
        self._deliveries.begin(InFlight(batch, scores, offsets, delivery, ends_at))
        self.observer.delivering()

    def settle(self) -> bool:
        """Waits until everything published is committed; False if it was aborted instead."""
        if not self._await_in_flight():
            return False
        try:
            self._commits.settle()
        except KafkaException as failure:
            error = failure.args[0]
        else:
            return True
        self._recover(error)
        return False

    def pause(self, partitions: Iterable[int]) -> None:
        """Stops polling these partitions until they are rewound or assigned again."""
        self._subscription.pause(partitions)

    def blocked(self) -> dict[int, str]:
        """Returns the partitions that cannot be read from their committed offset, each with its reason."""
        return self._subscription.blocked()

    def close(self) -> None:
        """Settles, and leaves the group (a static member keeps its partitions until its session ends)."""
        try:
            if not self._deliveries.are_stopped:
                self.settle()
        finally:
            self._deliveries.stop()
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
        flight = self._deliveries.take()
        if flight is None:
            return not self._deliveries.are_stopped
        try:
            failure = flight.delivery.exception(max(0.0, flight.ends_at - time.monotonic()))
        except TimeoutError:
            raise self._stalled() from None
        if isinstance(failure, KafkaException):
            self._recover(failure.args[0])
            return False
        if isinstance(failure, ScorerError):
            self._deliveries.stop()
        times = flight.delivery.result(0)
        if not self._delivery.transactional:
            self._commits.add(flight.offsets)
        self._aborts.end()
        self.observer.committed(flight.batch, flight.scores, times)
        return True

    # Errors

    def _recover(self, error: KafkaError) -> None:
        """Aborts and rewinds the batch if a retry can succeed; otherwise raises an error that says what to do."""
        if triage(error) is Fault.FATAL:
            raise self._fenced(error)
        self._abort()
        self._aborts.count(self._delivery.cause(error))
        self._commits.forget()
        self._mark.forget()
        try:
            self._subscription.rewind()
        except Fenced as failure:
            raise self._fenced(failure.error) from failure
        self._aborts.pause()

    def _abort(self) -> None:
        try:
            self._delivery.abort()
        except KafkaException as failure:
            raise self._fenced(failure.args[0]) from failure
        self.observer.aborted()

    def _fenced(self, error: KafkaError) -> BrokerError:
        """Stops the link; returns the error: another worker replaced this one, or it was unresponsive for too long."""
        self._deliveries.stop()
        if triage(error) is Fault.FATAL:
            return FencedError(fenced(error, self._transactional_id, self._settings))
        return BrokerError(refusal(error, "this worker", self._settings))

    def _stalled(self) -> StalledError:
        self._deliveries.stop()
        limit_s = limits(self._settings).delivery_s
        return StalledError(
            f"a delivery took longer than {limit_s:g} s, which exceeds the timeout of its transaction: the brokers did "
            "not answer, or librdkafka hangs (librdkafka#5456). The batch was not committed; it will be processed again"
        )
