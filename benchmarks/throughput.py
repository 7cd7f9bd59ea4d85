"""Compares one worker with pass-through: records per second and CPU per record, in turns on one broker, as ratios.

`make bench` runs it. The topic contains a million realistic applications; every contestant reads all of them, alone, in
a separate process, two rounds each in turns. Our worker confirms every delivery before it commits. Pass-through runs
with the client's default settings, which wait a second whenever the queue was full; with our client settings, which are
as fast as this client can be; and with our own Kafka link without scoring, once per delivery mode: with the same
confirmation and commits as our worker, this is the upper limit for any scoring. Our worker runs with both engines, or
with those that `--engine` names. With `--contract wide`, the applications have 150 fields and 2 kB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from benchmarks.applications import course_applications, publish
from benchmarks.arena import machine
from benchmarks.broker import create_topics, delete_outputs, open_broker
from benchmarks.rivals import BOTH, Delivery
from benchmarks.wide import wide_applications
from scorer.core.score import ENGINES, EngineName
from scorer.settings import Settings

PARTITIONS = 6
RESULT = Path(__file__).parent / "results" / "throughput.json"


class Contestant(NamedTuple):
    """A program: its kind, and the settings in which it differs from the others of its kind."""

    kind: str
    delivery: Delivery
    engine: EngineName = "python"

    def __str__(self) -> str:
        kind = f"{self.engine} engine" if self.kind == "worker" else self.kind.removeprefix("passthrough-")
        return f"{kind}, {self.delivery}" if self.kind in {"worker", "passthrough-confirmed"} else self.kind


Rounds = dict[Contestant, list[dict[str, float]]]
"""The figures of each round, by contestant."""
PASS_THROUGH = (Contestant("passthrough", "at-least-once"), Contestant("passthrough-tuned", "at-least-once"))
CONFIRMED = tuple(Contestant("passthrough-confirmed", delivery) for delivery in BOTH)


def run_contestant(contestant: Contestant, base: Settings, records: int, contract: str) -> dict[str, float]:
    """Runs one round of one contestant, with a separate group and output topics."""
    is_wide = (contestant.kind, contract) == ("worker", "wide")
    kind = "worker-wide" if is_wide else contestant.kind
    name = f"{kind}-{uuid.uuid4().hex[:6]}"
    settings = base.model_copy(
        update={
            "group_id": name,
            "delivery": contestant.delivery,
            "engine": contestant.engine,
            "decisions_topic": f"d-{name}",
            "dead_letters_topic": f"x-{name}",
        }
    )
    create_topics(settings, PARTITIONS)
    command = [sys.executable, "-m", "benchmarks.contestant", kind, str(records), settings.model_dump_json()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    delete_outputs(settings)
    figures: dict[str, float] = json.loads(done.stdout)
    rate, cpu_us = figures["records"] / figures["seconds"], figures["cpu_s"] / figures["records"] * 1e6
    print(
        f"  {contestant!s:<32} {rate:>9,.0f} records/s  {cpu_us:5.2f} µs CPU per record  {figures['seconds']:6.2f} s  "
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
    parser.add_argument("--engine", choices=ENGINES, nargs="+", default=ENGINES)
    options = parser.parse_args()
    with open_broker() as broker:
        base = Settings(bootstrap_servers=broker.bootstrap_servers, applications_topic=f"a-{uuid.uuid4().hex[:6]}")
        create_topics(base, PARTITIONS)
        began = time.perf_counter()
        applications = wide_applications() if options.contract == "wide" else course_applications()
        publish(base, applications, options.records)
        print(f"{options.records:,} applications published in {time.perf_counter() - began:.1f} s")
        workers = [Contestant("worker", delivery, engine) for engine in options.engine for delivery in BOTH]
        rounds: Rounds = {contestant: [] for contestant in (*PASS_THROUGH, *CONFIRMED, *workers)}
        for _ in range(options.rounds):
            for contestant, runs in rounds.items():
                runs.append(run_contestant(contestant, base, options.records, options.contract))
    report(rounds, broker.description)


def report(rounds: Rounds, broker: str) -> None:
    """Prints and saves medians, and the ratios of the workers to the others in the same run."""
    medians = {
        contestant: {figure: statistics.median(r[figure] for r in runs) for figure in ("rate", "cpu_us", "rss_bytes")}
        for contestant, runs in rounds.items()
    }
    count = len(rounds[PASS_THROUGH[0]])
    print(f"\nmedians of {count} rounds; compare the ratios, the figures belong to this machine")
    for contestant, m in medians.items():
        print(f"  {contestant!s:<32} {m['rate']:>9,.0f} records/s  {m['cpu_us']:5.2f} µs CPU per record")
    ratios = {
        str(worker): {
            str(other): figures["rate"] / medians[other]["rate"]
            for other in medians
            if other in PASS_THROUGH or (other != worker and other.delivery == worker.delivery)
        }
        for worker, figures in medians.items()
        if worker.kind == "worker"
    }
    for worker, by_other in ratios.items():
        print(f"  {worker} is " + ", ".join(f"{ratio:.2f} × {other}" for other, ratio in by_other.items()))
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "machine": machine(broker),
        "rounds": {str(contestant): runs for contestant, runs in rounds.items()},
        "medians": {str(contestant): m for contestant, m in medians.items()},
        "ratios": ratios,
    }
    RESULT.write_text(json.dumps(result, indent=2))
    print(f"written to {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}")


if __name__ == "__main__":
    main()
