"""One application put together from `field=value` texts and the contract's example."""

import json
import math
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from producer.errors import InvalidApplicationError, MisuseError
from producer.validation import describe_field, is_number_field, validate_application
from schemas.application import CreditApplication
from schemas.files import dump_application

_EXAMPLE: Final = {name: (field.examples or [None])[0] for name, field in CreditApplication.model_fields.items()}


class Trial(NamedTuple):
    """An application to try.

    Attributes:
        application: the contract's fields by name.
        defaulted: the part of them that was not given, without the id, which is new each time.
    """

    application: dict[str, object]
    defaulted: dict[str, object]


def make_trial(assignments: Sequence[str]) -> Trial:
    """Puts an application together.

    Args:
        assignments: texts like `age=25`; `null` is no value, where the field allows that.

    Raises:
        MisuseError: lists every assignment that names no field of the contract, repeats one or has a value of another
            type, and all the fields.
    """
    pairs = [assignment.partition("=") for assignment in assignments]
    wrong = [f"{name}: there is no such field" for name, _, _ in pairs if name not in _EXAMPLE]
    wrong += [f"{name}: write {name}=VALUE" for name, equals, _ in pairs if name in _EXAMPLE and not equals]
    names = [name for name, _, _ in pairs]
    wrong += [f"{name}: is given twice" for name in _EXAMPLE if names.count(name) > 1]
    given = {name: _read(name, text) for name, equals, text in pairs if name in _EXAMPLE and equals}
    application = {**_EXAMPLE, "application_id": f"try-{secrets.token_hex(4)}", **given}
    try:
        validate_application(dump_application(application))
    except InvalidApplicationError as error:
        wrong += [f"{fault.field}: takes {describe_field(fault.field)}" for fault in error.faults]
    except ValueError:
        wrong.append("a text is not UTF-8")
    if wrong:
        raise MisuseError("\n  ".join(["this is no application:", *wrong]) + f"\n\n{field_table()}")
    return Trial(application, {n: v for n, v in _EXAMPLE.items() if n not in given and n != "application_id"})


def field_table() -> str:
    """The contract's fields, what they take, and the example's values, as lines of text."""
    rows = [(name, describe_field(name), json.dumps(_EXAMPLE[name])) for name in _EXAMPLE]
    width, wide = max(len(name) for name, _, _ in rows), max(len(takes) for _, takes, _ in rows)
    head = f"{'field':{width}}  {'takes':{wide}}  example"
    return "\n".join([head, *(f"{name:{width}}  {takes:{wide}}  {example}" for name, takes, example in rows)])


def _read(name: str, text: str) -> object:
    """What JSON makes of the text where the field holds numbers; all else stays text, for the contract to judge."""
    if not is_number_field(name):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
