"""The rejection: why a record cannot be decided, and the headers that say so on the dead-letter topic.

A dead letter keeps the original key, value and headers unchanged, so that it can be requeued after the fault is fixed.
For a record that is too large to be copied, or cannot be read, the dead letter is a pointer to it.
"""

from enum import StrEnum

# Headers that a dead letter has in addition to the record's own. Reasons name fields and rules, never values.
CODE_HEADER = "dlq.code"
REASON_HEADER = "dlq.reason"
TOPIC_HEADER = "dlq.topic"
PARTITION_HEADER = "dlq.partition"
OFFSET_HEADER = "dlq.offset"
TIMESTAMP_HEADER = "dlq.timestamp"  # of the original record, milliseconds since 1970
BUNDLE_HEADER = "dlq.bundle"  # name:version@digest of the bundle that was current
AT_HEADER = "dlq.at"  # when it was rejected, ISO 8601 in UTC

# A record that the dead-letter topic does not accept, or that cannot be read, is not copied: its dead letter is a
# pointer, without the value and the record's own headers, and has these additional headers.
POINTER_HEADER = "dlq.pointer"  # topic:partition:offset of the original
VALUE_BYTES_HEADER = "dlq.value-bytes"  # size of the original's value, if it can be read
VALUE_SHA256_HEADER = "dlq.value-sha256"  # of the original's value, in hexadecimal, if it can be read

# A dead letter that was requeued to the input topic has a mark after it: a record without a value, in the dead letter's
# own partition, written in the transaction of the requeued record. To count dead letters, count records with
# CODE_HEADER, which marks do not have.
REQUEUED_HEADER = "dlq.requeued"  # the dead letter's offset
ACTOR_HEADER = "dlq.actor"  # who requeued it
MARK_HEADERS = (REQUEUED_HEADER, ACTOR_HEADER, AT_HEADER)
# Header of a requeued record, in addition to its original ones: topic:partition:offset of the dead letter.
REQUEUED_FROM_HEADER = "requeued-from"

DEAD_LETTER_HEADERS = (
    CODE_HEADER, REASON_HEADER, TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER, TIMESTAMP_HEADER, BUNDLE_HEADER,
    AT_HEADER,
)  # fmt: skip


class RejectionCode(StrEnum):
    """Why a record cannot be decided: a closed list. The first code that applies is given, in the fields' order."""

    UNREADABLE = "unreadable"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_CATEGORY = "unknown_category"
    MODEL_ERROR = "model_error"


MEANINGS = {
    RejectionCode.UNREADABLE: "The record's batch is corrupt (wrong checksum), or too large after decompression.",
    RejectionCode.EMPTY: "The value is empty or a tombstone.",
    RejectionCode.TOO_LARGE: "The value has more bytes than `record_bytes_max`.",
    RejectionCode.NOT_UTF8: "The value is not UTF-8.",
    RejectionCode.NOT_JSON: "The value is not JSON (NaN and Infinity are not), nests too deep, or gives a field twice.",
    RejectionCode.NOT_AN_OBJECT: "The value is JSON but not an object.",
    RejectionCode.MISSING_FIELD: "A required field is missing.",
    RejectionCode.WRONG_TYPE: "A field has the wrong JSON type, such as a string or a boolean for a number, or null.",
    RejectionCode.OUT_OF_RANGE: "A number or the length of a string is outside the field's limits.",
    RejectionCode.UNKNOWN_CATEGORY: "A category that the field does not have; letter case counts.",
    RejectionCode.MODEL_ERROR: "The record is valid but the model fails on it; requeue it after the model is fixed.",
}
