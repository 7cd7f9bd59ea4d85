"""The records that a batch's results become: decisions with their trace headers, and dead letters."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from schemas.decision import TRACE_HEADERS
from schemas.record_headers import Headers
from scorer.core.encode import id_of
from scorer.core.score import Scores
from scorer.core.slow_decode import Rejection
from scorer.stream.letters import dead_letter
from scorer.stream.worker import Record

# Maximum size of the trace headers copied to a decision; identifiers have some hundred bytes (W3C Trace Context).
_TRACE_BYTES_MAX: Final = 8_192
# A decision has its application's key. A key that is longer than any id is replaced by the application's id.
_KEY_BYTES_MAX: Final = 65_536


class Outputs(NamedTuple):
    """The output topics, and the maximum size of their records, in bytes."""

    decisions_topic: str
    dead_letters_topic: str
    decision_bytes_max: int
    dead_letter_bytes_max: int


class OutputRecords(NamedTuple):
    """The n records of a batch's n results, in order: of each, the topic, value, key and headers (None without any)."""

    topics: list[str]
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: list[Headers | None]


def output_records(
    records: Sequence[Record],
    scores: Scores,
    headers: Sequence[Headers],
    added: Sequence[Headers] | None,
    outputs: Outputs,
    copied_bytes_max: int,
) -> OutputRecords:
    """Makes the output records of a batch; all are decisions at first, and rejected ones become dead letters.

    Args:
        records: n records.
        scores: their results.
        headers: their headers.
        added: n further headers for the results; None if there are none.
        outputs: the output topics.
        copied_bytes_max: maximum size of a record that is copied into its dead letter, in bytes.
    """
    results = scores.results
    values = [result if type(result) is bytes else None for result in results]
    keys = [record.key() for record in records]
    output = OutputRecords([outputs.decisions_topic] * len(results), values, keys, [None] * len(results))
    for i in [i for i, key in enumerate(keys) if key is None or len(key) > _KEY_BYTES_MAX]:
        decision = values[i]
        if decision is not None:
            keys[i] = id_of(decision)
    if added is not None or any(headers):
        for i, own in enumerate(headers):
            copied = [*_trace(own), *(added[i] if added else ())]
            output.headers[i] = copied or None
    if None in values:
        for i, result in enumerate(results):
            if isinstance(result, Rejection):
                own = [*headers[i], *(added[i] if added else ())]
                letter = dead_letter(records[i], result, own, scores.bundle, datetime.now(UTC), copied_bytes_max)
                output.topics[i] = outputs.dead_letters_topic
                values[i], keys[i], output.headers[i] = letter.value, letter.key, letter.headers
    return output


def _trace(headers: Headers) -> Headers:
    """Returns the trace headers, which a decision copies from its record."""
    copied = [(name, value) for name, value in headers if name in TRACE_HEADERS]
    return copied if sum(len(value or b"") for _, value in copied) <= _TRACE_BYTES_MAX else []
