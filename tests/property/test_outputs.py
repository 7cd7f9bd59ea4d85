"""Results as records for the output topics: a batch becomes what its records become one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.record_headers import read_all_headers
from schemas.rejection import AT_HEADER
from scorer.core.encode import id_of
from scorer.core.records import UnreadableRecord
from scorer.core.score import Result, score_batch
from scorer.core.slow_decode import Rejection
from scorer.stream.outputs import OutputRecords, Outputs, output_records
from scorer.stream.worker import Record
from tests.fakes import RECORD_BYTES_MAX, TOPIC, FakeRecord, Headers, application, tiny_bundle

law = settings.get_profile("laws")

BUNDLE: Final = tiny_bundle()
OUTPUTS: Final = Outputs("decisions", "dead-letters", 1_000_000, 1_000_000)
COPIED_BYTES_MAX: Final = 1_000
Written = tuple[str, bytes | None, bytes | None, Headers]
"""Topic, value, key and headers."""


@dataclass(frozen=True)
class RecordWithUnreadableHeaders(FakeRecord):
    """A record whose headers the client cannot decode."""

    def headers(self) -> Headers | None:
        raise SystemError("<method 'headers'> returned a result with an exception set")


def keys() -> st.SearchStrategy[bytes | None]:
    """Usual keys, none, an empty one, bytes that are not UTF-8, and one that is longer than an id may be."""
    return st.sampled_from([b"a-1", None, b"", b"\xff", b"k" * 70_000])


def some_headers() -> st.SearchStrategy[Headers]:
    """None, trace headers, others, repeated and null ones, and trace headers that are too large to be copied."""
    one = st.sampled_from(
        [
            ("traceparent", b"00-1"),
            ("tracestate", b"s=1"),
            ("own", b"\xff"),
            ("own", None),
            ("tracestate", b"t" * 9_000),
        ]
    )
    return st.one_of(st.just(()), st.lists(one, max_size=3).map(tuple))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record: valid, invalid, a tombstone, too large to be copied, with unreadable headers, or unreadable itself."""
    offset = draw(st.integers(0, 9))
    if draw(st.integers(0, 9)) == 0:
        return UnreadableRecord(TOPIC, 0, offset)
    kind = draw(st.sampled_from([FakeRecord, FakeRecord, FakeRecord, RecordWithUnreadableHeaders]))
    values = [application("a-1"), application("Zoë"), application("a-2", age=1), b"bad", None, b"x" * 2_000]
    return kind((draw(st.integers(0, 1)), offset), draw(st.sampled_from(values)), draw(keys()), draw(some_headers()))


def expected(record: Record, result: Result, added: Headers) -> Written:
    """What one record becomes."""
    try:
        own = record.headers() or ()
    except SystemError:
        own = ()
    if isinstance(result, Rejection):
        topic, value, key = OUTPUTS.dead_letters_topic, record.value(), record.key()
        headers: Headers = [*own, *added]
        size = len(record) + len(key or b"") + sum(len(name) + len(raw or b"") for name, raw in headers)
        if size > COPIED_BYTES_MAX:
            value, key, headers = None, key if len(key or b"") <= 4_096 else None, ()
        return topic, value, key, headers
    key = record.key()
    if key is None or len(key) > 65_536:
        key = id_of(result)
    traces = [(name, raw) for name, raw in own if name in {"traceparent", "tracestate"}]
    if sum(len(raw or b"") for _, raw in traces) > 8_192:
        traces = []
    return OUTPUTS.decisions_topic, result, key, [*traces, *added]


def written(output: OutputRecords, results: Sequence[Result]) -> list[Written]:
    """The output records; of dead letters without the headers of the rejection, which are the last ones."""
    rows: list[Written] = []
    for topic, value, key, headers, result in zip(*output, results, strict=True):
        own = [*(headers or ())]
        if isinstance(result, Rejection):
            names = [name for name, _ in own]
            assert dict(own)["dlq.code"] == result.code.value.encode()
            assert AT_HEADER in names
            own = own[: names.index("dlq.code")]
        rows.append((topic, value, key, own))
    return rows


@law
@given(st.lists(records(), max_size=6), st.booleans())
def test_a_batch_becomes_what_its_records_become(batch: list[Record], is_replay: bool) -> None:
    """Topic, value, key and headers of each record depend on it and its result alone, whatever else is in the batch.

    Batches mix records with and without headers, tombstones, headers and records that cannot be read.
    """
    scores = score_batch(batch, BUNDLE, RECORD_BYTES_MAX)
    added = [[("replay-id", b"%d" % i)] if i % 2 else [] for i in range(len(batch))] if is_replay else None
    headers, unreadable = read_all_headers(batch)
    output = output_records(batch, scores, headers, added, OUTPUTS, COPIED_BYTES_MAX)
    assert written(output, scores.results) == [
        (topic, value, key, [*own])
        for topic, value, key, own in (
            expected(record, result, added[i] if added else ())
            for i, (record, result) in enumerate(zip(batch, scores.results, strict=True))
        )
    ]
    assert unreadable == [i for i, record in enumerate(batch) if isinstance(record, RecordWithUnreadableHeaders)]


def test_a_record_s_headers_are_read_once() -> None:
    """Each record is asked once for its headers, also those after headers that cannot be read."""
    asked = []

    class Counting(FakeRecord):
        def headers(self) -> Headers | None:
            asked.append(self.offset())
            if self.offset() % 3 == 1:
                raise SystemError("<method 'headers'> returned a result with an exception set")
            return super().headers()

    batch = [Counting((0, offset), b"", None, [("own", b"%d" % offset)]) for offset in range(8)]
    headers, unreadable = read_all_headers(batch)
    assert asked == list(range(8))
    assert unreadable == [1, 4, 7]
    assert [len(own) for own in headers] == [1, 0, 1, 1, 0, 1, 1, 0]


def test_a_record_without_headers_has_none_in_the_output() -> None:
    """The producer is then given no headers, which takes less of its time."""
    batch = [FakeRecord((0, 0), application("a-1"), b"a-1")]
    scores = score_batch(batch, BUNDLE, RECORD_BYTES_MAX)
    output = output_records(batch, scores, [()], None, OUTPUTS, COPIED_BYTES_MAX)
    assert output == (["decisions"], scores.results, [b"a-1"], [None])
