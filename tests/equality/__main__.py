"""Compares both engines on many drawn bundles: `python -m tests.equality RECORDS BUNDLES [SEED]`."""

import sys
from random import Random

from tests.equality.bundles import ModelSize, draw_bundle
from tests.equality.compare import compare

_SIZES = (
    (1, 1),
    (1, 50),
    (2, 300),
    (3, 175),
    (3, 2_000),
    (4, 100),
    (5, 60),
    (6, 200),
    (7, 40),
    (8, 100),
    (10, 20),
    (10, 300),
)


def main(records: int, bundles: int, seed: int) -> None:
    """Prints a line per bundle; the first difference ends it with the record."""
    total = decided = by_engine = 0
    for number in range(bundles):
        random = Random(f"{seed}-{number}")
        depth, rounds = _SIZES[number % len(_SIZES)]
        bundle = draw_bundle(random, ModelSize(depth, rounds))
        result = compare(bundle, random, records // bundles)
        total, decided, by_engine = total + result.records, decided + result.decided, by_engine + result.by_engine
        sys.stdout.write(
            f"bundle {number}: depth {depth}, {rounds} rounds, {len(bundle.encoding.columns)} columns; "
            f"{total:,} records equal so far, {decided:,} decided, {by_engine:,} of these by the compiled engine\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
