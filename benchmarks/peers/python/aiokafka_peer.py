"""The peer on aiokafka: `getmany`, one record at a time or by batches, and a manual commit or a transaction."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from fast_scoring import FastScorer
from guide_scoring import GuideScorer
from job import Job, read_job
from pydantic import ValidationError

_POLL_MS = 100
Records = Mapping[TopicPartition, Sequence[ConsumerRecord]]
Publish = Callable[[Records], Awaitable[list[asyncio.Future]]]


def one_by_one(job: Job, producer: AIOKafkaProducer) -> Publish:
    """Scores and sends each record by itself."""
    scorer = GuideScorer(job)

    async def publish(records: Records) -> list[asyncio.Future]:
        sent = []
        for messages in records.values():
            for message in messages:
                try:
                    decision = scorer.score(message.value)
                except ValidationError:
                    continue
                sent.append(await producer.send(job.decisions_topic, decision, key=message.key))
        return sent

    return publish


def by_batches(job: Job, producer: AIOKafkaProducer) -> Publish:
    """Scores all records at once and sends a partition's decisions in batches, to the partition of the same number."""
    scorer = FastScorer(job)

    async def publish(records: Records) -> list[asyncio.Future]:
        decisions = iter(scorer.score([message.value for messages in records.values() for message in messages]))
        sent = []
        for partition, messages in records.items():
            batch = producer.create_batch()
            for message in messages:
                decision = next(decisions)
                if decision is None:
                    continue
                if batch.append(key=message.key, value=decision, timestamp=None) is None:
                    sent.append(await producer.send_batch(batch, job.decisions_topic, partition=partition.partition))
                    batch = producer.create_batch()
                    batch.append(key=message.key, value=decision, timestamp=None)
            if batch.record_count():
                sent.append(await producer.send_batch(batch, job.decisions_topic, partition=partition.partition))
        return sent

    return publish


async def run(job: Job) -> None:
    """Reads, publishes and commits until SIGTERM."""
    fast = job.variant == "fast"
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    consumer = AIOKafkaConsumer(
        job.applications_topic,
        bootstrap_servers=job.bootstrap_servers,
        group_id=job.group_id,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap_servers,
        enable_idempotence=True,
        transactional_id=job.group_id if job.exactly_once else None,
        max_batch_size=262_144 if fast else 16_384,
    )
    publish = by_batches(job, producer) if fast else one_by_one(job, producer)
    async with consumer, producer:
        while not stopped.is_set():
            records = await consumer.getmany(timeout_ms=_POLL_MS, max_records=5_000 if fast else 500)
            if not records:
                continue
            offsets = {partition: messages[-1].offset + 1 for partition, messages in records.items()}
            async with producer.transaction() if job.exactly_once else nullcontext():
                await asyncio.gather(*await publish(records))
                if job.exactly_once:
                    await producer.send_offsets_to_transaction(offsets, job.group_id)
            if not job.exactly_once:
                await consumer.commit(offsets)


if __name__ == "__main__":
    asyncio.run(run(read_job(variants=("guide", "fast"), deliveries=("at-least-once", "exactly-once"))))
