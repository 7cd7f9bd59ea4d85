"""The examples of the form: valid applications, and one invalid application per code that can apply to it."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas.contract import Contract
from schemas.contract_examples import invalid_records, valid_applications
from schemas.defects import ABSENT, replace_value
from schemas.made_up import example_of
from schemas.validation import find_faults

_TITLES: Final = {
    "plain": "every field",
    "unknown-values": "unknown values",
    "fields-of-your-own": "with fields of your own",
}


class FormExample(NamedTuple):
    """An application to fill the form with.

    Attributes:
        title: which one it is.
        text: the application without its id, as indented JSON.
        code: the rejection code that it gets; "" if it is valid.
        reason: the reason that it is rejected for.
    """

    title: str
    text: str
    code: str
    reason: str


def make_examples(contract: Contract) -> list[FormExample]:
    """Makes the examples of a contract, valid ones first."""
    valid = valid_applications(contract)
    titles: dict[str, str] = {}  # by text: some differ in their id only
    for name, title in _TITLES.items():
        if name in valid:
            titles.setdefault(_text(contract, valid[name]), title)
    examples = [FormExample(title, text, "", "") for text, title in titles.items()]
    for record in invalid_records(contract):
        application = None if record.value is None else _read(record.value)
        if application is None:
            continue
        # As it is published: a fault of the id is gone, because every try gets one.
        faults = find_faults(contract, replace_value(application, contract.id_path, example_of(contract.id_field)))
        if faults and faults[0].code is record.code:
            reason = "; ".join(f"{fault.name}: {fault.rule}" for fault in faults)
            examples.append(FormExample(record.code.value, _text(contract, application), record.code.value, reason))
    return examples


def _read(value: bytes) -> dict[str, Any] | None:
    """The application in a record's value; None if it is something else."""
    try:
        application = json.loads(value, parse_constant=_reject_constant)
    except ValueError:
        return None
    return application if isinstance(application, dict) else None


def _reject_constant(name: str) -> None:
    raise ValueError(name)


def _text(contract: Contract, application: Mapping[str, Any]) -> str:
    return json.dumps(replace_value(application, contract.id_path, ABSENT), indent=2, ensure_ascii=False)
