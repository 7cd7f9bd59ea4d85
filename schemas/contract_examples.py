"""Examples of a contract: valid applications, and one invalid record per rejection code that can apply to it."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from schemas.contract import Contract, ContractField, Kind
from schemas.defects import Defect, find_defects, replace_value
from schemas.files import dump_application
from schemas.made_up import example_of, nest_values
from schemas.rejection import RejectionCode
from schemas.topics import RECORD_BYTES_DEFAULT
from schemas.validation import find_faults

_UNICODE_ID: Final = "Ærø-申请-\N{GRINNING FACE}"
_OWN_FIELDS: Final = {"branch": "north", "tags": ["web"]}


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


def plain_application(contract: Contract) -> dict[str, Any]:
    """Returns the application with the first example of every field, or another valid value of fields without one."""
    return nest_values(contract, _plain_values(contract))


def valid_applications(contract: Contract) -> dict[str, dict[str, Any]]:
    """Returns valid applications, by the name of their file; those that the contract does not allow are left out."""
    plain = _plain_values(contract)
    id_name = contract.id_field.name
    values = {
        "plain": plain,
        "unknown-values": _with_unknown_values(contract, plain) | {id_name: _count_up(plain[id_name], 1)},
        "unicode-id": plain | {id_name: _UNICODE_ID},
    }
    applications = {name: nest_values(contract, example) for name, example in values.items()}
    own = {name: value for name, value in _OWN_FIELDS.items() if name not in applications["plain"]}
    if own:
        applications["fields-of-your-own"] = (
            nest_values(contract, plain | {id_name: _count_up(plain[id_name], 3)}) | own
        )
    return {
        name: application
        for name, application in applications.items()
        if not find_faults(contract, application) and (name == "plain" or application != applications["plain"])
    }


def _plain_values(contract: Contract) -> dict[str, Any]:
    return {name: example_of(field) for name, field in contract.fields.items()}


def _with_unknown_values(contract: Contract, plain: dict[str, Any]) -> dict[str, Any]:
    """Returns the values with null or no value where that is valid; where both are, they alternate."""
    values = dict(plain)
    nullable = 0
    for name, field in contract.fields.items():
        if field.nullable:
            nullable += 1
        if field.nullable and not (nullable % 2 == 0 and not field.required):
            values[name] = None
        elif not field.required:
            del values[name]
    return values


def _count_up(application_id: str, step: int) -> str:
    """The id with a higher number at its end; the same id without a number."""
    return re.sub("[0-9]+$", lambda number: str(int(number[0]) + step).zfill(len(number[0])), application_id)


def invalid_records(contract: Contract) -> tuple[Invalid, ...]:
    """Returns one record per code that can apply to the contract, in the order in which the codes are checked."""
    plain = plain_application(contract)
    value = dump_application(plain, contract) + b"\n"
    categories = (field for field in contract.fields.values() if field.kind is Kind.CATEGORY and example_of(field))
    text = json.dumps(example_of(next(categories, contract.id_field)), ensure_ascii=False).encode()
    not_utf8 = value.replace(text, text[:-1] + b'\xff"', 1)
    return (
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
        _in_file(RejectionCode.NOT_UTF8, "bin", not_utf8, f"the value is not UTF-8: see byte {not_utf8.index(0xFF)}"),
        _in_file(
            RejectionCode.NOT_JSON,
            "bin",
            _with_nan(contract, plain),
            "the value is not JSON: NaN is not a JSON number",
        ),
        _in_file(
            RejectionCode.NOT_AN_OBJECT,
            "json",
            json.dumps([plain], ensure_ascii=False, separators=(",", ":")).encode() + b"\n",
            "the value is JSON but not an object",
        ),
        *_with_invalid_fields(contract, plain),
        Invalid(
            RejectionCode.MODEL_ERROR,
            "the record is valid; the model fails on it",
            None,
            how_to_make="no value alone causes this: the record is valid, but the bundle's model failed on it",
        ),
    )


def _in_file(code: RejectionCode, suffix: str, value: bytes, reason: str) -> Invalid:
    return Invalid(code, reason, f"{code}.{suffix}", value)


def _with_nan(contract: Contract, plain: dict[str, Any]) -> bytes:
    """The application with NaN, which is not JSON, as a number that can be unknown, or else as the id."""
    field = next(filter(_is_unknown_number, contract.fields.values()), contract.id_field)
    changed = replace_value(plain, field.path, math.nan)
    return json.dumps(changed, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _with_invalid_fields(contract: Contract, plain: dict[str, Any]) -> Iterator[Invalid]:
    """Yields a record per code of invalid fields; the one with an unknown category has a second fault, if possible."""
    chosen = {code: _choose(contract, code, defects) for code, defects in find_defects(contract).items()}
    for code, defect in chosen.items():
        application = defect.apply(plain)
        if code is RejectionCode.UNKNOWN_CATEGORY:
            second = chosen[RejectionCode.OUT_OF_RANGE].apply(application)
            if find_faults(contract, second)[0].code is code:
                application = second
        value = dump_application(application, contract) + b"\n"
        reason = "; ".join(f"{fault.name}: {fault.rule}" for fault in find_faults(contract, application))
        yield _in_file(code, "json", value, reason)


def _choose(contract: Contract, code: RejectionCode, defects: tuple[Defect, ...]) -> Defect:
    """Returns the defect that readers understand at once.

    That is text for a number that can be unknown, or a number below a minimum above zero, or that number's absence;
    without such fields, the first defect of a field other than the id.
    """
    is_typical = _is_unknown_number if code is RejectionCode.WRONG_TYPE else _has_minimum
    typical = [defect for defect in defects if is_typical(defect.field)]
    others = [defect for defect in defects if defect.field is not contract.id_field]
    return (typical or others or defects)[0]


def _is_unknown_number(field: ContractField) -> bool:
    return field.kind.is_numeric and field.nullable


def _has_minimum(field: ContractField) -> bool:
    return field.kind.is_numeric and field.required and field.limits.minimum > 0
