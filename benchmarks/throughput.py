"""Compares one worker with pass-through: records per second and CPU per record, in turns on one broker, as ratios.

`make bench` runs it. The topic contains a million realistic applications; every contestant reads all of them, alone, in
a separate process, two rounds each in turns. Our worker confirms every delivery before it commits. Pass-through runs
with the client's default settings, which wait a second whenever the queue was full; with our client settings, which are
as fast as this client can be; and with our own Kafka link without scoring, once per delivery mode: with the same
confirmation and commits as our worker, this is the upper limit for any scoring in Python. With `--contract wide`, the
applications have 150 fields and 2 kB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from confluent_kafka import Producer

from benchmarks import new_topics
from benchmarks.arena import machine
from benchmarks.rivals import BOTH, Delivery
from benchmarks.wide import WideRecord, wide_records
from producer.generator import GeneratedRecord, generate_applications
from scorer.local.broker import start_broker
from scorer.settings import Settings

CONTESTANTS: dict[str, tuple[str, Delivery]] = {
    "passthrough": ("passthrough", "at-least-once"),
    "passthrough-tuned": ("passthrough-tuned", "at-least-once"),
    **{f"confirmed {d}": ("passthrough-confirmed", d) for d in BOTH},
    **{d: ("worker", d) for d in BOTH},
}
"""Kind of program and delivery, by name."""
PARTITIONS = 6
RESULT = Path(__file__).parent / "results" / "throughput.json"


def fill(settings: Settings, records: int, contract: str = "course") -> None:
    """Publishes `records` applications of a contract, course or wide, as `producer load` would."""
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
    )
    generated: Iterator[GeneratedRecord | WideRecord] = (
        wide_records() if contract == "wide" else generate_applications(seed=1)
    )
    applications = ({"value": record.value, "key": record.key} for record in islice(generated, records))
    while batch := list(islice(applications, 10_000)):
        assert producer.produce_batch(settings.applications_topic, batch) == len(batch), "the queue was full"
        producer.flush()


def run_contestant(contestant: str, base: Settings, records: int, contract: str) -> dict[str, float]:
    """Runs one round of one contestant, with a separate group and output topics."""
    kind, delivery = CONTESTANTS[contestant]
    kind = f"{kind}-wide" if (kind, contract) == ("worker", "wide") else kind
    name = f"{kind}-{uuid.uuid4().hex[:6]}"
    settings = base.model_copy(
        update={
            "group_id": name,
            "delivery": delivery,
            "decisions_topic": f"d-{name}",
            "dead_letters_topic": f"x-{name}",
        }
    )
    new_topics.create(settings, PARTITIONS)
    command = [sys.executable, "-m", "benchmarks.contestant", kind, str(records), settings.model_dump_json()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    new_topics.delete_outputs(settings)
    figures: dict[str, float] = json.loads(done.stdout)
    rate, cpu_us = figures["records"] / figures["seconds"], figures["cpu_s"] / figures["records"] * 1e6
    print(
        f"  {contestant:<23} {rate:>9,.0f} records/s  {cpu_us:5.2f} µs CPU per record  {figures['seconds']:6.2f} s  "
        f"{figures['records'] / figures['batches']:7,.0f} records per batch  {figures['rss_bytes'] / 1e6:4.0f} MB",
        flush=True,
    )
    return {**figures, "rate": rate, "cpu_us": cpu_us}


def main() -> None:
    """Runs the rounds, prints the ratios and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--contract", choices=("course", "wide"), default="course")
    options = parser.parse_args()
    with start_broker("auto", say=print) as broker:
        base = Settings(bootstrap_servers=broker.bootstrap_servers, applications_topic=f"a-{uuid.uuid4().hex[:6]}")
        new_topics.create(base, PARTITIONS)
        began = time.perf_counter()
        fill(base, options.records, options.contract)
        print(f"{options.records:,} applications published in {time.perf_counter() - began:.1f} s")
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
        for _ in range(options.rounds):
            for name, runs in rounds.items():
                runs.append(run_contestant(name, base, options.records, options.contract))
    report(rounds, broker.description)


def report(rounds: dict[str, list[dict[str, float]]], broker: str) -> None:
    """Prints and saves medians, and their ratios to each pass-through in the same run."""
    medians = {
        name: {figure: statistics.median(r[figure] for r in runs) for figure in ("rate", "cpu_us", "rss_bytes")}
        for name, runs in rounds.items()
    }
    ratios = {
        delivery: {
            base: medians[delivery]["rate"] / medians[base]["rate"]
            for base in ("passthrough", "passthrough-tuned", f"confirmed {delivery}")
        }
        for delivery in BOTH
    }
    print(f"\nmedians of {len(rounds['passthrough'])} rounds; compare the ratios, the figures belong to this machine")
    for name, m in medians.items():
        print(f"  {name:<23} {m['rate']:>9,.0f} records/s  {m['cpu_us']:5.2f} µs CPU per record")
    for delivery, to in ratios.items():
        plain, tuned, confirmed = to.values()
        print(
            f"  {delivery} is {plain:.2f} × pass-through, {tuned:.2f} × pass-through tuned, "
            f"{confirmed:.2f} × pass-through confirmed {delivery}"
        )
    print(f"  exactly-once is {medians['exactly-once']['rate'] / medians['at-least-once']['rate']:.2f} × at-least-once")
    RESULT.parent.mkdir(exist_ok=True)
    result = {"machine": machine(broker), "rounds": rounds, "medians": medians, "ratios": ratios}
    RESULT.write_text(json.dumps(result, indent=2))
    print(f"written to {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}")


if __name__ == "__main__":
    main()
