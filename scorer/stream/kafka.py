"""The real Link: polling, and publishing with the commit.

Errors are of three kinds. Retriable: librdkafka tries again, and so do the calls here, until the worker is told to stop
and its drain is over. Abortable: the transaction is aborted, and the partitions are wound back to what the group has
committed. Fatal: a BrokerError that says why; the process ends and its supervisor starts it again.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, Final, Protocol, TypeVar, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import rejection
from schemas.decision import TRACE_HEADERS
from scorer.core.score import Bundle, Outcome
from scorer.core.wire import Rejection, key_of
from scorer.errors import BrokerError, FencedError, OffsetExpiredError, TopicsError
from scorer.settings import Settings
from scorer.stream.librdkafka import assigns_incrementally, consumer_config, producer_config, refuse_bad_config
from scorer.stream.worker import Batch, Lap, Record

log = logging.getLogger(__name__)
T = TypeVar("T")

# How long a poll waits for the first record. A stop is noticed after it at the latest.
_POLL_WAIT_S: Final = 0.2
# One attempt of a call that is tried again; short, so that a stop is noticed between two.
_ATTEMPT_S: Final = 5.0
# The first words with a broker at start: past this it is not slow but wrong.
_START_S: Final = 30.0
# Aborts in a row after which waiting is no cure; with the pauses between them this is about half a minute.
_ABORTS_IN_A_ROW_MAX: Final = 10
_BACKOFF_S_MAX: Final = 5.0

# The pause between two attempts where the broker answers at once that it cannot yet.
_PAUSE_S: Final = 0.2

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
# What passes by itself. Only transactional calls say so of their own errors; these are those of the consumer's.
_PASSING: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
# What no waiting mends.
_HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    }
)


class Event(Record, Protocol):
    """What the consumer hands out: a record, or an error about a partition."""

    def error(self) -> KafkaError | None: ...


class Watch:
    """What a link tells whoever watches it; this one does not listen."""

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions were assigned, revoked or lost; `assigned` is what there is now."""

    def transaction(self, outcome: str) -> None:
        """A transaction was committed or aborted."""

    def lag(self, records: Mapping[int, int]) -> None:
        """Records not yet decided, by partition; once a second."""

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""


