"""Which decision on an application is current: what corrections supersede decides, and never the order of reading."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.replay.decisions import CurrentDecisions, DecisionTable
from tests.fakes import TOPIC, FakeRecord
from tests.unit.replay.test_decisions import decision

pytestmark = pytest.mark.slow

A, B, C = "1.0.1", "1.0.2", "1.0.3"
"""Versions of bundles that decide."""


class Written(NamedTuple):
    """A decision as it is written: which bundle's, which one it supersedes, by which replay, where and when."""

    bundle: str
    supersedes: str = ""
    replay: str = ""
    at: tuple[int, int] = (0, 0)
    at_ms: int = 0
    application: int = 7


def record(written: Written) -> FakeRecord:
    """Its record on the decisions topic."""
    headers = []
    if written.supersedes:
        earlier = f"{TOPIC}:0:{written.application}@{written.supersedes}"
        headers = [("replay-id", written.replay.encode()), ("supersedes", earlier.encode())]
    value = decision(0, written.application, version=written.bundle)
    return FakeRecord(written.at, value, record_headers=headers, timestamp_ms=written.at_ms, topic_name="decisions")


def read(decisions: Sequence[Written], since: datetime | None = None) -> CurrentDecisions:
    """What a reading in this order finds."""
    table = DecisionTable(TOPIC)
    for written in decisions:
        table.add([record(written)])
    return table.current(since)


def current(decisions: Sequence[Written]) -> str:
    """The bundle whose decision is current, of one application's decisions."""
    selection = read(decisions).selection
    (row,) = selection.rows
    return str(selection.bundles[row["bundle"]].version)


def spread(decisions: Sequence[Written], partitions: Sequence[int]) -> list[Written]:
    """The same, written one after another, each to one of these partitions."""
    return [
        written._replace(at=(partition, n), at_ms=1_000 + n)
        for n, (written, partition) in enumerate(zip(decisions, partitions, strict=True))
    ]


FIRST = Written(A)
HISTORIES = {
    "a correction": ([FIRST, Written(B, A, "r1")], B),
    "a chain of corrections": ([FIRST, Written(B, A, "r1"), Written(C, B, "r2")], C),
    "turned back to the first bundle": ([FIRST, Written(B, A, "r1"), Written(A, B, "r2")], A),
    "turned back and then again": ([FIRST, Written(B, A, "r1"), Written(A, B, "r2"), Written(B, A, "r3")], B),
    "turned back, then a third bundle": ([FIRST, Written(B, A, "r1"), Written(A, B, "r2"), Written(C, A, "r3")], C),
    "written twice": ([FIRST, Written(B, A, "r1"), FIRST], B),
    "a correction written twice": ([FIRST, Written(B, A, "r1"), Written(C, B, "r2"), Written(B, A, "r1")], C),
    "published again by a replay of all": ([FIRST, Written(B, A, "r1"), Written(B, B, "r2")], B),
    "all published again, then turned back twice": (
        [FIRST, Written(A, A, "r1"), Written(B, A, "r2"), Written(A, B, "r3"), Written(B, A, "r4")],
        B,
    ),
    "the first decision expired": ([Written(B, A, "r1"), Written(C, B, "r2")], C),
    "two replays with one bundle, then a third": (
        [FIRST, Written(B, A, "r1"), Written(B, A, "r2"), Written(C, B, "r3")],
        C,
    ),
}


@pytest.mark.parametrize(("decisions", "wanted"), HISTORIES.values(), ids=HISTORIES)
def test_current_whatever_the_order_of_reading(decisions: list[Written], wanted: str) -> None:
    """The decisions topic grew from 3 to 6 partitions between a decision and its correction.

    Which of the two was current then depended on which partition was read first: of 17 plans 15 selected nothing and
    two selected what had been corrected already. The result is the same for any order of reading, any partitions and
    any timestamps.
    """
    random = Random(1)
    for order in permutations(range(len(decisions))):
        partitions = [random.randrange(3) for _ in decisions]
        written = spread(decisions, partitions)
        assert current([written[index] for index in order]) == wanted
        without_times = [one._replace(at_ms=random.choice([0, -1, 5, 2**62])) for one in written]
        assert current([without_times[index] for index in order]) == wanted
        assert read(written).circular == 0


