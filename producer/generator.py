"""Made-up applications without end, fast enough to load a cluster, the same ones for the same seed."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from producer.population import draw_applicants
from producer.spoil import spoil
from schemas.rejection import RejectionCode

# Applicants are drawn so many at a time: enough to make numpy worth it, few enough that a block takes well under a
# millisecond, which a load on the clock would feel. Part of what a seed means: another number gives other applications.
_BLOCK: Final = 512


class GeneratedRecord(NamedTuple):
    """A record for the input topic.

    Attributes:
        key: the application's id in UTF-8.
        value: the application as JSON, or what `bad_share` made of it.
        code: why a scorer rejects it; None if it is sound.
    """

    key: bytes
    value: bytes
    code: RejectionCode | None


def generate_applications(seed: int, prefix: str | None = None, bad_share: float = 0.0) -> Iterator[GeneratedRecord]:
    """Makes applications up, without end.

    Args:
        seed: the same seed, prefix and share give the same records.
        prefix: the ids are `prefix-0`, `prefix-1` and so on; `load-SEED` if not given. Loads that must not share ids
            need prefixes of their own.
        bad_share: the share of records, 0 to 1, that are made unsound, evenly over all the ways there are.

    Raises:
        ValueError: `bad_share` is no share, or the prefix leaves no room for a number in an id of 64 characters.
    """
    prefix = f"load-{seed}" if prefix is None else prefix
    if not 0 <= bad_share <= 1:
        raise ValueError("bad_share must be from 0 to 1")
    if len(prefix) > 48 or not prefix.isascii() or not prefix.isprintable() or set(prefix) & {'"', "\\"}:
        raise ValueError("the prefix must be at most 48 printable ASCII characters without quotes and backslashes")
    return _generate(np.random.default_rng(seed), prefix, bad_share)


def _generate(random: np.random.Generator, prefix: str, bad_share: float) -> Iterator[GeneratedRecord]:
    start = 0
    while True:
        spoiled = random.random(_BLOCK) < bad_share
        for bad, (key, value) in zip(spoiled.tolist(), _write_block(random, prefix, start), strict=True):
            yield GeneratedRecord(key, *spoil(value, random)) if bad else GeneratedRecord(key, value, None)
        start += _BLOCK


def _write_block(random: np.random.Generator, prefix: str, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Draws a block of applicants and writes them, lazily, as JSON in the contract's order, which is the columns'."""
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
