"""Reads new decisions and dead letters: counts them by label, matches them with tries, and keeps a sample."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from threading import Event, Lock
from typing import Any, Final, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.records import (
    DeadLetter,
    Malformed,
    ReadDecision,
    read_dead_letter,
    read_decision,
    written_at,
)
from schemas.rights import Operation, to_topic
from scorer.console.live import REJECTED, Live, Part
from scorer.errors import BrokerError, ScorerError
from scorer.logs import RECORD_SKIPPED, log
from scorer.operate.reading import Skipped
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.partition import Event as Message
from scorer.stream.reaching import ask, connect_beside, find_partitions, unreachable
from scorer.stream.rights import to_own_group
from scorer.stream.unreadable import UNREADABLE_CODES

_ANSWER_S: Final = 5.0
_BATCH_MAX: Final = 5_000
_SAMPLE_MAX: Final = 100


class Sample:
    """A sample of recent decisions: by partition and offset of the application, when the decision was read."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._read_at: dict[int, dict[int, float]] = {}

    def add(self, decisions: Sequence[ReadDecision], now: float) -> None:
        """Adds some of the decisions, up to a limit per partition."""
        with self._lock:
            for decided in decisions[-_SAMPLE_MAX:]:
                offsets = self._read_at.setdefault(decided.source_partition, {})
                if len(offsets) < _SAMPLE_MAX:
                    offsets[decided.source_offset] = now

    def take(self) -> dict[int, dict[int, float]]:
        """Returns the sample since the last call, and starts a new one."""
        with self._lock:
            read_at, self._read_at = self._read_at, {}
            return read_at


def follow_outcomes(settings: Settings, live: Live, sample: Sample, stop: Event) -> None:
    """Reads new decisions and dead letters until `stop` is set.

    Args:
        settings: the topics.
        live: receives the results.
        sample: keeps some decisions, to measure their latency.
        stop: ends the reading.

    Raises:
        SettingsError, TopicsError, BrokerError, KafkaException: the topics cannot be read.
    """
    with closing(_Tail(settings, live, sample)) as tail:
        live.trouble(Part.OUTCOMES, "")
        live.following = True
        try:
            while not stop.is_set():
                tail.take()
        finally:
            live.following = False


class _Tail:
    """Reads new records, read committed, without joining a group."""

    def __init__(self, settings: Settings, live: Live, sample: Sample) -> None:
        """Starts at the current ends of the topics.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: a topic is missing.
            BrokerError, KafkaException: no broker answers.
        """
        self._settings = settings
        self._live = live
        self._sample = sample
        self._skipped = Skipped()
        decisions, dead_letters = settings.decisions_topic, settings.dead_letters_topic
        options = {
            # If the topic was recreated meanwhile, reading continues at its end.
            "auto.offset.reset": "latest",
            "fetch.queue.backoff.ms": "5",
            "fetch.wait.max.ms": "100",
            "queued.max.messages.kbytes": "32768",
            "error_cb": self._on_error,
        }
        self._consumer, partitions = connect_beside(settings, decisions, options, _ANSWER_S)
        try:
            others = find_partitions(self._consumer, settings, dead_letters, _ANSWER_S)
            pairs = [(decisions, p) for p in partitions] + [(dead_letters, p) for p in others]
            self._consumer.assign([TopicPartition(topic, p, self._end(topic, p)) for topic, p in pairs])
        except (ScorerError, KafkaException):
            self._consumer.close()
            raise

    def take(self) -> None:
        """Waits briefly for results, and reports those that arrived.

        Raises:
            BrokerError: the results can no longer be read.
        """
        messages = cast("list[Message]", self._consumer.consume(1, 0.2))
        if not messages:
            return
        messages += cast("list[Message]", self._consumer.consume(_BATCH_MAX - 1, 0))
        now = time.time()
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif must_stop(error) or error.code() in UNREADABLE_CODES:  # the next attempt starts after it
                raise BrokerError(f"the results cannot be read: {self._explain(error, message.topic())}")
        self._report_decisions([r for r in records if r.topic() == self._settings.decisions_topic], now)
        self._report_dead_letters([r for r in records if r.topic() == self._settings.dead_letters_topic])

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()

    def _end(self, topic: str, partition: int) -> int:
        tp = TopicPartition(topic, partition)
        return ask(partial(self._consumer.get_watermark_offsets, tp, timeout=_ANSWER_S), _ANSWER_S)[1]

    def _explain(self, error: KafkaError, topic: str) -> str:
        needed = to_topic(Operation.READ, topic), to_own_group(self._settings, Operation.DESCRIBE)
        return with_hint(error, self._settings, *needed)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._live.trouble(Part.STANDING, unreachable(self._settings, error.str()))

    def _report_decisions(self, records: Sequence[Message], now: float) -> None:
        if not records:
            return
        tries = self._live.tries()
        originals: list[ReadDecision] = []
        corrections = 0
        for record in records:
            decision = read_decision(record)
            if isinstance(decision, Malformed):
                self._skip(decision)
            elif decision.is_correction:
                corrections += 1
            else:
                originals.append(decision)
                if decision.application_id in tries:
                    at = written_at(record)
                    result = {"id": decision.application_id, "kind": decision.decision, "at": at and at.timestamp()}
                    self._live.tried(decision.application_id, result | {"decision": decision.as_model().model_dump()})
        self._live.counted(Counter(decision.decision for decision in originals), {}, corrections)
        self._sample.add([d for d in originals if d.source_topic == self._settings.applications_topic], now)

    def _report_dead_letters(self, records: Sequence[Message]) -> None:
        letters: list[DeadLetter] = []
        for record in map(read_dead_letter, records):
            if isinstance(record, Malformed):
                self._skip(record)
            elif isinstance(record, DeadLetter):
                letters.append(record)
        if letters:
            self._live.counted({REJECTED: len(letters)}, Counter(letter.counted_as for letter in letters), 0)
        tries = self._live.tries() if letters else frozenset()
        for letter in letters:
            if letter.id in tries:
                result: dict[str, Any] = {
                    "id": letter.id,
                    "kind": REJECTED,
                    "code": letter.code,
                    "reason": letter.reason,
                }
                source = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
                self._live.tried(letter.id, result | {"source": source, "place": str(letter.place)})

    def _skip(self, record: Malformed) -> None:
        self._live.skipped()
        if self._skipped.add(record):
            log(RECORD_SKIPPED, topic=record.topic, partition=record.partition, offset=record.offset, error=record.why)
