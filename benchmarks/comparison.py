"""Compares implementations of the same job in turns: the same applications, the same model, the same broker.

`make bench-peers` runs it and writes `results/comparison.json`, from which `report.py` writes the report. A rival that
cannot run on this machine is left out, and the report gives the reason.

A round is a fair comparison in itself: in each one, all chosen rivals and both engines of ours run one after the other.
So the comparison can be run in parts: `--only` chooses rivals, and `--add` adds rounds to the results of earlier runs.
Results are saved after each round.
"""

import argparse
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from benchmarks import http_service, latency
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
from benchmarks.ratios import RESULTS, summarise
from benchmarks.rivals import FAMILIES, OURS, RIVALS, CannotTakePartError, Delivery, Rival, prepare
from scorer.core import engine
from scorer.settings import Settings

_FIRST_DECISION_S = 60.0
# After the first decision: JIT compilation, which takes the JVM some seconds, caches and the first fetches.
_WARM_UP_S = 6.0
_STANDSTILL_S = 5.0
# A new broker is slow until its code is compiled: a first run does not count.
_BROKER_WARM_UP_S = 15.0
# The others cannot keep up at the rates that these can.
_LATENCY_FAMILIES = {"ours, compiled engine", "ours, Python engine", "native", "jvm"}
# Time of a run in addition to the measured seconds: start, warm-up, the comparison of decisions, stop.
_OVERHEAD_S = 15.0

Entered = list[tuple[Rival, Delivery]]
"""The programs that take part, each with its delivery modes."""


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


def run_entry(rival: Rival, delivery: Delivery, base: Settings, model: Path, seconds: float) -> dict[str, float]:
    """Runs a program once, for its throughput."""
    entry = Entry(rival, delivery, base)
    try:
        return measure_throughput(entry, model, seconds)
    finally:
        entry.stop()


def run_round(
    entered: Entered, measure: Callable[[Rival, Delivery], Any], left_out: dict[str, str], show: Callable[[Any], str]
) -> dict[str, Any]:
    """Runs each program once; returns what was measured by "name | delivery".

    Args:
        entered: the programs.
        measure: measures one of them.
        left_out: receives the programs that cannot take part, with the reason; they are not run again.
        show: writes what was measured in a line.
    """
    measured: dict[str, Any] = {}
    for rival, delivery in entered:
        name = f"{rival.name} | {delivery}"
        if name in left_out:
            continue
        try:
            measured[name] = measure(rival, delivery)
        except (CannotTakePartError, KafkaException) as error:  # the others go on
            left_out[name] = str(error)
            print(f"  {name:<45} left out: {error}", flush=True)
        else:
            print(f"  {name:<45} {show(measured[name])}", flush=True)
    return measured