class KafkaLink:
    """A consumer in the group and a producer, moving together."""

    def __init__(self, settings: Settings, watch: Watch, giving_up: Callable[[], bool]) -> None:
        """Connects, subscribes, and ends what an earlier life of this instance left open.

        Args:
            settings: the brokers, the topics and how to deliver.
            watch: told of rebalances, transactions, lag and reachability.
            giving_up: asked between two attempts of a call; True when a stop may wait no longer.

        Raises:
            SettingsError: a librdkafka property is wrong.
            BrokerError: no broker answers, or it refuses.
            TopicsError: a topic is missing.
        """
        self._settings = settings
        self._watch = watch
        self._giving_up = giving_up
        self._positions: dict[int, int] = {}
        self._touched: set[int] = set()
        self._undelivered: list[tuple[str, KafkaError]] = []
        self._aborts_in_a_row = 0
        self._lag_told_at = 0.0
        self._transactional = settings.delivery == "exactly-once"
        consuming = consumer_config(settings)
        self._incremental = assigns_incrementally(consuming)
        with refuse_bad_config():
            self._producer = Producer(producer_config(settings))
            self._consumer = Consumer({**consuming, "error_cb": self._on_error, "stats_cb": self._on_statistics})
        self._require_topics()
        if self._transactional:
            self._start("init_transactions", lambda: self._producer.init_transactions(_START_S))
        self._consumer.subscribe(
            [settings.applications_topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self) -> Batch:
        """Waits a moment for a record, then takes what is there."""
        self._touched.clear()
        messages = self._consume(1, _POLL_WAIT_S)
        most = self._settings.batch_records_max
        if messages and most > 1:
            messages += self._consume(most - 1, self._settings.linger_ms / 1_000)
        self._tell_lag()
        if any(message.error() is not None for message in messages):
            return self._batch_to_ends(self._without_touched(self._without_failures(messages)))
        return self._batch(self._without_touched(messages))

    def publish(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle, lap: Lap) -> bool:
        """Publishes one outcome a record and commits; False when the batch was wound back instead."""
        assert len(outcomes) == len(batch.records), "one outcome a record"
        deliver = self._in_one_transaction if self._transactional else self._confirmed_then_committed
        self._undelivered.clear()
        try:
            deliver(batch, outcomes, bundle, lap)
        except KafkaException as error:
            self._recover(error.args[0])
            return False
        self._positions.update(batch.offsets_next)
        self._aborts_in_a_row = 0
        return True

    def close(self) -> None:
        """Leaves the group (a static member keeps its place until its session ends).

        There is nothing to flush: what is published is confirmed, and what is not shall not be.
        """
        self._consumer.close()

    # Polling

    def _consume(self, most: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(most, wait_s))

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
        starts = self._start_offsets([tp.partition for tp in partitions])
        self._positions.update(starts)
        take = self._consumer.incremental_assign if self._incremental else self._consumer.assign
        take(self._topic_partitions(starts))
        self._rebalanced("assigned", partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions)
        self._rebalanced("revoked", partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions)
        self._rebalanced("lost", partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self._positions.pop(tp.partition, None)
        if self._incremental:
            self._consumer.incremental_unassign(partitions)
        else:
            self._consumer.unassign()

    def _rebalanced(self, kind: str, partitions: list[TopicPartition]) -> None:
        numbers = sorted(tp.partition for tp in partitions)
        self._touched.update(numbers)
        log.info("partitions %s: %s; now assigned: %s", kind, numbers, sorted(self._positions))
        self._watch.rebalanced(kind, frozenset(self._positions))

    def _start_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where the group goes on in each partition: its committed offset, or the beginning if it has none."""
        wanted = [TopicPartition(self._settings.applications_topic, partition) for partition in partitions]
        try:
            committed = self._again(lambda: _all_right(self._consumer.committed(wanted, timeout=_ATTEMPT_S)))
        except KafkaException as error:
            raise self._stopping(error.args[0], f"the offsets of group {self._settings.group_id}") from error
        return {tp.partition: tp.offset if tp.offset >= 0 else OFFSET_BEGINNING for tp in committed}

    def _seek(self, offsets: Mapping[int, int]) -> None:
        for tp in self._topic_partitions(offsets):
            try:
                self._consumer.seek(tp)
            except KafkaException as error:
                # Nothing is fetched from it: it is about to start from this very offset, or its failure is about to
                # be polled.
                if error.args[0].code() != KafkaError._STATE:
                    raise

    def _topic_partitions(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._settings.applications_topic, p, offset) for p, offset in offsets.items()]

    # Publishing

    def _in_one_transaction(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle, lap: Lap) -> None:
        self._producer.begin_transaction()
        self._produce(batch, outcomes, bundle)
        lap("publish")
        offsets, group = self._topic_partitions(batch.offsets_next), self._consumer.consumer_group_metadata()
        self._again(lambda: self._producer.send_offsets_to_transaction(offsets, group, _ATTEMPT_S))
        self._again(lambda: self._producer.commit_transaction(_ATTEMPT_S))
        self._watch.transaction("committed")
        lap("commit")

    def _confirmed_then_committed(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle, lap: Lap) -> None:
        self._produce(batch, outcomes, bundle)
        while self._producer.flush(_ATTEMPT_S):
            if self._giving_up():
                raise BrokerError("the drain is over and not every decision is confirmed; nothing was committed")
        if self._undelivered:
            raise KafkaException(self._undelivered[0][1])
        lap("publish")
        offsets = self._topic_partitions(batch.offsets_next)
        self._again(lambda: _all_right(self._consumer.commit(offsets=offsets, asynchronous=False)))
        lap("commit")

    def _produce(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle) -> None:
        # One call for many decisions is quicker and takes no headers; a decision with headers ends the run before it,
        # or it would overtake an earlier one of the same key.
        run: list[dict[str, Any]] = []
        for record, outcome in zip(batch.records, outcomes, strict=True):
            if isinstance(outcome, Rejection):
                self._produce_dead_letter(record, outcome, bundle)
                continue
            key = record.key()
            if key is None:
                key = key_of(outcome)
            trace = _trace(record)
            if trace:
                self._produce_run(run)
                run = []
                self._producer.produce(
                    self._settings.decisions_topic, value=outcome, key=key, headers=trace, on_delivery=self._on_delivery
                )
            else:
                run.append({"value": outcome, "key": key})
        self._produce_run(run)
        self._producer.poll(0)

    def _produce_run(self, decisions: list[dict[str, Any]]) -> None:
        if not decisions:
            return
        topic = self._settings.decisions_topic
        queued = self._producer.produce_batch(topic, decisions, on_delivery=self._on_delivery)
        if queued != len(decisions):
            raise KafkaException(next(d["_error"] for d in decisions if "_error" in d))

    def _produce_dead_letter(self, record: Record, outcome: Rejection, bundle: Bundle) -> None:
        reference = bundle.reference
        added = {
            rejection.CODE_HEADER: outcome.code.value,
            rejection.REASON_HEADER: outcome.reason,
            rejection.TOPIC_HEADER: record.topic(),
            rejection.PARTITION_HEADER: str(record.partition()),
            rejection.OFFSET_HEADER: str(record.offset()),
            rejection.TIMESTAMP_HEADER: str(record.timestamp()[1]),
            rejection.BUNDLE_HEADER: f"{reference.name}:{reference.version}@{reference.digest}",
            rejection.AT_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        self._producer.produce(
            self._settings.dead_letters_topic,
            value=record.value(),
            key=record.key(),
            headers=[*_headers(record), *((name, text.encode()) for name, text in added.items())],
            on_delivery=self._on_delivery,
        )

    # When something goes wrong

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._undelivered.append((message.topic() or "", error))

    def _recover(self, error: KafkaError) -> None:
        """Winds the batch back if that can help; otherwise says what to do."""
        if _is_fatal(error):
            raise self._stopping(error, "this worker")
        topic, cause = next(iter(self._undelivered), ("", error))
        if self._transactional:
            self._abort()
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            name = topic or self._settings.dead_letters_topic
            raise TopicsError(
                f"topic {name} refuses a record as too large: raise its max.message.bytes; see `scorer topics check`"
            )
        if cause.code() in _HOPELESS:
            raise self._stopping(cause, topic or "this worker")
        if self._giving_up():
            raise BrokerError(f"the drain is over and the batch is not committed ({cause.str()}); nothing is lost")
        self._aborts_in_a_row += 1
        if self._aborts_in_a_row > _ABORTS_IN_A_ROW_MAX:
            raise BrokerError(
                f"{self._aborts_in_a_row} batches in a row were aborted, the last one because: {cause.str()}"
            )
        log.warning("batch aborted, winding back: %s", cause.str())
        starts = self._start_offsets(self._positions)
        self._positions.update(starts)
        self._seek(starts)
        time.sleep(min(0.05 * 2**self._aborts_in_a_row, _BACKOFF_S_MAX))

    def _abort(self) -> None:
        try:
            self._again(lambda: self._producer.abort_transaction(_ATTEMPT_S))
        except KafkaException as error:
            raise self._stopping(error.args[0], "this worker") from error
        self._watch.transaction("aborted")

    def _again(self, call: Callable[[], T]) -> T:
        """Calls until it works, as long as the failure is one that may pass."""
        while True:
            try:
                return call()
            except KafkaException as failure:
                error = failure.args[0]
                if not error.retriable() and error.code() not in _PASSING:
                    raise
                if self._giving_up():
                    raise BrokerError(
                        f"the drain is over and the broker did not answer ({error.str()}); "
                        "nothing is lost, the next worker decides the batch again"
                    ) from failure
                log.warning("the broker did not answer, trying again: %s", error.str())
                time.sleep(_PAUSE_S)

    def _on_consumer_error(self, error: KafkaError, message: Event) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise OffsetExpiredError(
                f"group {self._settings.group_id} had committed an offset of {message.topic()}[{message.partition()}] "
                f"that is no longer there ({error.str()}): retention deleted applications that nobody decided. Find "
                "out how many, then set the group's offsets (kafka-consumer-groups --reset-offsets --to-earliest) and "
                "start again."
            )
        if _is_fatal(error) or error.code() in _HOPELESS:
            raise self._stopping(error, message.topic() or self._settings.applications_topic)
        log.warning("the consumer reports: %s", error.str())

    def _stopping(self, error: KafkaError, what: str) -> BrokerError:
        """Why the worker cannot go on."""
        if _is_fatal(error):
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
        log.warning("the broker connection reports: %s", error.str())

    def _on_statistics(self, text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        self._watch.reachable(any(broker["state"] == "UP" for broker in brokers))

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
        metadata = self._start("list_topics", lambda: self._producer.list_topics(timeout=_START_S))
        missing = sorted(name for name in names if name not in metadata.topics)
        if missing:
            raise TopicsError(f"missing topics: {', '.join(missing)}; `scorer topics ensure` creates them")

    def _start(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except KafkaException as error:
            raise BrokerError(
                f"{what} failed at {self._settings.bootstrap_servers}: {error.args[0].str()}. Is the broker running, "
                "is bootstrap_servers right, and do security.protocol and sasl.* under [kafka] fit it?"
            ) from error


# confluent-kafka 2.16 returns a broken list, with an exception set, where a header's name is not UTF-8. Called through
# this, Python sees the exception; a plain call in a hot loop is specialised, does not look, and the process crashes.
_read_headers = methodcaller("headers")


def _headers(record: Record) -> Sequence[tuple[str, bytes | None]]:
    """A record's headers, none if they cannot be read; to be asked once, the second answer is broken unseen."""
    try:
        return _read_headers(record) or ()
    except SystemError:
        log.warning(
            "%s[%d]@%d: headers left out, one has a name that is not UTF-8",
            record.topic(),
            record.partition(),
            record.offset(),
        )
        return ()


def _trace(record: Record) -> list[tuple[str, str | bytes | None]]:
    """The headers that a record's decision carries on."""
    return [(name, value) for name, value in _headers(record) if name in TRACE_HEADERS]


def _is_fatal(error: KafkaError) -> bool:
    """Whether the client has given up for good; an event of the consumer's says so by its code alone."""
    return error.fatal() or error.code() == KafkaError._FATAL or error.code() in _FENCED


def _all_right(found: list[TopicPartition] | None) -> list[TopicPartition]:
    """The partitions, if none of them has an error of its own."""
    for tp in found or ():
        if tp.error is not None:
            raise KafkaException(tp.error)
    return found or []
