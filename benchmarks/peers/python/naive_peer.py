"""The course's way in a plain loop on confluent-kafka: one record or up to a thousand, score, produce, commit."""

import json
import signal
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from course_scoring import CourseModel
from job import Job, read_job

_BATCH = 1_000
_COMMIT_EVERY = 1_000
_POLL_S = 0.1
_NUMBER_MAX = 1e12


class Loop:
    """A consumer, the model and a producer."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model = CourseModel(job)
        self._consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap_servers,
                "group.id": job.group_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([job.applications_topic])
        self._producer = Producer({"bootstrap.servers": job.bootstrap_servers})
        self._running = True
        signal.signal(signal.SIGTERM, self._stop)

    def run_one(self) -> None:
        """One record at a time; commits every thousand records and whenever there is nothing to read."""
        uncommitted = 0
        while self._running:
            message = self._consumer.poll(_POLL_S)
            if message is not None and message.error() is None:
                self._publish([message])
                uncommitted += 1
            if uncommitted >= _COMMIT_EVERY or (message is None and uncommitted):
                self._commit()
                uncommitted = 0
        self._consumer.close()

    def run_batches(self) -> None:
        """Up to a thousand records at a time, each batch committed."""
        while self._running:
            messages = [m for m in self._consumer.consume(_BATCH, _POLL_S) if m.error() is None]
            if messages:
                self._publish(messages)
                self._commit()
        self._consumer.close()

    def _publish(self, messages: Sequence[Message]) -> None:
        read = [(message.key(), application) for message in messages if (application := _read(message)) is not None]
        if not read:
            return
        probabilities = self._model.probabilities([self._model.features(application) for _, application in read])
        for (key, application), probability in zip(read, probabilities.tolist(), strict=True):
            decision = {
                "application_id": application["application_id"],
                "decision": self._job.decide(probability),
                "probability_of_default": probability,
            }
            value = json.dumps(decision).encode()
            self._producer.produce(self._job.decisions_topic, key=key, value=value, on_delivery=_raise_if_undelivered)
            self._producer.poll(0)

    def _commit(self) -> None:
        self._producer.flush()
        self._consumer.commit(asynchronous=False)

    def _stop(self, *_: object) -> None:
        self._running = False


def _read(message: Message) -> dict[str, Any] | None:
    try:
        application = json.loads(message.value())
    except (ValueError, TypeError):
        return None
    if not isinstance(application, dict) or "application_id" not in application:
        return None
    return application if all(map(_can_be_a_feature, application.values())) else None


def _raise_if_undelivered(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def _can_be_a_feature(value: object) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, int | float) and abs(value) < _NUMBER_MAX)


if __name__ == "__main__":
    _job = read_job(variants=("one", "batches"))
    _loop = Loop(_job)
    _loop.run_one() if _job.variant == "one" else _loop.run_batches()
