"""The rejection: why a record cannot be decided, and the headers that say so on the dead-letter topic.

A dead letter keeps the original key, value and headers untouched, so that it can be requeued once the fault is fixed.
A record that is too large to be copied, or cannot be read, is pointed to instead.
"""

from enum import StrEnum

# Headers that a dead letter has beside the record's own. Reasons name fields and rules, never values.
CODE_HEADER = "dlq.code"
REASON_HEADER = "dlq.reason"
TOPIC_HEADER = "dlq.topic"
PARTITION_HEADER = "dlq.partition"
OFFSET_HEADER = "dlq.offset"
TIMESTAMP_HEADER = "dlq.timestamp"  # the record's own, milliseconds since 1970
BUNDLE_HEADER = "dlq.bundle"  # name:version@digest of the bundle that was current
AT_HEADER = "dlq.at"  # when it was set aside, ISO 8601 in UTC

# A record that the dead-letter topic does not take, or that cannot be read, is left where it is: its dead letter is a
# pointer, without the value and the record's own headers, and has these headers too.
POINTER_HEADER = "dlq.pointer"  # topic:partition:offset of the original
VALUE_BYTES_HEADER = "dlq.value-bytes"  # how long the original's value is, where it can be read
VALUE_SHA256_HEADER = "dlq.value-sha256"  # of the original's value, in hexadecimal, where that was read
POINTER_HEADERS = (POINTER_HEADER, VALUE_BYTES_HEADER, VALUE_SHA256_HEADER)

# A dead letter that was put back onto the input topic has a mark behind it: a record without a value, in the dead
# letter's own partition, written in the transaction of the record that went back. Whoever counts dead letters counts
# records with CODE_HEADER, which marks have not.
REQUEUED_HEADER = "dlq.requeued"  # the dead letter's offset
ACTOR_HEADER = "dlq.actor"  # who put it back
MARK_HEADERS = (REQUEUED_HEADER, ACTOR_HEADER, AT_HEADER)
# What the record that went back has beside its original headers: topic:partition:offset of the dead letter.
REQUEUED_FROM_HEADER = "requeued-from"

DEAD_LETTER_HEADERS = (
    CODE_HEADER, REASON_HEADER, TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER, TIMESTAMP_HEADER, BUNDLE_HEADER,
    AT_HEADER,
)  # fmt: skip


class RejectionCode(StrEnum):
    """Why a record cannot be decided: a closed list. The first that applies is given, by fields in contract order."""

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
    RejectionCode.UNREADABLE: "The record's batch is damaged (its checksum), or too large once decompressed.",
    RejectionCode.EMPTY: "The value is empty or a tombstone.",
    RejectionCode.TOO_LARGE: "The value has more bytes than `record_bytes_max`.",
    RejectionCode.NOT_UTF8: "The value is not UTF-8.",
    RejectionCode.NOT_JSON: "The value is not JSON (NaN and Infinity are not), nests too deep, or gives a field twice.",
    RejectionCode.NOT_AN_OBJECT: "The value is JSON but no object.",
    RejectionCode.MISSING_FIELD: "A field that must be there is not.",
    RejectionCode.WRONG_TYPE: "A field has the wrong JSON type, such as a string or a boolean for a number, or null.",
    RejectionCode.OUT_OF_RANGE: "A number or the length of a string is outside the field's limits.",
    RejectionCode.UNKNOWN_CATEGORY: "A category that the field does not know; letter case counts.",
    RejectionCode.MODEL_ERROR: "The record is sound and the model fails on it; requeue it once the model is mended.",
}