@pytest.mark.parametrize("partitions", [(0, 0, 0), (0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 1, 0)])
def test_of_several_the_one_written_last(partitions: tuple[int, int, int]) -> None:
    """Two replays at once supersede the same decision: the correction that was written later is current."""
    first, second, third = spread([FIRST, Written(B, A, "r1"), Written(C, A, "r2")], partitions)
    for order in permutations([first, second, third]):
        assert current(order) == C


def test_in_a_partition_the_highest_offset_was_written_last() -> None:
    """A clock that is behind does not bring back what the same partition holds before."""
    decisions = [
        FIRST._replace(at=(0, 1), at_ms=9_000),
        Written(B, at=(0, 2), at_ms=100),
        Written(C, at=(1, 1), at_ms=0),
    ]
    for order in permutations(decisions):
        assert current(order) == B


def test_a_circle_ends_and_is_counted() -> None:
    """Decisions that all supersede each other, forged or without their beginning: the last counts, and it is said."""
    for decisions in (
        [Written(B, A, "r1"), Written(A, B, "r2")],
        [Written(A, C, "r1"), Written(B, A, "r2"), Written(C, B, "r3")],
    ):
        written = spread(decisions, range(len(decisions)))
        for order in permutations(written):
            current_decisions = read(order)
            assert current_decisions.circular == 1
            assert current(order) == decisions[-1].bundle


def test_a_correction_of_an_unknown_decision() -> None:
    """An unknown id, an empty one, null, or another application's id supersedes nothing; the last written counts."""
    table = DecisionTable(TOPIC)
    other = f"{TOPIC}:0:8@{A}".encode()
    for n, header in enumerate([b"nobody", b"", None, b"\xff\xfe", other]):
        value = decision(0, 7, version=f"1.0.{n + 4}")
        headers = [("replay-id", b"r"), ("supersedes", header)]
        table.add([FakeRecord((n, 0), value, record_headers=headers, timestamp_ms=n, topic_name="decisions")])
    table.add([record(Written(A, application=8))])
    current = table.current()
    assert [current.selection.bundles[row["bundle"]].version for row in current.selection.rows] == ["1.0.8", A]
    assert (current.skipped.count, current.circular) == (0, 0)


def test_of_repeated_headers_the_last_one_counts() -> None:
    """A stranger's headers before the replay's change nothing."""
    first, correction = record(Written(A)), record(Written(B, A, "r1", at=(1, 0)))
    hostile = [("supersedes", b"forged"), ("supersedes", None), ("replay-id", b"x")]
    twice = FakeRecord(
        (1, 0), correction.body, record_headers=[*hostile, *correction.record_headers], topic_name="decisions"
    )
    for order in permutations([first, twice]):
        table = DecisionTable(TOPIC)
        for one in order:
            table.add([one])
        assert table.current().selection.rows["bundle"].tolist() == [0 if order[0] is twice else 1]


def test_since_leaves_out_what_was_written_before() -> None:
    """The current decision's own timestamp counts; what supersedes it is heeded whatever its timestamp says."""
    decisions = [
        Written(A, at=(0, 0), at_ms=5_000, application=1),
        Written(A, at=(0, 1), at_ms=1_000, application=2),
        Written(A, at=(0, 2), at_ms=5_000, application=3),
        Written(B, A, "r1", at=(1, 0), at_ms=1_000, application=3),
    ]
    selection = read(decisions, datetime.fromtimestamp(2, UTC)).selection
    assert selection.rows["offset"].tolist() == [1]


DECISIONS = st.builds(
    Written,
    st.sampled_from([A, B, C]),
    st.sampled_from(["", A, B, C, "unknown"]),
    st.sampled_from(["r1", "r2"]),
    st.tuples(st.integers(0, 2), st.integers(0, 5)),
    st.integers(0, 3),
    st.integers(7, 8),
)


@given(st.lists(DECISIONS, max_size=8, unique_by=lambda written: written.at), st.randoms())
def test_whatever_is_written_the_order_of_reading_changes_nothing(decisions: list[Written], random: Random) -> None:
    """Forged or not, each application has one current decision, the same one for every order of reading."""
    current = read(decisions)
    assert len(current.selection) == len({written.application for written in decisions})

    def named(of: CurrentDecisions) -> list[tuple[int, str, int]]:
        rows = of.selection.rows
        return [(r["offset"], of.selection.bundles[r["bundle"]].version, r["fingerprint"]) for r in rows]

    shuffled = random.sample(decisions, len(decisions))
    second = read(shuffled)
    assert named(second) == named(current)
    assert second.circular == current.circular
