"""`make equality`: compares both engines on many drawn bundles; a difference is reported with the seed to repeat it.

Each bundle gets an equal share of the records, but a limited CPU time: a record of the largest models costs a hundred
times as much as one of the smallest. What a bundle leaves is shared out among the bundles after it.
"""

import argparse
import faulthandler
import gc
import math
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from scorer.bundle.runners import GuardedModel
from scorer.core.engine import IS_INSTALLED
from scorer.core.score import Bundle
from scorer.process import reduce_garbage_collection
from tests.equality.bundles import draw_bundle
from tests.equality.compare import Comparison, DifferenceError, compare
from tests.equality.models import KINDS, ModelKind, measure

_CPU_S: Final = 10.0  # per bundle, enough for 100,000 records of most


@dataclass(slots=True)
class Summary:
    """What was compared. `main` writes it after each bundle."""

    by_kind: defaultdict[str, Comparison] = field(default_factory=lambda: defaultdict(Comparison))
    """By the kind of the model."""
    models: Counter[str] = field(default_factory=Counter)
    """Likewise."""
    contracts: set[str] = field(default_factory=set)
    """Their digests."""
    sizes: set[tuple[int, int]] = field(default_factory=set)
    """Of the models whose trees are the compiled engine's: the number of trees, and the greatest depth."""
    differences: dict[int, int] = field(default_factory=dict)
    """By the bundle's seed, the number of its records to repeat the difference."""

    @property
    def records(self) -> int:
        """The number of records, without those of bundles with a difference."""
        return sum(compared.records for compared in self.by_kind.values())

    def add(self, kind: ModelKind, bundle: Bundle, compared: Comparison) -> None:
        """Adds a bundle without a difference."""
        self.models[str(kind)] += 1
        self.by_kind[str(kind)] += compared
        self.contracts.add(bundle.decoder.contract.sha256)

    def text(self) -> str:
        """All figures; the Python engine rejects all that are not decided."""
        total = sum(self.by_kind.values(), Comparison())
        kinds = [f"  {self.models[kind]} x {kind}: {one.records:,} records\n" for kind, one in self.by_kind.items()]
        trees, depths = zip(*self.sizes, strict=True) if self.sizes else ((0,), (0,))
        return (
            f"{total.records:,} records of {self.models.total()} bundles with {len(self.contracts)} contracts, and "
            f"with models of {len(self.models)} kinds:\n"
            f"{''.join(kinds)}"
            f"trees in the compiled engine: models of {min(trees):,} to {max(trees):,} trees, depths {min(depths)} to "
            f"{max(depths)}\n"
            f"valid: {total.valid:,}; invalid: {total.records - total.valid - total.damaged:,}; mutated bytes: "
            f"{total.damaged:,}, {total.damaged_valid:,} of these valid nevertheless\n"
            f"decided: {total.decided:,}, with reasons {total.explained:,}; rejected: "
            f"{total.records - total.decided:,}\n"
            f"decided by the compiled engine: {total.by_engine:,}; left to the Python engine: "
            f"{total.decided - total.by_engine:,} decisions and all rejections\n"
            f"bundles with a difference: {len(self.differences)}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares bundle after bundle until there are enough records; returns 1 if a result differed."""
    parser = argparse.ArgumentParser(prog="make equality")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many records to compare")
    parser.add_argument("--bundles", type=int, default=len(KINDS), help="of at least how many bundles")
    parser.add_argument("--seed", type=int, default=1, help="the first bundle's seed; each other one has the next")
    options = parser.parse_args(arguments)
    if not IS_INSTALLED:
        parser.error("the compiled engine is not installed: make setup needs cargo")
    faulthandler.enable()
    reduce_garbage_collection()
    summary, seed, started_at = Summary(), options.seed, time.monotonic()
    cpu_s = _CPU_S if options.bundles > 1 else math.inf
    while (left := options.records - summary.records) and len(summary.differences) < options.bundles:
        bundles_left = options.bundles - (seed - options.seed)
        _compare_bundle(summary, seed, -(-left // max(1, bundles_left)), cpu_s)
        print(f"  {summary.records:,} of {options.records:,} in {time.monotonic() - started_at:.0f} s", flush=True)
        seed += 1
        gc.collect()
    print(summary.text())
    for differing, count in summary.differences.items():
        print(f"to repeat: make equality RECORDS={count} BUNDLES=1 SEED={differing}")
    return int(bool(summary.differences))


def _compare_bundle(summary: Summary, seed: int, count: int, cpu_s: float) -> None:
    """Compares one bundle, which its seed determines."""
    random, kind = Random(seed), KINDS[seed % len(KINDS)]
    begin_s = time.process_time()
    bundle = draw_bundle(random, kind)
    size = _measure(bundle)
    drawn_s = time.process_time()
    fields, columns = len(bundle.decoder.contract.fields), len(bundle.encoding.columns)
    shape = f"{size[0]} trees, depth {size[1]}" if size else "trees that the engine does not have"
    print(f"seed {seed}: {kind}; {shape}; {fields} fields, {columns} columns", flush=True)
    try:
        compared = compare(bundle, random, count, cpu_s)
    except DifferenceError as error:
        traceback.print_exc(file=sys.stdout)
        summary.differences[seed] = error.records
    else:
        summary.add(kind, bundle, compared)
        summary.sizes.update([size] if size else [])
        compared_s = time.process_time() - drawn_s
        print(f"  {compared.records:,} records; CPU: bundle {drawn_s - begin_s:.1f} s, records {compared_s:.1f} s")


def _measure(bundle: Bundle) -> tuple[int, int] | None:
    """The number and depth of the trees that the compiled engine has; None if the library predicts."""
    is_explained_by_library = bundle.explainer is not None and bundle.explainer.tables is None
    trees = None if is_explained_by_library or not isinstance(bundle.model, GuardedModel) else bundle.model.trees()
    return None if trees is None else measure(trees)


if __name__ == "__main__":
    sys.exit(main())