def measure_latency(
    rival: Rival, delivery: Delivery, base: Settings, model: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Measures all rates, on a separate topic."""
    settings = base.model_copy(update={"applications_topic": f"a-{uuid.uuid4().hex[:6]}"})
    entry = Entry(rival, delivery, settings)
    try:
        entry.start(model)
        return [latency.measure(entry, rate, options.latency_seconds)._asdict() for rate in options.rates]
    finally:
        entry.stop()


def _show_throughput(figures: dict[str, float]) -> str:
    return f"{figures['rate']:>9,.0f}/s {figures['cpu_us']:8.2f} µs {figures['rss_bytes'] / 1e6:5.0f} MB"


def _show_latency(loads: list[dict[str, Any]]) -> str:
    texts = [f"{load['rate']:,}/s: {load['ms']['p50']:.0f} and {load['ms']['p99']:.0f} ms" for load in loads]
    return "  ".join(texts)


def main() -> None:
    """Runs the rounds, saves the results after each one, and prints the ratios."""
    options, entered = _read_options()
    with open_broker() as broker, model_folder() as model:
        results = _open_results(options.results, machine(broker.description), add=options.add)
        base = Settings(bootstrap_servers=broker.bootstrap_servers, applications_topic=f"a-{uuid.uuid4().hex[:6]}")
        left_out: dict[str, str] = {}
        if options.rounds:
            create_topics(base, PARTITIONS)
            publish(base, course_applications(), options.records)
            print("a first run, which does not count")
            first = OURS[0] if engine.IS_INSTALLED else OURS[1]
            with suppress(CannotTakePartError):  # the rounds report it
                run_entry(first, "exactly-once", base, model, min(_BROKER_WARM_UP_S, options.seconds))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}: records per second, CPU per record, memory")
            # Each second round in reverse order, so that the one before affects all alike.
            ordered = entered[:: -1 if number % 2 else 1]
            measure = partial(run_entry, base=base, model=model, seconds=options.seconds)
            results["rounds"].append(run_round(ordered, measure, left_out, _show_throughput))
            _save(options.results, results, entered, left_out)
        loaded = [(r, d) for r, d in entered if r.family in _LATENCY_FAMILIES]
        for number in range(options.latency_rounds):
            print(f"round {number + 1} of {options.latency_rounds}: latency, p50 and p99")
            measure_load = partial(measure_latency, base=base, model=model, options=options)
            results["latencies"].append(run_round(loaded, measure_load, left_out, _show_latency))
            _save(options.results, results, entered, left_out)
    if not options.only:
        _measure_http(options.results, results, options.seconds)
    print("\n" + summarise(results, FAMILIES))


def _read_options() -> tuple[argparse.Namespace, Entered]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--records", type=int, default=8_000_000, help="size of the backlog; the fastest rival needs the default"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of throughput")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured in each run")
    parser.add_argument("--latency-rounds", type=int, default=1)
    parser.add_argument("--rates", type=int, nargs="+", default=[5_000, 50_000], help="applications/s, for latency")
    parser.add_argument("--latency-seconds", type=float, default=20.0, help="at each rate, 5 of them as warm-up")
    parser.add_argument(
        "--only", nargs="+", default=[], help="only rivals whose name contains one of these; ours always take part"
    )
    parser.add_argument("--add", action="store_true", help="add to the results of earlier runs")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="file of the results; comparison-*.json are added to the report"
    )
    parser.add_argument("--prepare", action="store_true", help="build all programs, and measure nothing")
    options = parser.parse_args()
    if options.prepare:
        prepare()
        parser.exit()
    others = [r for r in RIVALS if r not in OURS and any(part in r.name for part in options.only or [""])]
    if any(not any(part in r.name for r in RIVALS) for part in options.only):
        parser.error(f"--only: no such rival; choose from {', '.join(r.name for r in RIVALS)}")
    entered = [(rival, delivery) for rival in (*OURS, *others) for delivery in rival.deliveries]
    loaded = sum(r.family in _LATENCY_FAMILIES for r, _ in entered)
    seconds = options.rounds * len(entered) * (options.seconds + _OVERHEAD_S) + options.latency_rounds * loaded * (
        len(options.rates) * options.latency_seconds + _OVERHEAD_S
    )
    print(f"{len(entered)} entries; this takes about {seconds / 60 + 3:.0f} minutes on a machine without other load")
    return options, entered


def _open_results(path: Path, described: dict[str, Any], *, add: bool) -> dict[str, Any]:
    if not add or not path.exists():
        return {"machine": described, "rounds": [], "latencies": [], "left_out": {}}
    results: dict[str, Any] = json.loads(path.read_text())
    if results["machine"] != described:
        sys.exit(f"--add: the results are those of another machine or Python: {results['machine']}, not {described}")
    return results


def _save(path: Path, results: dict[str, Any], entered: Entered, left_out: dict[str, str]) -> None:
    """Saves the results so far. A program with results in this run is removed from the list of omitted ones."""
    ran = {f"{rival.name} | {delivery}" for rival, delivery in entered}
    results["left_out"] = {n: why for n, why in results["left_out"].items() if n not in ran} | left_out
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1))


def _measure_http(path: Path, results: dict[str, Any], seconds: float) -> None:
    left_out = {}
    try:
        results["http"] = http_service.measure(seconds)
        print(f"  the course's service on BentoML: {results['http']}")
    except (CannotTakePartError, subprocess.SubprocessError) as error:
        left_out["the course's service on BentoML"] = str(error)
    _save(path, results, [], left_out)


if __name__ == "__main__":
    main()
