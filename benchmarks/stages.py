"""Measures the time per record of scoring, without Kafka: both engines, by stage.

`make bench-stages` runs it. Tables by contract and batch size, by model size and by record size, and the time to decode
records of 64 kB that were crafted to be slow. Each round runs the Python engine and then the compiled one on the same
applications. The figures are CPU time, so that other processes do not count, as medians of the rounds; the ratio is the
median of the rounds' ratios.

The compiled engine scores a batch in one call. Its `decode`, which includes the features, and its `encode` are measured
in separate calls; `predict` is the rest.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from benchmarks.applications import Application, Source, as_records, course_applications
from benchmarks.engines import BUNDLE, EngineUnusedError, open_both, train
from benchmarks.german import DATA, find_data, german_applications, german_bundle
from benchmarks.wide import wide_applications, wide_bundle
from scorer.core import engine
from scorer.core.decode import Decoder
from scorer.core.score import Bundle, EngineName, score_batch
from scorer.process import reduce_garbage_collection
from scorer.settings import Settings
from scorer.store.store import BundleStore

STAGES = ("decode", "features", "predict", "encode")
RECORD_BYTES_MAX = 65_536
_DEFAULT_BATCH = 5_000
_DEPTH = 3
# Calls with few records take a while; so many are enough.
_CALLS_MAX = 500
Engines = Mapping[EngineName, Bundle]
Figures = dict[str, float]
"""Microseconds per record by stage, and `all`."""


def compare(records: Sequence[Source], engines: Engines, batch_records: int, rounds: int) -> None:
    """Measures both engines in turns, and prints a row for each."""
    batches = [
        records[start : start + batch_records]
        for start in range(0, min(len(records), _CALLS_MAX * batch_records), batch_records)
    ]
    measured: dict[EngineName, list[Figures]] = {"python": [], "compiled": []}
    for _ in range(rounds):
        measured["python"].append(_measure_reference(batches, engines["python"]))
        measured["compiled"].append(_measure_compiled(batches, engines["compiled"]))
    ratios = [p["all"] / c["all"] for p, c in zip(measured["python"], measured["compiled"], strict=True)]
    for name, runs in measured.items():
        medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
        cells = [f"{medians[stage]:>10.2f}" if stage in medians else " " * 10 for stage in (*STAGES, "all")]
        ratio = f"{statistics.median(ratios):>8.2f} ×" if name == "compiled" else ""
        print(f"  {'':<24}{name:<10}" + "".join(cells) + ratio, flush=True)


def _measure_reference(batches: Sequence[Sequence[Source]], bundle: Bundle) -> Figures:
    spent: dict[str, float] = defaultdict(float)
    with _timed(spent, "all"):
        for batch in batches:
            score_batch(batch, bundle, RECORD_BYTES_MAX, _stopwatch(spent))
    return _per_record(spent, batches)


def _measure_compiled(batches: Sequence[Sequence[Source]], bundle: Bundle) -> Figures:
    spent: dict[str, float] = defaultdict(float)
    assert bundle.engine is not None, "opened with the compiled engine"
    for batch in batches:
        with _timed(spent, "all"):
            scores = score_batch(batch, bundle, RECORD_BYTES_MAX)
        assert scores.by_engine == len(batch), "the engine decides all of these applications"
        values = [record.value() for record in batch]
        source = engine.Source(
            batch[0].topic(), [record.partition() for record in batch], [record.offset() for record in batch]
        )
        with _timed(spent, "decode"):
            rows = bundle.engine.decode(values, RECORD_BYTES_MAX)
        assert rows is not None, "the engine does not fail"
        with _timed(spent, "encode"):
            bundle.engine.encode(rows, scores.probabilities, source)
    spent["predict"] = spent["all"] - spent["decode"] - spent["encode"]
    return _per_record(spent, batches)


def _per_record(spent: Mapping[str, float], batches: Sequence[Sequence[Source]]) -> Figures:
    records = sum(map(len, batches))
    return {stage: seconds / records * 1e6 for stage, seconds in spent.items()}


@contextmanager
def _timed(spent: dict[str, float], stage: str) -> Iterator[None]:
    began = time.process_time()
    yield
    spent[stage] += time.process_time() - began


def _stopwatch(spent: dict[str, float]) -> Callable[[str], None]:
    began = time.process_time()

    def record(stage: str) -> None:
        nonlocal began
        now = time.process_time()
        spent[stage] += now - began
        began = now

    return record


def with_trees(bundle: Bundle, records: Sequence[Source], trees: int) -> Bundle:
    """Returns the bundle with a model of `trees` trees of depth 3, trained to predict what its own model predicts."""
    matrix = bundle.encoding.matrix(bundle.decoder.decode_batch([r.content for r in records], RECORD_BYTES_MAX).columns)
    drawn = np.random.default_rng(1).random(len(matrix)) < bundle.model.predict(matrix)
    model = train(matrix, drawn, trees, _DEPTH)
    return dataclasses.replace(bundle, model=model, golden_probabilities=model.predict(bundle.golden_matrix))


def padded(records: Sequence[Source], size: int) -> list[Source]:
    """Returns the records with an additional field that makes them about `size` bytes long."""
    notes = [json.dumps({"note": "n" * max(size - len(r.content) - 11, 0)}).encode() for r in records]
    return [Source(r.content[:-1] + b"," + note[1:], r.number) for r, note in zip(records, notes, strict=True)]


def crafted() -> dict[str, bytes]:
    """Returns values of nearly `RECORD_BYTES_MAX`, the slowest to decode that a search has found."""
    plain = next(course_applications()).value[:-1]
    long = b',"long":' + b"9" * 4_400
    heads = {
        "application": plain + b',"z":[',
        "and long integer": plain + long + b',"z":[',
        "fields missing": b'{"z":[',
        "field of array": b'{"age":[',
    }
    units = {"strings": b'"",', "integers": b"1,", "floats": b"1e300,", "objects": b"{},", "nested": b"[[]],"}
    return {
        f"{head}, {name}": start + unit * ((RECORD_BYTES_MAX - len(start) - 9) // len(unit)) + unit[:-1] + b"]}"
        for head, start in heads.items()
        for name, unit in units.items()
    }


def decode_ms(decoder: Decoder, value: bytes, rounds: int) -> float:
    """Measures the milliseconds to decode a value."""
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        decoder.decode(value, RECORD_BYTES_MAX)
        least = min(least, time.process_time() - began)
    return least * 1e3


def compare_contracts(course: Engines, records: int, rounds: int) -> None:
    """Prints the tables by contract and batch size."""
    bundles: dict[str, tuple[Engines, Iterator[Application], Sequence[int]]] = {
        "course": (course, course_applications(), (1, 10, 100, 1_000, 5_000, 20_000))
    }
    data = find_data()
    if data is None:
        print(f"  German credit is left out: {DATA} is not set")
    else:
        bundles["German credit"] = (open_both(german_bundle(data)), german_applications(data), (1, 5_000, 20_000))
    bundles["150 fields"] = (open_both(wide_bundle()), wide_applications(), (1, 5_000, 20_000))
    for name, (engines, applications, sizes) in bundles.items():
        sources = as_records(applications, records)
        mean_bytes = statistics.mean(len(source.content) for source in sources)
        print_head(f"{name}, {mean_bytes:,.0f} bytes")
        for size in sizes:
            print(f"    batches of {size:,}")
            compare(sources, engines, size, rounds)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bundle = BundleStore(Settings().store).open(BUNDLE)
    try:
        course = open_both(bundle)
    except EngineUnusedError as error:
        parser.exit(1, f"{error}\n")
    records = as_records(course_applications(), options.records)
    reduce_garbage_collection()
    print(f"µs of CPU per record, medians of {options.rounds} rounds; ratio: Python engine to compiled engine")
    compare_contracts(course, options.records, options.rounds)
    print_head("trees, course")
    for trees in (1_000, 5_000):
        print(f"    {trees:,}")
        compare(records, open_both(with_trees(bundle, records[:3_000], trees)), _DEFAULT_BATCH, options.rounds)
    print_head("bytes/record, course")
    for size in (250, 1_000, 10_000):
        print(f"    {size:,}")
        compare(padded(records, size), course, _DEFAULT_BATCH, options.rounds)
    print("  ms to decode a crafted record of 64 kB with the Python engine, and the same cut off")
    for name, value in crafted().items():
        whole, cut = (decode_ms(bundle.decoder, content, options.rounds) for content in (value, value[:-1]))
        print(f"  {name:<32}{whole:>10.2f}{cut:>9.2f}")


def print_head(head: str) -> None:
    """Prints the header of a table."""
    print(f"  {head:<34}" + "".join(f"{cell:>10}" for cell in (*STAGES, "all", "ratio")))


if __name__ == "__main__":
    main()
