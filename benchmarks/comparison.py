"""Compares implementations of the same job in turns: the same applications, the same model, the same broker.

`make bench-peers` runs it and writes `results/comparison.json` and the report, `comparison.md` with its plots. A rival
that cannot run on this machine is left out, and the report gives the reason.
"""

import argparse
import json
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks import http_service, latency, report
from benchmarks.applications import course_applications, publish
from benchmarks.arena import (
    PARTITIONS,
    Entry,
    Sample,
    machine,
    model_folder,
    rate_between,
    require_same_decisions,
    watch,
)
from benchmarks.broker import create_topics, open_broker
from benchmarks.rivals import RIVALS, CannotTakePartError, Delivery, Rival
from scorer.settings import Settings

RESULTS = Path(__file__).parent / "results" / "comparison.json"
_FIRST_DECISION_S = 60.0
# After the first decision: JIT compilation, caches and the first fetches of the backlog.
_WARM_UP_S = 3.0
_STANDSTILL_S = 5.0
_LATENCY_RATES = (1_000, 5_000, 20_000, 50_000)
# The others cannot keep up at rates that these can.
_LATENCY_FAMILIES = ("ours", "native", "jvm")
_LATENCY_S = 20.0


def measure_throughput(entry: Entry, model: Path, seconds: float) -> dict[str, float]:
    """Measures records per second, CPU per record and memory, over at most `seconds` after the warm-up.

    Raises:
        CannotTakePartError: it exits, decides nothing, or its decisions differ from ours.
    """
    entry.start(model)
    began = time.monotonic()
    samples: list[Sample] = []
    rss_bytes = 0
    for sample in watch(entry):
        rss_bytes = max(rss_bytes, sample.rss_bytes)
        if not sample.decided:
            if sample.time_s - began > _FIRST_DECISION_S:
                raise CannotTakePartError(f"it decided nothing within {_FIRST_DECISION_S:.0f} s")
            continue
        if not samples or sample.decided != samples[-1].decided:
            samples.append(sample)
        elif sample.time_s - samples[-1].time_s > _STANDSTILL_S:
            break  # it has processed the whole backlog
        if sample.time_s - samples[0].time_s > _WARM_UP_S + seconds:
            break
    # A rival that has processed the backlog, or decides in bursts, gets no warm-up.
    warm = [sample for sample in samples if sample.time_s - samples[0].time_s > _WARM_UP_S]
    counted = warm if len(warm) > 1 else samples
    first, last = counted[0], counted[-1]
    if last.decided == first.decided:
        raise CannotTakePartError("it decided everything in one burst; run with more --records")
    if entry.rival.scores:
        require_same_decisions(entry)
    rate, cpu_us = rate_between(first, last)
    return {
        "records": last.decided - first.decided,
        "seconds": last.time_s - first.time_s,
        "rate": rate,
        "cpu_us": cpu_us,
        "rss_bytes": rss_bytes,
    }


def run_round(rival: Rival, delivery: Delivery, base: Settings, model: Path, seconds: float) -> dict[str, float]:
    """Runs one round of one rival."""
    entry = Entry(rival, delivery, base)
    try:
        return measure_throughput(entry, model, seconds)
    finally:
        entry.stop()


def run_rounds(
    entered: list[tuple[Rival, Delivery]], base: Settings, model: Path, options: argparse.Namespace
) -> tuple[dict[str, list[dict[str, float]]], dict[str, str]]:
    """Runs all rounds in turns; also returns which rivals cannot take part, with the reason."""
    rounds: dict[str, list[dict[str, float]]] = {}
    left_out: dict[str, str] = {}
    for turn in range(options.rounds):
        for rival, delivery in entered:
            name = f"{rival.name} | {delivery}"
            if name in left_out:
                continue
            try:
                figures = run_round(rival, delivery, base, model, options.seconds)
            except CannotTakePartError as error:
                left_out[name] = str(error)
                print(f"  {name:<45} left out: {error}", flush=True)
                continue
            rounds.setdefault(name, []).append(figures)
            print(
                f"  {turn + 1} {name:<45} {figures['rate']:>9,.0f}/s {figures['cpu_us']:8.2f} µs "
                f"{figures['rss_bytes'] / 1e6:5.0f} MB",
                flush=True,
            )
    return rounds, left_out


def measure_latency(rival: Rival, delivery: Delivery, base: Settings, model: Path) -> list[latency.Latency]:
    """Measures all rates, on a separate topic."""
    topic = f"a-{uuid.uuid4().hex[:6]}"
    settings = base.model_copy(update={"applications_topic": topic})
    create_topics(settings, PARTITIONS)
    entry = Entry(rival, delivery, settings)
    try:
        entry.start(model)
        return [latency.measure(entry, rate, _LATENCY_S) for rate in _LATENCY_RATES]
    finally:
        entry.stop()


def save(report_data: dict[str, Any]) -> None:
    """Saves the results so far."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report_data, indent=1))


def main() -> None:
    """Runs the rounds, then the latency measurements, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--records", type=int, default=8_000_000, help="size of the backlog; the fastest rival needs the default"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--only", default="", help="only rivals whose name contains this; writes no report")
    parser.add_argument("--no-latency", action="store_true")
    options = parser.parse_args()
    report_data: dict[str, Any] = {}
    entered = [(r, d) for r in RIVALS if options.only in r.name for d in r.deliveries]
    if not entered:
        parser.error(f"--only {options.only}: no such rival; choose from {', '.join(r.name for r in RIVALS)}")
    with open_broker() as broker, model_folder() as model:
        base = Settings(bootstrap_servers=broker.bootstrap_servers, applications_topic=f"a-{uuid.uuid4().hex[:6]}")
        create_topics(base, PARTITIONS)
        publish(base, course_applications(), options.records)
        report_data["machine"] = machine(broker.description)
        rounds, left_out = run_rounds(entered, base, model, options)
        latencies: dict[str, list[dict[str, Any]]] = {}
        report_data |= {"rounds": rounds, "left_out": left_out, "latencies": latencies}
        save(report_data)  # the longer part follows
        for rival, delivery in entered if not options.no_latency else []:
            name = f"{rival.name} | {delivery}"
            if rival.family not in _LATENCY_FAMILIES or not rival.scores or name in left_out:
                continue
            latencies[name] = [measured._asdict() for measured in measure_latency(rival, delivery, base, model)]
            print(f"  {name}: {latencies[name]}", flush=True)
    if not options.only:
        try:
            report_data["http"] = http_service.measure(options.seconds)
            print(f"  the course's service on BentoML: {report_data['http']}")
        except CannotTakePartError as error:
            left_out["the course's service on BentoML"] = str(error)
    save(report_data)
    if not options.only:
        report.write(report_data, {f"{r.name} | {d}": r.family for r, d in entered})


if __name__ == "__main__":
    main()
