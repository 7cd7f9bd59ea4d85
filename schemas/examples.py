"""Examples: valid applications, a decision, a deployment, and one invalid record per rejection code."""

import json
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.deployment import DeploymentEvent
from schemas.files import dump_application
from schemas.rejection import RejectionCode
from schemas.topics import RECORD_BYTES_DEFAULT


def _values(model: type[BaseModel]) -> dict[str, Any]:
    """The first example of every field that has examples."""
    return {name: field.examples[0] for name, field in model.model_fields.items() if field.examples}


BUNDLE: Final = BundleReference(**_values(BundleReference))
DECISION: Final = Decision(**_values(Decision), bundle=BUNDLE, source=RecordReference(**_values(RecordReference)))
DEPLOYMENT: Final = DeploymentEvent(
    event_id="2026-01-31T09:30:00Z-7f3a",
    slot="champion",
    action="deploy",
    bundle=BUNDLE,
    previous=None,
    actor="ana@lender.example",
    reason="first deployment",
    at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
)

_PLAIN: Final = _values(CreditApplication)
APPLICATIONS: Final[dict[str, dict[str, Any]]] = {
    "plain": _PLAIN,
    # Null and absent mean the same; marital can only be absent.
    "unknown-values": {k: v for k, v in _PLAIN.items() if k not in ("marital", "assets")}
    | {"application_id": "a-1002", "income": None, "debt": None},
    "unicode-id": _PLAIN | {"application_id": "Ærø-申请-\N{GRINNING FACE}"},
    "fields-of-your-own": _PLAIN | {"application_id": "a-1004", "branch": "north", "tags": ["web"]},
}
"""Valid applications, by the name of their file."""


class Invalid(NamedTuple):
    """A record that is rejected.

    Attributes:
        code: its rejection code.
        reason: its reason, word for word.
        file: the file with its value, in the folder of the examples; None without a file.
        value: the value; None without a file.
        how_to_make: how to produce such a record without a file.
    """

    code: RejectionCode
    reason: str
    file: str | None
    value: bytes | None = None
    how_to_make: str | None = None


def _with(**wrong: object) -> bytes:
    return dump_application(_PLAIN | wrong, shipped_contract()) + b"\n"


def _in_file(code: RejectionCode, suffix: str, value: bytes, reason: str) -> Invalid:
    return Invalid(code, reason, f"{code}.{suffix}", value)


_NOT_UTF8: Final = _with().replace(b'"rent"', b'"rent\xff"')

INVALID: Final = (
    Invalid(
        RejectionCode.UNREADABLE,
        "the record's batch is damaged, or too large to be decompressed; it stays on its topic",
        None,
        how_to_make="no value alone causes this: the batch in which the record was sent cannot be read",
    ),
    _in_file(RejectionCode.EMPTY, "bin", b"", "the value is empty"),
    Invalid(
        RejectionCode.TOO_LARGE,
        f"the value has {RECORD_BYTES_DEFAULT + 1} bytes; at most {RECORD_BYTES_DEFAULT} are read",
        None,
        how_to_make="append spaces to a valid application until it has one byte more than record_bytes_max "
        f"({RECORD_BYTES_DEFAULT})",
    ),
    _in_file(RejectionCode.NOT_UTF8, "bin", _NOT_UTF8, f"the value is not UTF-8: see byte {_NOT_UTF8.index(0xFF)}"),
    _in_file(
        RejectionCode.NOT_JSON,
        "bin",
        _with().replace(b'"income":182', b'"income":NaN'),
        "the value is not JSON: NaN is not a JSON number",
    ),
    _in_file(
        RejectionCode.NOT_AN_OBJECT,
        "json",
        json.dumps([_PLAIN], separators=(",", ":")).encode() + b"\n",
        "the value is JSON but not an object",
    ),
    _in_file(
        RejectionCode.MISSING_FIELD,
        "json",
        dump_application({name: value for name, value in _PLAIN.items() if name != "age"}, shipped_contract()) + b"\n",
        "age: missing, a number from 18 to 120 is needed",
    ),
    _in_file(
        RejectionCode.WRONG_TYPE,
        "json",
        _with(income="182"),
        "income: wrong type, a number from 0 to 50000000 or null is needed",
    ),
    _in_file(RejectionCode.OUT_OF_RANGE, "json", _with(age=17), "age: out of range, a number from 18 to 120 is needed"),
    _in_file(
        RejectionCode.UNKNOWN_CATEGORY,
        "json",
        _with(home="RENT", age=17),
        "home: unknown category, one of rent, owner, private, ignore, parents, other, unk is needed (letter case "
        "counts); age: out of range, a number from 18 to 120 is needed",
    ),
    Invalid(
        RejectionCode.MODEL_ERROR,
        "the record is valid; the model fails on it",
        None,
        how_to_make="no value alone causes this: the record is valid, but the bundle's model failed on it",
    ),
)
"""One record per code, in the order in which the codes are checked."""
