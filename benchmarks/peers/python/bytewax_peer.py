"""The peer on Bytewax: a dataflow from a Kafka input to a Kafka output, with `filter_map` or `flat_map_batch`."""

from collections.abc import Callable

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from confluent_kafka import OFFSET_STORED
from fast_scoring import FastScorer
from guide_scoring import GuideScorer
from job import Job, read_job
from pydantic import ValidationError

Source = KafkaSourceMessage[bytes | None, bytes | None]
Sink = KafkaSinkMessage[bytes | None, bytes | None]


def dataflow(job: Job) -> Dataflow:
    """Applications to decisions."""
    brokers = job.bootstrap_servers.split(",")
    flow = Dataflow("decisions")
    applications = kop.input(
        "applications",
        flow,
        brokers=brokers,
        topics=[job.applications_topic],
        starting_offset=OFFSET_STORED,
        add_config={"group.id": job.group_id, "enable.auto.commit": "true", "auto.offset.reset": "earliest"},
        batch_size=5_000 if job.variant == "fast" else 1_000,
    )
    op.inspect("errors", applications.errs).then(op.raises, "stop on errors")
    if job.variant == "guide":
        decisions = op.filter_map("score", applications.oks, _one_by_one(GuideScorer(job)))
    else:
        decisions = op.flat_map_batch("score", applications.oks, _by_batches(FastScorer(job)))
    kop.output("decisions", decisions, brokers=brokers, topic=job.decisions_topic)
    return flow


def _one_by_one(scorer: GuideScorer) -> Callable[[Source], Sink | None]:
    def score(message: Source) -> Sink | None:
        try:
            return KafkaSinkMessage(message.key, scorer.score(message.value))
        except ValidationError:
            return None

    return score


def _by_batches(scorer: FastScorer) -> Callable[[list[Source]], list[Sink]]:
    def score(messages: list[Source]) -> list[Sink]:
        decisions = scorer.score([message.value for message in messages])
        return [
            KafkaSinkMessage(message.key, decision)
            for message, decision in zip(messages, decisions, strict=True)
            if decision is not None
        ]

    return score


if __name__ == "__main__":
    cli_main(dataflow(read_job(variants=("guide", "fast"))))
