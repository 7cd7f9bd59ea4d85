"""Generates an endless stream of applications, reproducible by seed and fast enough for load tests of a cluster."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from producer.invalid import Spoiler
from producer.population import draw_applicants
from schemas.contracts import shipped_contract
from schemas.rejection import RejectionCode

# Applicants are drawn in blocks: large enough for numpy to pay off, small enough that a block takes well under a
# millisecond and does not delay a load test. A different block size gives different applications for the same seed.
_BLOCK: Final = 512


class GeneratedRecord(NamedTuple):
    """A generated record for the input topic.

    Attributes:
        key: the application's id in UTF-8.
        value: the application as JSON, or an invalid value.
        code: the code with which the scorer rejects it; None if it is valid.
    """

    key: bytes
    value: bytes
    code: RejectionCode | None


def generate_applications(
    seed: int, prefix: str | None = None, invalid_share: float = 0.0
) -> Iterator[GeneratedRecord]:
    """Generates applications, without end.

    Args:
        seed: the random seed; the same seed, prefix and share give the same records.
        prefix: the ids are `prefix-0`, `prefix-1` and so on; default: `load-SEED`. Loads that must not share ids need
            different prefixes.
        invalid_share: the share of invalid records, 0 to 1, spread over the rejection codes that a record can cause.

    Raises:
        ValueError: `invalid_share` is not from 0 to 1, or the prefix is too long for ids of at most 64 characters.
    """
    prefix = f"load-{seed}" if prefix is None else prefix
    if not 0 <= invalid_share <= 1:
        raise ValueError("invalid_share must be from 0 to 1")
    if len(prefix) > 48 or not prefix.isascii() or not prefix.isprintable() or set(prefix) & {'"', "\\"}:
        raise ValueError("the prefix must be at most 48 printable ASCII characters without quotes and backslashes")
    return _generate(np.random.default_rng(seed), prefix, invalid_share)


def _generate(random: np.random.Generator, prefix: str, invalid_share: float) -> Iterator[GeneratedRecord]:
    spoiler = Spoiler(shipped_contract())
    start = 0
    while True:
        is_invalid = random.random(_BLOCK) < invalid_share
        for invalid, (key, value) in zip(is_invalid.tolist(), _write_block(random, prefix, start), strict=True):
            result = spoiler.make_invalid(value, random) if invalid else (value, None)
            yield GeneratedRecord(key, *result)
        start += _BLOCK


def _write_block(random: np.random.Generator, prefix: str, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Draws a block of applicants, and yields keys and JSON values with the fields in the contract's order."""
    columns = draw_applicants(random, _BLOCK)
    names = ",".join(
        f'"{name}":"%s"' if column.dtype.kind == "U" else f'"{name}":%s' for name, column in columns.items()
    )
    template = f'{{"application_id":"{prefix.replace("%", "%%")}-%d",{names}}}'
    written = [column.tolist() for column in columns.values()]
    for name in ("income", "assets", "debt"):
        column = written[list(columns).index(name)]
        for unknown in np.flatnonzero(columns[name] < 0):
            column[unknown] = "null"
    for number, row in enumerate(zip(*written, strict=True), start):
        yield b"%b-%d" % (prefix.encode(), number), (template % (number, *row)).encode()
