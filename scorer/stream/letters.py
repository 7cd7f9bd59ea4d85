"""Makes the dead letter of a rejected record: a copy of the record if the topic accepts it, else a pointer to it.

A rejection never fails: a record too large to copy stays where it is, and the dead letter names its position.
"""

import hashlib
from datetime import datetime
from typing import Final, NamedTuple

from schemas import rejection
from schemas.decision import BundleReference
from schemas.record_headers import Headers
from scorer.core.slow_decode import Rejection
from scorer.stream.worker import Record

# Larger records are not copied: neither the broker nor this process should have to hold them twice.
COPIED_BYTES_MAX: Final = 16_777_216
# A pointer keeps the key, by which a publisher finds its record, unless the key itself is too large.
_POINTER_KEY_BYTES_MAX: Final = 4_096
# A rejection's reason names fields; there may be many.
_REASON_CHARACTERS_MAX: Final = 2_000


class DeadLetterRecord(NamedTuple):
    """A record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def dead_letter(
    record: Record, rejected: Rejection, headers: Headers, bundle: BundleReference, at: datetime, bytes_max: int
) -> DeadLetterRecord:
    """Makes the dead letter of a record.

    Args:
        record: the rejected record.
        rejected: why it was rejected.
        headers: the record's headers, and those that a replay adds.
        bundle: the current bundle.
        at: the current time, in UTC.
        bytes_max: maximum size of a record (key, value and headers) that is copied, in bytes.

    Returns:
        The record's key, value and headers, followed by the rejection's headers; or, if they are larger than
        `bytes_max`, a pointer without the value and the record's headers.
    """
    key = record.key()
    own_bytes = len(record) + len(key or b"") + sum(len(name) + len(raw or b"") for name, raw in headers)
    added = {
        rejection.CODE_HEADER: rejected.code.value,
        rejection.REASON_HEADER: rejected.reason[:_REASON_CHARACTERS_MAX],
        rejection.TOPIC_HEADER: record.topic(),
        rejection.PARTITION_HEADER: str(record.partition()),
        rejection.OFFSET_HEADER: str(record.offset()),
        rejection.TIMESTAMP_HEADER: str(record.timestamp()[1]),
        rejection.BUNDLE_HEADER: str(bundle),
        rejection.AT_HEADER: at.isoformat(timespec="milliseconds"),
    }
    if own_bytes <= min(bytes_max, COPIED_BYTES_MAX):
        return DeadLetterRecord(key, record.value(), [*headers, *_encoded(added)])
    added[rejection.POINTER_HEADER] = f"{record.topic()}:{record.partition()}:{record.offset()}"
    if rejected.code is not rejection.RejectionCode.UNREADABLE:
        added[rejection.VALUE_BYTES_HEADER] = str(len(record))
    if len(record) <= COPIED_BYTES_MAX:
        added[rejection.VALUE_SHA256_HEADER] = hashlib.sha256(record.value() or b"").hexdigest()
    return DeadLetterRecord(key if len(key or b"") <= _POINTER_KEY_BYTES_MAX else None, None, _encoded(added))


def _encoded(added: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name, text.encode()) for name, text in added.items()]
