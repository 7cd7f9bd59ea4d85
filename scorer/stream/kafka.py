"""The real Link: polling, publishing, and one delivery in flight at most.

The delivery of a batch runs in a thread of its own; with a backlog, the loop scores the next batch meanwhile. Whatever
needs to know how it ended waits for it first: the next publish, a rebalance, a stop. If it failed, the partitions are
wound back to what the group has committed, and what was polled since is dropped: it comes again.

Errors are of three kinds. Retriable: librdkafka tries again, and so do the calls here, until the worker is told to
stop and its drain is over. Abortable: the transaction is aborted and wound back as above. Fatal: a BrokerError that
says why; the process ends and its supervisor starts it again.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol, cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.decision import BundleReference
from scorer.core.score import Bundle, Scores
from scorer.errors import BrokerError, FencedError, OffsetExpiredError, TopicsError
from scorer.logs import BATCH_ABORTED, COMMIT_FAILED, CONNECTION_FAILED, CONSUMER_FAILED, PARTITIONS_CHANGED, log
from scorer.settings import Settings
from scorer.stream.delivery import AddHeaders, Delivered, Delivery
from scorer.stream.faults import (
    ATTEMPT_S,
    Fault,
    cause_of_abort,
    must_stop,
    raise_on_partition_error,
    retry_transient,
    triage,
)
from scorer.stream.librdkafka import assigns_incrementally, consumer_config, refuse_bad_config
from scorer.stream.reaching import metadata_of
from scorer.stream.statistics import Statistics, read_statistics
from scorer.stream.worker import Batch, Record

# How long a poll waits for the first record. A stop is noticed after it at the latest.
_POLL_WAIT_S: Final = 0.2
# The first words with a broker at start: past this it is not slow but wrong.
_START_S: Final = 15.0
# A topic that was created a moment ago is not known to every broker yet.
_TOPICS_S: Final = 2.0
# Aborts in a row after which waiting is no cure; with the pauses between them this is about half a minute.
_ABORTS_IN_A_ROW_MAX: Final = 10
_BACKOFF_S_MAX: Final = 5.0


class Event(Record, Protocol):
    """What the consumer hands out: a record, or an error about a partition."""

    def error(self) -> KafkaError | None: ...


StartAt = Callable[[int, int], int]
"""Given a partition and the group's committed offset in it (below 0: none), where to start."""


def start_where_committed(_: int, committed: int) -> int:
    """Where the group has come to; at the beginning if it has not begun."""
    return committed if committed >= 0 else OFFSET_BEGINNING


class Watch:
    """What a link tells whoever watches it; this one does not listen."""

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions were assigned, revoked or lost; `assigned` is what there is now."""

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch's outcomes are there for good, and when.

        Exactly once, its offsets are too. At least once they follow, and if they cannot, `aborted` comes after all.
        """

    def aborted(self) -> None:
        """A batch was wound back; its records will be polled again."""

    def lag(self, records: Mapping[int, int]) -> None:
        """Records not yet decided, by partition; once a second."""

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""

    def statistics(self, found: Statistics) -> None:
        """What one of the two clients reports of itself; every few seconds."""


class _InFlight(NamedTuple):
    batch: Batch
    scores: Scores
    delivery: Future[Delivered]


