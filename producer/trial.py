"""Builds one application from `field=value` arguments and the contract's example."""

import json
import math
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from producer.errors import InvalidApplicationError, MisuseError
from producer.validation import validate_application
from schemas.contracts import shipped_contract
from schemas.fields import PROPERTIES, describe_field, rule_of
from schemas.files import dump_application

_EXAMPLE: Final = {name: schema["examples"][0] for name, schema in PROPERTIES.items()}


class Trial(NamedTuple):
    """An application to try.

    Attributes:
        application: the contract's fields by name.
        defaulted: the fields that were not given and have the example's values, without the id, which is generated.
    """

    application: dict[str, object]
    defaulted: dict[str, object]


def make_trial(assignments: Sequence[str]) -> Trial:
    """Builds an application.

    Args:
        assignments: arguments such as `age=25`; `null` means unknown, where the field allows it.

    Raises:
        MisuseError: lists every assignment with an unknown field, a duplicate field or an invalid value, and all
            fields of the contract.
    """
    pairs = [assignment.partition("=") for assignment in assignments]
    problems = [f"{name}: unknown field" for name, _, _ in pairs if name not in _EXAMPLE]
    problems += [f"{name}: write {name}=VALUE" for name, equals, _ in pairs if name in _EXAMPLE and not equals]
    names = [name for name, _, _ in pairs]
    problems += [f"{name}: given twice" for name in _EXAMPLE if names.count(name) > 1]
    assigned = {name: _read(name, text) for name, equals, text in pairs if name in _EXAMPLE and equals}
    application = {**_EXAMPLE, "application_id": f"try-{secrets.token_hex(4)}", **assigned}
    try:
        validate_application(dump_application(application, shipped_contract()))
    except InvalidApplicationError as error:
        problems += [f"{fault.field}: must be {describe_field(fault.field)}" for fault in error.faults]
    except ValueError:
        problems.append("a value is not UTF-8")
    if problems:
        raise MisuseError("\n  ".join(["invalid application:", *problems]) + f"\n\n{field_table()}")
    return Trial(application, {n: v for n, v in _EXAMPLE.items() if n not in assigned and n != "application_id"})


def field_table() -> str:
    """A table of the contract's fields, their values and examples, as text."""
    rows = [(name, describe_field(name), json.dumps(_EXAMPLE[name])) for name in _EXAMPLE]
    name_width, values_width = max(len(name) for name, _, _ in rows), max(len(values) for _, values, _ in rows)
    head = f"{'field':{name_width}}  {'values':{values_width}}  example"
    return "\n".join(
        [head, *(f"{name:{name_width}}  {values:{values_width}}  {example}" for name, values, example in rows)]
    )


def _read(name: str, text: str) -> object:
    """Parses the text as JSON if the field is a number; anything else stays text, for the contract to validate."""
    if rule_of(name)["type"] != "number":
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
