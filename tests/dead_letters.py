"""Writes dead letters as a worker does."""

from datetime import UTC, datetime

from confluent_kafka import Producer

from schemas import rejection
from tests.integration.worker_process import WAIT_S, Topics


def set_aside(
    topics: Topics, *values: bytes | None, code: str = "model_error", partition: int = 1, topic: str | None = None
) -> None:
    """Writes a dead letter of each value to partition 0; `partition` and `topic` are those of its record."""
    letter_headers = {
        rejection.CODE_HEADER: code,
        rejection.REASON_HEADER: "the model fails on it",
        rejection.TOPIC_HEADER: topic or topics.applications,
        rejection.PARTITION_HEADER: str(partition),
        rejection.OFFSET_HEADER: "3",
        rejection.AT_HEADER: datetime.now(UTC).isoformat(),
    }
    headers: list[tuple[str, str | bytes | None]] = [("traceparent", b"00-ab"), *letter_headers.items()]
    compressing = {"compression.type": "lz4", "message.max.bytes": 8_000_000}
    producer = Producer({"bootstrap.servers": topics.servers, **compressing})
    for value in values:
        producer.produce(topics.dead_letters, value, b"a-1001", partition=0, headers=headers)
    assert producer.flush(WAIT_S) == 0
