"""One program of the throughput benchmark, run as a process: reads the whole topic once and prints its figures.

The kinds: `passthrough` (only consumes and produces, with the client's default settings), `passthrough-tuned` (the
same with all our client settings), `passthrough-confirmed` (our own link, which commits only after every delivery is
confirmed, without scoring), `worker`, built from the same parts as `scorer worker`, including metrics, and
`worker-wide`, the same with a bundle of a wide contract. The delivery mode of the last three and the engine of the last
two come from the settings. Time is measured from the first poll that returned records to the last commit; CPU time is
that of the process over the same span.
"""

import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, Producer
from prometheus_client import CollectorRegistry

from benchmarks.engines import BUNDLE, open_engine
from benchmarks.wide import wide_bundle
from scorer.core.score import Result, Scores
from scorer.monitor.health import Health
from scorer.monitor.metrics import WorkerMetrics
from scorer.process import EventLog, reduce_garbage_collection
from scorer.settings import Settings
from scorer.store.store import BundleStore
from scorer.stream.delivery import Delivered
from scorer.stream.kafka import KafkaLink
from scorer.stream.librdkafka import consumer_config, producer_config, stalled_after
from scorer.stream.observer import Observer, Observers
from scorer.stream.worker import Batch, run


class Watch:
    """Measures from the first record to the last."""

    def __init__(self) -> None:
        self.records = 0
        self.batches = 0
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        """Starts at the first call; later calls have no effect."""
        self._began = self._began or (time.perf_counter(), time.process_time())

    def count(self, batch: Batch) -> None:
        """Counts a committed batch."""
        self.records += len(batch.records)
        self.batches += 1

    def figures(self) -> dict[str, float]:
        """Returns records, batches, seconds, CPU seconds and the peak memory, in bytes."""
        assert self._began is not None, "no record was seen"
        seconds, cpu_s = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"records": self.records, "batches": self.batches, "seconds": seconds, "cpu_s": cpu_s, "rss_bytes": rss}


class Timed(Observer):
    """An observer that drives a watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def polled(self, batch: Batch) -> None:
        if batch.records:
            self._watch.begin()

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:  # noqa: ARG002
        self._watch.count(batch)


def run_worker(settings: Settings, records: int, wide: bool = False) -> Watch:
    """Runs our worker until `records` records are committed."""
    watch = Watch()
    opened = wide_bundle() if wide else BundleStore(settings.store).open(BUNDLE)
    bundle = open_engine(opened, "python" if settings.engine == "python" else "compiled")
    metrics = WorkerMetrics(CollectorRegistry(), bundle.reference, settings.applications_topic)
    health = Health(bundle.reference, *stalled_after(settings))
    observer = Observers(Timed(watch), metrics, health, EventLog(bundle.reference))
    link = KafkaLink(settings, observer, lambda: False)
    reduce_garbage_collection()
    run(link, lambda: bundle, observer, settings.record_bytes_max, lambda: watch.records >= records)
    return watch


def pass_through(settings: Settings, records: int, tuned: bool) -> Watch:
    """Only consumes and produces: no commit waits for a delivery, and a failed delivery would go unnoticed."""
    watch = Watch()
    if tuned:
        consumer = Consumer(
            consumer_config(settings) | {"auto.offset.reset": "earliest", "enable.partition.eof": False}
        )
        producer = Producer(producer_config(settings))
    else:
        plain = {"bootstrap.servers": settings.bootstrap_servers}
        consumer = Consumer(plain | {"group.id": settings.group_id, "auto.offset.reset": "earliest"})
        producer = Producer(plain)
    consumer.subscribe([settings.applications_topic])
    gc.freeze()
    gc.disable()
    while watch.records < records:
        messages = consumer.consume(1, 0.2)
        if not messages:
            continue
        watch.begin()
        messages += consumer.consume(settings.batch_records_max - 1, 0)
        assert not any(m.error() for m in messages), "the benchmark's topic gives no errors"
        batch: list[dict[str, Any]] = [{"value": m.value(), "key": m.key()} for m in messages]
        queued = producer.produce_batch(settings.decisions_topic, batch)
        while queued < len(batch):  # the queue is full: wait until it drains
            producer.poll(0.01)
            batch = [{k: m[k] for k in ("value", "key")} for m in batch if _full(m)]
            queued = producer.produce_batch(settings.decisions_topic, batch)
        watch.records += len(messages)
        watch.batches += 1
        producer.poll(0)
    producer.flush()
    return watch


def pass_through_confirmed(settings: Settings, records: int) -> Watch:
    """Runs our own link without scoring: the upper limit for a worker that confirms and commits like ours."""
    watch = Watch()
    bundle = BundleStore(settings.store).open(BUNDLE)
    link = KafkaLink(settings, Timed(watch), lambda: False)
    reduce_garbage_collection()
    while watch.records < records:
        batch = link.poll(bundle.reference)
        if batch.records:
            watch.begin()
        if batch.offsets_next:
            results: list[Result] = [record.value() or b"" for record in batch.records]
            none = np.empty(0, np.intp)
            link.publish(batch, Scores(bundle.reference, results, np.empty(0, np.float32), none, none))
    return watch


def _full(message: Mapping[str, Any]) -> bool:
    error = message.get("_error")
    return error is not None and error.code() == KafkaError._QUEUE_FULL


def main() -> None:
    """`python -m benchmarks.contestant KIND RECORDS SETTINGS-AS-JSON`."""
    kind, records, settings = sys.argv[1], int(sys.argv[2]), Settings.model_validate_json(sys.argv[3])
    kinds: dict[str, Callable[[Settings, int], Watch]] = {
        "passthrough": partial(pass_through, tuned=False),
        "passthrough-tuned": partial(pass_through, tuned=True),
        "passthrough-confirmed": pass_through_confirmed,
        "worker": run_worker,
        "worker-wide": partial(run_worker, wide=True),
    }
    watch = kinds[kind](settings, records)
    sys.stdout.write(json.dumps(watch.figures()) + "\n")


if __name__ == "__main__":
    main()
