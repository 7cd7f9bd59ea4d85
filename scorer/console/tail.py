"""Reads new decisions and dead letters: counts them by label, matches them with tries, and keeps a sample."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from threading import Event, Lock
from typing import Any, Final

from confluent_kafka import KafkaError

from schemas.records import DeadLetter, Malformed, ReadDecision, read_results, written_at
from scorer.console.live import REJECTED, Live, Part
from scorer.console.probabilities import NEWEST_MAX
from scorer.logs import RECORD_SKIPPED, log
from scorer.operate.reading import Skipped
from scorer.settings import Settings
from scorer.stream.reader import Reader
from scorer.stream.requests import unreachable
from scorer.stream.worker import Record

_ANSWER_S: Final = 5.0
_SAMPLE_MAX: Final = 100


class Sample:
    """A sample of recent decisions: by partition and offset of the application, when the decision was read."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._read_at: dict[int, dict[int, float]] = {}

    def add(self, decisions: Sequence[ReadDecision], now: float) -> None:
        """Adds some of the decisions, up to a limit per partition."""
        with self._lock:
            for decision in decisions[-_SAMPLE_MAX:]:
                offsets = self._read_at.setdefault(decision.source_partition, {})
                if len(offsets) < _SAMPLE_MAX:
                    offsets[decision.source_offset] = now

    def take(self) -> dict[int, dict[int, float]]:
        """Returns the sample since the last call, and starts a new one."""
        with self._lock:
            read_at, self._read_at = self._read_at, {}
            return read_at


def follow_results(settings: Settings, live: Live, sample: Sample, stop: Event) -> None:
    """Reads new decisions and dead letters until `stop` is set.

    Args:
        settings: the topics.
        live: receives the results.
        sample: keeps some decisions, to measure their latency.
        stop: ends the reading.

    Raises:
        SettingsError, TopicsError, BrokerError: the topics cannot be read.
    """
    with closing(_Tail(settings, live, sample)) as tail:
        live.set_error(Part.RESULTS, "")
        live.reads_results = True
        try:
            while not stop.is_set():
                tail.take()
        finally:
            live.reads_results = False


class _Tail:
    """Reads new records, read committed, without joining a group."""

    def __init__(self, settings: Settings, live: Live, sample: Sample) -> None:
        """Starts at the current ends of the topics.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: a topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._live = live
        self._sample = sample
        self._skipped = Skipped()
        options = {
            # If the topic was recreated meanwhile, reading continues at its end.
            "auto.offset.reset": "latest",
            "enable.partition.eof": False,
            "fetch.queue.backoff.ms": "5",
            "fetch.wait.max.ms": "100",
            "queued.max.messages.kbytes": "32768",
            "error_cb": self._on_error,
        }
        topics = settings.decisions_topic, settings.dead_letters_topic
        self._reader = Reader.at_the_ends(settings, topics, options, _ANSWER_S)

    def take(self) -> None:
        """Waits briefly for results, and reports those that arrived.

        Raises:
            BrokerError: the results can no longer be read.
        """
        fetched = self._reader.fetch(0.2)
        for batch in fetched.skipped:
            self._skip(batch)
        results = list(read_results(fetched.records, self._settings.dead_letters_topic, self._skip))
        self._report_decisions([(record, result) for record, result in results if isinstance(result, ReadDecision)])
        self._report_dead_letters([letter for _, letter in results if isinstance(letter, DeadLetter)])

    def close(self) -> None:
        """Closes the consumer."""
        self._reader.close()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._live.set_error(Part.GROUP, unreachable(self._settings, error.str()))

    def _report_decisions(self, decisions: Sequence[tuple[Record, ReadDecision]]) -> None:
        if not decisions:
            return
        tries, now = self._live.pending_tries(), time.time()
        originals: list[ReadDecision] = []
        for record, decision in decisions:
            if decision.is_correction:
                continue
            originals.append(decision)
            if decision.application_id in tries:
                at = written_at(record)
                result = {"id": decision.application_id, "kind": decision.decision, "at": at and at.timestamp()}
                self._live.set_result(decision.application_id, result | {"decision": decision.as_model().model_dump()})
        corrections = len(decisions) - len(originals)
        self._live.add_counts(Counter(decision.decision for decision in originals), {}, corrections)
        self._live.probabilities.record([decision.probability_of_default for decision in originals[-NEWEST_MAX:]])
        self._sample.add([d for d in originals if d.source_topic == self._settings.applications_topic], now)

    def _report_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        if letters:
            self._live.add_counts({REJECTED: len(letters)}, Counter(letter.counted_as for letter in letters), 0)
        tries = self._live.pending_tries() if letters else frozenset()
        for letter in letters:
            if letter.id in tries:
                result: dict[str, Any] = {
                    "id": letter.id,
                    "kind": REJECTED,
                    "code": letter.code,
                    "reason": letter.reason,
                }
                source = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
                self._live.set_result(letter.id, result | {"source": source, "position": str(letter.position)})

    def _skip(self, record: Malformed) -> None:
        self._live.skipped()
        if self._skipped.add(record):
            log(RECORD_SKIPPED, topic=record.topic, partition=record.partition, offset=record.offset, error=record.why)
