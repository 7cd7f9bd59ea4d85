"""Scores records with both engines, and compares the results byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import numpy as np

from scorer.bundle.engine import compile_engine
from scorer.core.reasons import NONE
from scorer.core.records import Record
from scorer.core.score import Bundle, Scores, score_batch
from tests.equality.records import RecordWriter

BYTES_MAX: Final = 8_192
_BATCHES: Final = (1, 2, 15, 16, 17, 100, 511, 512, 513, 1_000, 2_000)
_RECORDS_PER_WRITER: Final = 10_000  # after so many, other texts are drawn


@dataclass(frozen=True, slots=True)
class DrawnRecord:
    """A record as the core sees it."""

    body: bytes | None
    number: int

    def __len__(self) -> int:
        return len(self.body or b"")

    def topic(self) -> str:
        return "credit.applications"

    def partition(self) -> int:
        return self.number % 3

    def offset(self) -> int:
        return self.number * 1_000_003

    def value(self) -> bytes | None:
        return self.body


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many records were compared, how many of them are decided, and how many of these have reasons."""

    records: int
    decided: int
    explained: int
    by_engine: int
    """How many the compiled engine decided."""


def compare(bundle: Bundle, random: Random, count: int) -> Comparison:
    """Compares drawn records in batches of any size.

    Raises:
        AssertionError: a result differs; the message has the record.
    """
    compiled = replace(bundle, engine=compile_engine(bundle))
    done = decided = explained = by_engine = 0
    writer_ends = 0
    while done < count:
        if done >= writer_ends:
            writer, writer_ends = RecordWriter(random, bundle.decoder.contract), done + _RECORDS_PER_WRITER
        size = min(random.choice(_BATCHES), count - done)
        records: list[Record] = [DrawnRecord(value, done + i) for i, value in enumerate(writer.write(size))]
        compared = compare_records(bundle, compiled, records)
        done, decided = done + size, decided + compared.decided
        explained, by_engine = explained + compared.explained, by_engine + compared.by_engine
    return Comparison(count, decided, explained, by_engine)


def compare_records(bundle: Bundle, compiled: Bundle, records: Sequence[Record]) -> Comparison:
    """Compares the results of records."""
    with np.errstate(over="ignore"):  # a derived number that is too large for the matrix
        expected, actual = (score_batch(records, one, BYTES_MAX) for one in (bundle, compiled))
    assert not actual.engine_failed, [record.value() for record in records]
    if expected.results != actual.results:
        for record, first, second in zip(records, expected.results, actual.results, strict=True):
            assert first == second, (record.value(), first, second)
    assert expected.probabilities.tobytes() == actual.probabilities.tobytes()
    assert expected.decided.tobytes() == actual.decided.tobytes()
    assert expected.rules.tobytes() == actual.rules.tobytes()
    assert (expected.decided.dtype, expected.rules.dtype) == (actual.decided.dtype, actual.rules.dtype)
    explained = _compare_reasons(bundle, expected, actual)
    return Comparison(len(records), len(expected.decided), explained, actual.by_engine)


def _compare_reasons(bundle: Bundle, expected: Scores, actual: Scores) -> int:
    """Each decision that is not APPROVED has one to four reasons, and others have none; returns how many have some."""
    if bundle.explainer is None:
        assert expected.reasons is None
        assert actual.reasons is None
        return 0
    assert expected.reasons is not None
    assert actual.reasons is not None
    assert expected.reasons.tolist() == actual.reasons.tolist()
    assert ((expected.reasons[:, 0] == NONE) == (expected.decided == 0)).all()
    return int(np.count_nonzero(expected.decided))
