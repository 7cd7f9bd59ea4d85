"""Measures the time per record of scoring, without Kafka, by stage.

`make bench-stages` runs it. Five tables: by batch size, model size, record size and contract, and for records of 64 kB
that were crafted to be slow. Each figure is the minimum of several rounds over the same applications, to exclude other
load on the machine.
"""

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import xgboost

from benchmarks.wide import wide_bundle, wide_records
from producer.generator import generate_applications
from scorer.bundle.xgboost_runner import XGBoostModel
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.core.decode import Decoder
from scorer.core.score import Bundle, score_batch
from scorer.process import reduce_garbage_collection
from scorer.settings import Settings
from scorer.store.store import BundleStore

STAGES = ("decode", "features", "predict", "encode")
RECORDS = 20_000
ROUNDS = 5
RECORD_BYTES_MAX = 65_536


class Source(NamedTuple):
    """An application with the interface of a record."""

    content: bytes
    number: int

    def topic(self) -> str:
        return "applications"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes:
        return self.content


def draw_records(count: int) -> list[Source]:
    """Returns the first applications of the generator, the same ones each time."""
    return [Source(r.value, number) for number, r in enumerate(islice(generate_applications(seed=1), count))]


def draw_wide_records(count: int) -> list[Source]:
    """Returns the first applications of the wide contract, the same ones each time."""
    return [Source(r.value, number) for number, r in enumerate(islice(wide_records(), count))]


def measure(records: Sequence[Source], bundle: Bundle, batch_records: int) -> dict[str, float]:
    """Measures microseconds per record, by stage."""
    minima: dict[str, float] = defaultdict(lambda: float("inf"))
    for _ in range(ROUNDS):
        spent: dict[str, float] = defaultdict(float)
        for start in range(0, len(records), batch_records):
            score_batch(records[start : start + batch_records], bundle, RECORD_BYTES_MAX, _stopwatch(spent))
        for stage, seconds in spent.items():
            minima[stage] = min(minima[stage], seconds / len(records) * 1e6)
    return dict(minima)


def _stopwatch(spent: dict[str, float]) -> Callable[[str], None]:
    began = time.perf_counter()

    def record(stage: str) -> None:
        nonlocal began
        now = time.perf_counter()
        spent[stage] += now - began
        began = now

    return record


def with_trees(bundle: Bundle, records: Sequence[Source], trees: int) -> Bundle:
    """Returns the bundle with a model of `trees` trees of depth 3, trained to predict what its own model predicts."""
    matrix = bundle.encoding.matrix(bundle.decoder.decode_batch([r.content for r in records], RECORD_BYTES_MAX).columns)
    drawn = np.random.default_rng(1).random(len(matrix)) < bundle.model.predict(matrix)
    parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.01, "nthread": 1, "seed": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(matrix, drawn.astype(np.float32)), trees)
    return dataclasses.replace(bundle, model=XGBoostModel(booster))


def padded(records: Sequence[Source], size: int) -> list[Source]:
    """Returns the records with an additional field that makes them about `size` bytes long."""
    notes = [json.dumps({"note": "n" * max(size - len(r.content) - 11, 0)}).encode() for r in records]
    return [Source(r.content[:-1] + b"," + note[1:], r.number) for r, note in zip(records, notes, strict=True)]


def crafted() -> dict[str, bytes]:
    """Returns values of nearly `RECORD_BYTES_MAX`, the slowest to decode that a search has found."""
    plain = draw_records(1)[0].content[:-1]
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


def decode_ms(decoder: Decoder, value: bytes) -> float:
    """Measures the milliseconds to decode a value."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        decoder.decode(value, RECORD_BYTES_MAX)
        least = min(least, time.perf_counter() - began)
    return least * 1e3


def main() -> None:
    """Prints the five tables."""
    bundle = BundleStore(Settings().store).open(DEFAULT_BUNDLE)
    records = draw_records(RECORDS)
    reduce_garbage_collection()
    print(f"µs per record; {DEFAULT_BUNDLE}, {len(records[0].content)} bytes per record; default: batches of 5,000")
    print_head("records/batch")
    for size in (1, 10, 100, 1_000, 5_000, 20_000):
        print_figures(f"{size:,}", measure(records[: 200 * size], bundle, size))
    print_head("trees")
    for trees in (175, 1_000, 5_000):
        print_figures(f"{trees:,}", measure(records, with_trees(bundle, records[:3_000], trees), 5_000))
    print_head("bytes/record")
    print_figures("unchanged", measure(records, bundle, 5_000))
    for size in (250, 1_000, 10_000):
        print_figures(f"{size:,}", measure(padded(records, size), bundle, 5_000))
    print_head("contract")
    print_figures("course", measure(records, bundle, 5_000))
    print_figures("wide", measure(draw_wide_records(RECORDS), wide_bundle(), 5_000))
    print("  ms for a crafted record of 64 kB, decode, cut off")
    for name, value in crafted().items():
        print(f"  {name:<32}{decode_ms(bundle.decoder, value):>10.2f}{decode_ms(bundle.decoder, value[:-1]):>9.2f}")


def print_head(head: str) -> None:
    """Prints the header of a table."""
    print(f"  {head:<16}" + "".join(f"{cell:>10}" for cell in (*STAGES, "all")))


def print_figures(head: str, figures: dict[str, float]) -> None:
    """Prints a row of microseconds, with their sum."""
    print(f"  {head:<16}" + "".join(f"{figures[stage]:>10.2f}" for stage in STAGES) + f"{sum(figures.values()):>10.2f}")


if __name__ == "__main__":
    main()
