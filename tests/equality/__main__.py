"""`make equality`: compares both engines on many drawn bundles; a difference is reported with the seed to repeat it."""

import argparse
import faulthandler
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from scorer.core.engine import IS_INSTALLED
from tests.equality.bundles import draw_bundle
from tests.equality.compare import Comparison, compare
from tests.equality.models import KINDS, ModelKind

_FIELDS_MAX = 15  # of a contract with more, fewer records are drawn


@dataclass(slots=True)
class Summary:
    """What was compared. `main` writes it after each bundle."""

    records: Counter[str] = field(default_factory=Counter)
    """By the kind of the model."""
    models: Counter[str] = field(default_factory=Counter)
    """Likewise."""
    decided: int = 0
    explained: int = 0
    by_engine: int = 0
    differing_seeds: list[int] = field(default_factory=list)

    def add(self, kind: ModelKind, result: Comparison) -> None:
        """Adds a bundle without a difference."""
        self.models[str(kind)] += 1
        self.records[str(kind)] += result.records
        self.decided += result.decided
        self.explained += result.explained
        self.by_engine += result.by_engine

    def text(self) -> str:
        """All figures; the Python engine rejects all that are not decided."""
        total = self.records.total()
        kinds = [f"  {self.models[kind]} x {kind}: {records:,} records\n" for kind, records in self.records.items()]
        return (
            f"{total:,} records of {self.models.total()} contracts, with models of {len(self.models)} kinds:\n"
            f"{''.join(kinds)}"
            f"decided: {self.decided:,}, {self.by_engine:,} of these by the compiled engine, "
            f"{self.decided - self.by_engine:,} by the Python engine; rejected: {total - self.decided:,}\n"
            f"decisions with reasons: {self.explained:,}\n"
            f"bundles with a difference: {len(self.differing_seeds)}"
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
    summary, seed, started_at = Summary(), options.seed, time.monotonic()
    share = -(-options.records // options.bundles)
    while summary.records.total() < options.records and len(summary.differing_seeds) < options.bundles:
        _compare_bundle(summary, seed, share)
        print(
            f"  {summary.records.total():,} of {options.records:,} in {time.monotonic() - started_at:.0f} s", flush=True
        )
        seed += 1
    print(summary.text())
    for differing in summary.differing_seeds:
        print(f"to repeat: make equality RECORDS={share} BUNDLES=1 SEED={differing}")
    return int(bool(summary.differing_seeds))


def _compare_bundle(summary: Summary, seed: int, share: int) -> None:
    """Compares one bundle, which its seed determines."""
    random, kind = Random(seed), KINDS[seed % len(KINDS)]
    bundle = draw_bundle(random, kind)
    fields, columns = len(bundle.decoder.contract.fields), len(bundle.encoding.columns)
    print(f"seed {seed}: {kind}, {fields} fields, {columns} columns", flush=True)
    try:
        result = compare(bundle, random, share * min(_FIELDS_MAX, fields) // fields)
    except AssertionError:
        traceback.print_exc(file=sys.stdout)
        summary.differing_seeds.append(seed)
    else:
        summary.add(kind, result)


if __name__ == "__main__":
    sys.exit(main())
