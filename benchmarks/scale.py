"""Measures whether the cost per record grows with the number of workers and records.

`make bench-scale` runs it: one, two and four workers on eight partitions; and one worker on backlogs of one, three and
ten million. The figures are CPU per record, which must not grow, and memory. Workers share this machine's cores with
the broker: with fewer cores than workers, records per second cannot grow.
"""

import argparse
import uuid

from benchmarks.applications import course_applications, publish
from benchmarks.arena import Entry, model_folder, rate_between, watch
from benchmarks.broker import create_topics, open_broker
from benchmarks.rivals import DEFAULT
from scorer.settings import Settings

_PARTITIONS = 8


def process_backlog(base: Settings, workers: int, records: int) -> str:
    """Processes one backlog and returns a row of figures, from the first decision to the last."""
    entry = Entry(DEFAULT, "exactly-once", base, workers)
    try:
        with model_folder() as model:
            entry.start(model)
        samples = []
        for sample in watch(entry, _PARTITIONS):
            if sample.decided:
                samples.append(sample)
            if sample.decided >= records:
                break
    finally:
        entry.stop()
    rate, cpu_us = rate_between(samples[0], samples[-1])
    rss_bytes = max(sample.rss_bytes for sample in samples)
    return f"{workers:>8} {records:>12,} {rate:>12,.0f} {cpu_us:>14.2f} {rss_bytes / workers / 1e6:>14,.0f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="*", default=[1, 3, 10])
    options = parser.parse_args()
    with open_broker() as broker:
        print(" workers      records    records/s  CPU µs/record  MB per worker")
        for millions in options.millions:
            name = f"a-{uuid.uuid4().hex[:6]}"
            base = Settings(bootstrap_servers=broker.bootstrap_servers, applications_topic=name)
            create_topics(base, _PARTITIONS)
            publish(base, course_applications(), millions * 1_000_000)
            for workers in (1, 2, 4) if millions == options.millions[0] else (1,):
                print(process_backlog(base, workers, millions * 1_000_000), flush=True)


if __name__ == "__main__":
    main()
