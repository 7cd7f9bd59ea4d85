"""The peer on Quix Streams: a StreamingDataFrame as in its tutorials, or its consumer and producer, by batches."""

import signal
import tempfile
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from fast_scoring import FastScorer
from guide_scoring import Application as CreditApplication
from guide_scoring import GuideScorer
from job import Job, read_job
from pydantic import ValidationError
from quixstreams import Application

_BATCH = 5_000
_BATCH_WAIT_S = 0.1


def _application(job: Job) -> Application:
    return Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group_id,
        auto_offset_reset="earliest",
        processing_guarantee=job.delivery,
        commit_interval=0.1 if job.exactly_once else 5.0,
        on_consumer_error=_is_about_one_message,
        auto_create_topics=False,
        state_dir=tempfile.mkdtemp(),
        loglevel="WARNING",
    )


def _is_about_one_message(_error: Exception, message: object, _logger: object) -> bool:
    """Whether an error can be ignored: a message that is not JSON is passed over."""
    return message is not None


def run_guide(job: Job) -> None:
    """One record at a time through a StreamingDataFrame."""
    scorer = GuideScorer(job)

    def check(value: Any) -> CreditApplication | None:
        try:
            return CreditApplication.model_validate(value)
        except ValidationError:
            return None

    app = _application(job)
    applications = app.topic(job.applications_topic, value_deserializer="json")
    decisions = app.topic(job.decisions_topic, value_serializer="json")
    sdf = app.dataframe(applications)
    sdf = sdf.apply(check).filter(lambda application: application is not None)
    sdf = sdf.apply(lambda application: scorer.decide(application).model_dump())
    sdf.to_topic(decisions)
    app.run()


def run_fast(job: Job) -> None:
    """Batches with the lower-level consumer and producer that an Application makes."""
    scorer = FastScorer(job)
    app = _application(job)
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    with (
        app.get_producer(transactional=job.exactly_once) as producer,
        app.get_consumer(auto_commit_enable=False) as consumer,
    ):
        consumer.subscribe([job.applications_topic])
        while running:
            messages = [m for m in consumer.consume(_BATCH, _BATCH_WAIT_S) if m.error() is None]
            if not messages:
                continue
            if job.exactly_once:
                producer.begin_transaction()
            for message, decision in zip(messages, scorer.score([m.value() for m in messages]), strict=True):
                if decision is not None:
                    producer.produce(
                        job.decisions_topic, key=message.key(), value=decision, on_delivery=_raise_if_undelivered
                    )
            last = {message.partition(): message.offset() for message in messages}
            offsets = [TopicPartition(job.applications_topic, p, offset + 1) for p, offset in last.items()]
            if job.exactly_once:
                producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
                producer.commit_transaction()
            else:
                producer.flush()
                consumer.commit(offsets=offsets, asynchronous=False)


def _raise_if_undelivered(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


if __name__ == "__main__":
    _job = read_job(variants=("guide", "fast"), deliveries=("at-least-once", "exactly-once"))
    run_guide(_job) if _job.variant == "guide" else run_fast(_job)