class KafkaLink:
    """A consumer in the group and a producer, moving together."""

    def __init__(
        self,
        settings: Settings,
        watch: Watch,
        giving_up: Callable[[], bool],
        start_at: StartAt = start_where_committed,
        add_headers: AddHeaders | None = None,
    ) -> None:
        """Connects, subscribes, and ends what an earlier life of this instance left open.

        Args:
            settings: the brokers, the topics and how to deliver.
            watch: told of commits and aborts, rebalances, lag and reachability.
            giving_up: asked between two attempts of a call; True when a stop may wait no longer.
            start_at: where to start in each partition.
            add_headers: what outcomes have in their headers besides what they carry on.

        Raises:
            SettingsError: a librdkafka property is wrong.
            BrokerError: no broker answers, or it refuses.
            TopicsError: a topic is missing.
        """
        self._settings = settings
        self._start_at = start_at
        self._watch = watch
        self._giving_up = giving_up
        self._positions: dict[int, int] = {}
        self._stamps: dict[int, str] = {}
        """By partition, what its committed offset says of who decided."""
        self._touched: set[int] = set()
        self._paused: set[int] = set()
        self._in_flight: _InFlight | None = None
        self._uncommitted: dict[int, int] = {}
        """At least once: offsets of what has landed and of which the group does not know."""
        self._committing = False
        self._beside = ThreadPoolExecutor(1, "delivery")
        self._aborts_in_a_row = 0
        self._lag_told_at = 0.0
        self._leaving = False
        self._replaced = False
        """Whether another one has this one's place: what is left is that one's, and would only be refused."""
        consuming = consumer_config(settings)
        self._incremental = assigns_incrementally(consuming)
        with refuse_bad_config():
            self._delivery = Delivery(settings, giving_up, add_headers, self._on_statistics)
            callbacks = {"error_cb": self._on_error, "stats_cb": self._on_statistics, "on_commit": self._on_commit}
            self._consumer = Consumer({**consuming, **callbacks})
        self._require_topics()
        if self._delivery.transactional:
            self._end_what_was_left_open()
        self._consumer.subscribe(
            [settings.applications_topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, reference: BundleReference) -> Batch:
        """Waits a moment for a record, then takes what is there."""
        flight = self._in_flight
        # Without a backlog a batch that is polled ahead would only wait for two commits.
        if flight is None or flight.delivery.done() or len(flight.batch.records) < self._settings.batch_records_max:
            self._land()
        if self._in_flight is None:
            self._delivery.serve()
        self._touched.clear()
        messages = self._consume(1, _POLL_WAIT_S)
        most = self._settings.batch_records_max
        if messages and most > 1:
            messages += self._consume(most - 1, self._settings.linger_ms / 1_000)
        self._tell_lag()
        if [message for message in messages if message.error() is not None]:
            batch = self._batch_to_ends(self._without_touched(self._without_failures(messages)))
        else:
            batch = self._batch(self._without_touched(messages))
        return Batch(batch.records, {**self._unstamped(reference), **batch.offsets_next})

    def publish(self, batch: Batch, scores: Scores, bundle: Bundle) -> None:
        """Starts the delivery of the outcomes, once the one before has ended well."""
        if not self._land():
            return  # what came after a batch that was wound back comes again with it
        self._positions.update(batch.offsets_next)
        self._stamps |= dict.fromkeys(batch.offsets_next, str(bundle.reference))
        offsets, group = self._topic_partitions(batch.offsets_next), self._consumer.consumer_group_metadata()
        delivery = self._beside.submit(self._delivery.deliver, batch, scores.outcomes, bundle, offsets, group)
        self._in_flight = _InFlight(batch, scores, delivery)

    def settle(self) -> bool:
        """Waits until all that was published is committed; False if it was wound back instead."""
        if not self._land():
            return False
        if self._uncommitted:
            offsets, self._uncommitted = self._topic_partitions(self._uncommitted), {}
            try:
                retry_transient(
                    lambda: raise_on_partition_error(self._consumer.commit(offsets=offsets, asynchronous=False)),
                    self._giving_up,
                )
            except KafkaException as error:
                self._recover(error.args[0])
                return False
        return True

    def pause(self, partitions: Iterable[int]) -> None:
        """Polls no more from these partitions, while they are assigned and nothing is wound back."""
        new = set(partitions) - self._paused
        if new:
            self._consumer.pause(self._topic_partitions(dict.fromkeys(new, 0)))
            self._paused |= new

    def close(self) -> None:
        """Settles, and leaves the group (a static member keeps its place until its session ends)."""
        try:
            if not self._replaced:
                self.settle()
        finally:
            self._leaving = True
            self._consumer.close()
            self._beside.shutdown()

    # Polling

    def _consume(self, most: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(most, wait_s))

    def _unstamped(self, reference: BundleReference) -> dict[int, int]:
        """The partitions of which the group does not know yet that this bundle decides, where they stand."""
        told = str(reference)
        return {p: offset for p, offset in self._positions.items() if offset >= 0 and self._stamps.get(p) != told}

    def _batch(self, records: list[Event]) -> Batch:
        """Where each partition goes on after these records."""
        partitions = [record.partition() for record in records]
        offsets = [record.offset() for record in records]
        last = dict(zip(partitions, offsets, strict=True))  # of a partition given often the last one stays
        return Batch(records, {partition: offset + 1 for partition, offset in last.items()})

    def _batch_to_ends(self, messages: list[Event]) -> Batch:
        """The same where some messages say that their partition's end is reached, behind markers perhaps."""
        records: list[Record] = []
        offsets_next: dict[int, int] = {}
        for message in messages:
            partition, offset = message.partition(), message.offset()
            if message.error() is None:
                records.append(message)
                offsets_next[partition] = offset + 1
            elif self._positions.get(partition) != offset:
                offsets_next[partition] = offset
        return Batch(records, offsets_next)

    def _without_failures(self, messages: list[Event]) -> list[Event]:
        """Heeds what the consumer reports; the records and the ends of partitions remain."""
        kept = []
        for message in messages:
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                kept.append(message)
            else:
                self._on_consumer_error(error, message)
        return kept

    def _without_touched(self, messages: list[Event]) -> list[Event]:
        """Drops the records of partitions that came or went during this poll, and fetches those anew.

        The callbacks run inside `consume`, so that what it returns can hold records of a partition from before it was
        taken away, and again from after it came back. Nothing of them has been decided: winding back loses nothing.
        """
        if not self._touched:
            return messages
        dropped = {message.partition() for message in messages} & self._touched
        self._seek({partition: self._positions[partition] for partition in dropped if partition in self._positions})
        return [message for message in messages if message.partition() not in dropped]

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._land()
        # A consumer that closes serves the assignment that was under way, but answers for no offsets any more; nothing
        # will be polled from there.
        numbers = [tp.partition for tp in partitions]
        starts = dict.fromkeys(numbers, OFFSET_END) if self._leaving else self._start_offsets(numbers)
        self._positions.update(starts)
        take = self._consumer.incremental_assign if self._incremental else self._consumer.assign
        take(self._topic_partitions(starts))
        self._resume(numbers)
        self._rebalanced("assigned", partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.settle()
        self._drop(partitions)
        self._rebalanced("revoked", partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.settle()
        self._drop(partitions)
        self._rebalanced("lost", partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self._positions.pop(tp.partition, None)
            self._stamps.pop(tp.partition, None)
        if self._incremental:
            self._consumer.incremental_unassign(partitions)
        else:
            self._consumer.unassign()

    def _rebalanced(self, kind: str, partitions: list[TopicPartition]) -> None:
        numbers = sorted(tp.partition for tp in partitions)
        self._touched.update(numbers)
        topic = self._settings.applications_topic
        log(PARTITIONS_CHANGED, topic=topic, kind=kind, partitions=numbers, assigned=sorted(self._positions))
        self._watch.rebalanced(kind, frozenset(self._positions))

    def _start_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where the group goes on in each partition: its committed offset, or the beginning if it has none."""
        wanted = [TopicPartition(self._settings.applications_topic, partition) for partition in partitions]
        try:
            committed = retry_transient(
                lambda: raise_on_partition_error(self._consumer.committed(wanted, timeout=ATTEMPT_S)), self._giving_up
            )
        except KafkaException as error:
            raise self._stopping(error.args[0], f"the offsets of group {self._settings.group_id}") from error
        self._stamps |= {tp.partition: tp.metadata or "" for tp in committed}
        return {tp.partition: self._start_at(tp.partition, tp.offset) for tp in committed}

    def _seek(self, offsets: Mapping[int, int]) -> None:
        for tp in self._topic_partitions(offsets):
            try:
                self._consumer.seek(tp)
            except KafkaException as error:
                # Nothing is fetched from it: it is about to start from this very offset, or its failure is about to
                # be polled.
                if error.args[0].code() != KafkaError._STATE:
                    raise

    def _resume(self, partitions: Iterable[int]) -> None:
        again_wanted = self._paused & set(partitions)
        if again_wanted:
            self._consumer.resume(self._topic_partitions(dict.fromkeys(again_wanted, 0)))
            self._paused -= again_wanted

    def _topic_partitions(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        topic = self._settings.applications_topic
        return [TopicPartition(topic, p, offset, self._stamps.get(p, "")) for p, offset in offsets.items()]

    # Publishing

    def _land(self) -> bool:
        """Waits for what is in flight; False if it was wound back."""
        if self._in_flight is None:
            return True
        flight, self._in_flight = self._in_flight, None
        try:
            times = flight.delivery.result()
        except KafkaException as error:
            self._recover(error.args[0])
            return False
        if not self._delivery.transactional:
            self._uncommitted.update(flight.batch.offsets_next)
            self._commit_soon()
        self._aborts_in_a_row = 0
        self._watch.committed(flight.batch, flight.scores, times)
        return True

    def _commit_soon(self) -> None:
        """Commits what has landed, without waiting, unless a commit is on its way already.

        One that fails or is overtaken by a crash means duplicates, never loss, and the next one covers it; `settle`
        waits. A second one beside it would only queue: the broker answers a connection's requests one by one, a commit
        takes it some milliseconds, and the heartbeats stand in the same queue.
        """
        if self._uncommitted and not self._committing:
            self._committing = True
            self._consumer.commit(offsets=self._topic_partitions(self._uncommitted), asynchronous=True)

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """A commit that nobody waited for has ended; called while polling."""
        self._committing = False
        if error is None:
            for tp in offsets:
                if tp.error is None and self._uncommitted.get(tp.partition) == tp.offset:
                    del self._uncommitted[tp.partition]
        else:
            log(COMMIT_FAILED, error=error.str())
        self._commit_soon()

    # When something goes wrong

    def _recover(self, error: KafkaError) -> None:
        """Winds the batch back if that can help; otherwise says what to do."""
        if triage(error) is Fault.FATAL:
            raise self._stopping(error, "this worker")
        topic, cause = self._delivery.first_failure(error)
        self._abort()
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            name = topic or self._settings.dead_letters_topic
            raise TopicsError(
                f"topic {name} refuses a record as too large: raise its max.message.bytes; see `scorer topics check`"
            )
        if cause_of_abort(cause) is Fault.NON_RETRIABLE:
            raise self._stopping(cause, topic or "this worker")
        if self._giving_up():
            raise BrokerError(f"the drain is over and the batch is not committed ({cause.str()}); nothing is lost")
        self._aborts_in_a_row += 1
        if self._aborts_in_a_row > _ABORTS_IN_A_ROW_MAX:
            raise BrokerError(
                f"{self._aborts_in_a_row} batches in a row were aborted, the last one because: {cause.str()}"
            )
        log(BATCH_ABORTED, topic=self._settings.applications_topic, error=cause.str())
        self._uncommitted.clear()
        starts = self._start_offsets(self._positions)
        self._positions.update(starts)
        self._touched.update(starts)  # what this very poll may have returned of them comes again too
        self._seek(starts)
        self._resume(starts)
        time.sleep(min(0.05 * 2**self._aborts_in_a_row, _BACKOFF_S_MAX))

    def _abort(self) -> None:
        try:
            self._delivery.abort()
        except KafkaException as error:
            raise self._stopping(error.args[0], "this worker") from error
        self._watch.aborted()

    def _on_consumer_error(self, error: KafkaError, message: Event) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise OffsetExpiredError(
                f"group {self._settings.group_id} had committed an offset of {message.topic()}[{message.partition()}] "
                f"that is no longer there ({error.str()}): retention deleted applications that nobody decided. Find "
                "out how many, then set the group's offsets (kafka-consumer-groups --reset-offsets --to-earliest) and "
                "start again."
            )
        if must_stop(error):
            raise self._stopping(error, message.topic() or self._settings.applications_topic)
        log(CONSUMER_FAILED, topic=message.topic(), error=error.str())

    def _stopping(self, error: KafkaError, what: str) -> BrokerError:
        """Why the worker cannot go on; where another one has its place, that is kept for `close`."""
        if triage(error) is Fault.FATAL:
            self._replaced = True
            return FencedError(self._fenced(error))
        hint = ""
        if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
            hint = (
                ". Have some workers of the group an instance id, and others none? They assign partitions differently"
            )
        return BrokerError(f"the broker refuses {what}: {error.str()}{hint}")

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._watch.reachable(False)
        log(CONNECTION_FAILED, error=error.str())

    def _on_statistics(self, text: str) -> None:
        found = read_statistics(text)
        if found.client == "consumer":
            self._watch.reachable(found.connections > 0)
        self._watch.statistics(found)

    def _fenced(self, error: KafkaError) -> str:
        who = f"instance id {self._settings.instance_id}" if self._settings.instance_id else "dynamic member"
        return (
            f"this worker of group {self._settings.group_id} ({who}) was fenced: {error.str()}. Do two workers share "
            "an instance id? Or did this one stand still for longer than transaction.timeout.ms? Nothing of its batch "
            "was committed; another worker decides it."
        )

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_told_at < 1.0:
            return
        self._lag_told_at = now
        lag = {}
        for tp in self._topic_partitions(self._positions):
            low, high = self._consumer.get_watermark_offsets(tp, cached=True)
            if high >= 0:
                lag[tp.partition] = high - (tp.offset if tp.offset >= 0 else max(low, 0))
        self._watch.lag(lag)

    # Starting

    def _require_topics(self) -> None:
        """Says at once what would otherwise be a wait without end."""
        names = {self._settings.applications_topic, self._settings.decisions_topic, self._settings.dead_letters_topic}
        ends_at = time.monotonic() + _TOPICS_S
        while missing := sorted(names - self._existing_topics()):
            if time.monotonic() > ends_at:
                raise TopicsError(f"missing topics: {', '.join(missing)}; `scorer topics ensure` creates them")
            time.sleep(_TOPICS_S / 10)

    def _existing_topics(self) -> set[str]:
        return set(metadata_of(self._delivery.producer, self._settings, _START_S).topics)

    def _end_what_was_left_open(self) -> None:
        try:
            self._delivery.producer.init_transactions(_START_S)
        except KafkaException as error:
            raise BrokerError(
                f"no transaction can be begun at {self._settings.bootstrap_servers}: {error.args[0].str()}. Are there "
                "brokers enough for the topic of transactions, and may this user write with a transactional id that "
                f"begins with {self._settings.group_id}-?"
            ) from error
