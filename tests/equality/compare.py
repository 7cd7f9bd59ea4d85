"""Scores records with both engines, and compares the results byte for byte."""

import math
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from random import Random
from typing import Final

import numpy as np

from schemas.rejection import RejectionCode
from scorer.bundle.engine import compile_engine
from scorer.core.reasons import NONE
from scorer.core.score import Bundle, Result, Scores, score_batch
from tests.equality.records import RecordWriter

BYTES_MAX: Final = 8_192
_BATCHES: Final = (1, 2, 15, 16, 17, 100, 511, 512, 513, 1_000, 2_000)
_RECORDS_PER_WRITER: Final = 10_000  # after so many, other texts are drawn


@dataclass(frozen=True, slots=True)
class DrawnRecord:
    """A record as the core sees it; `is_damaged`: its bytes are mutated."""

    body: bytes | None
    number: int
    is_damaged: bool = False

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
    """How many records were compared, and what they were.

    Attributes:
        records: all of them.
        valid: those whose bytes are not damaged, and that are decided, or would be if the model did not fail.
        damaged: those whose bytes are damaged.
        damaged_valid: how many of these are valid nevertheless.
        decided: those that are decided, damaged or not.
        explained: how many decisions have reasons.
        by_engine: how many decisions are the compiled engine's.
    """

    records: int = 0
    valid: int = 0
    damaged: int = 0
    damaged_valid: int = 0
    decided: int = 0
    explained: int = 0
    by_engine: int = 0

    def __add__(self, other: "Comparison") -> "Comparison":
        """Adds what other records were."""
        return Comparison(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class DifferenceError(AssertionError):
    """A result differs; `records` is the number of records until the end of its batch."""

    def __init__(self, records: int) -> None:
        super().__init__(f"a result of the last batch of {records:,} records differs")
        self.records = records


def compare(bundle: Bundle, random: Random, count: int, cpu_s: float = math.inf) -> Comparison:
    """Compares drawn records in batches of any size.

    Args:
        bundle: the bundle, without an engine.
        random: determines the records: the first n are the same for every `count`.
        count: the number of records.
        cpu_s: after so many seconds of CPU time fewer are enough.

    Raises:
        DifferenceError: a result differs; the message of its cause has the record.
    """
    compiled = replace(bundle, engine=compile_engine(bundle))
    total, writer_ends = Comparison(), 0
    ends_at = time.process_time() + cpu_s
    while total.records < count and time.process_time() < ends_at:
        done = total.records
        if done >= writer_ends:
            writer, writer_ends = RecordWriter(random, bundle.decoder.contract), done + _RECORDS_PER_WRITER
        size = min(random.choice(_BATCHES), count - done)
        values = writer.write_marked(size)
        records = [DrawnRecord(value, done + i, is_damaged) for i, (value, is_damaged) in enumerate(values)]
        try:
            total += compare_records(bundle, compiled, records)
        except AssertionError as error:
            raise DifferenceError(done + size) from error
    return total


def compare_records(bundle: Bundle, compiled: Bundle, records: Sequence[DrawnRecord]) -> Comparison:
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
    valid = sum(map(_is_valid, expected.results))
    damaged = [result for record, result in zip(records, expected.results, strict=True) if record.is_damaged]
    damaged_valid = sum(map(_is_valid, damaged))
    return Comparison(
        len(records),
        valid - damaged_valid,
        len(damaged),
        damaged_valid,
        len(expected.decided),
        explained,
        actual.by_engine,
    )


def _is_valid(result: Result) -> bool:
    """Whether the record satisfies the contract; the model may fail on it."""
    return isinstance(result, bytes) or result.code is RejectionCode.MODEL_ERROR


def _compare_reasons(bundle: Bundle, expected: Scores, actual: Scores) -> int:
    """Each decision that is not APPROVED has one to four reasons, and others have none; returns how many have some."""
    if bundle.explainer is None:
        assert expected.reasons is None
        assert actual.reasons is None
        return 0
    assert expected.reasons is not None
    assert actual.reasons is not None
    assert np.array_equal(expected.reasons, actual.reasons)
    assert ((expected.reasons[:, 0] == NONE) == (expected.decided == 0)).all()
    return int(np.count_nonzero(expected.decided))
