"""Builds one application from `field=value` arguments and the contract's example."""

import json
import math
import secrets
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from textwrap import fill
from typing import NamedTuple

from producer.errors import InvalidApplicationError, MisuseError
from producer.validation import validate_application
from schemas.contract import Contract, ContractField, Kind
from schemas.field_rules import describe_field
from schemas.files import dump_application
from schemas.made_up import example_of, initial_values, nest_values


class Trial(NamedTuple):
    """An application to try.

    Attributes:
        application: the contract's fields by name.
        defaulted: the fields that were not given and have the example's values: neither the id, which is generated, nor
            optional fields that are a prohibited basis, which are not sent.
    """

    application: dict[str, object]
    defaulted: dict[str, object]


def make_trial(assignments: Sequence[str], contract: Contract) -> Trial:
    """Builds an application.

    Args:
        assignments: arguments such as `age=25`; `null` means unknown, where the field allows it.
        contract: the contract of the application.

    Raises:
        MisuseError: lists every assignment with an unknown field, a duplicate field or an invalid value.
    """
    fields = contract.fields
    example = initial_values(contract)
    id_name = contract.id_field.name
    pairs = [assignment.partition("=") for assignment in assignments]
    problems = [f"{name}: unknown field{_suggest(name, fields)}" for name, _, _ in pairs if name not in fields]
    problems += [f"{name}: write {name}=VALUE" for name, equals, _ in pairs if name in fields and not equals]
    names = [name for name, _, _ in pairs]
    problems += [f"{name}: given twice" for name in fields if names.count(name) > 1]
    assigned = {name: _read(fields[name], text) for name, equals, text in pairs if name in fields and equals}
    application = nest_values(contract, {**example, id_name: _new_id(contract.id_field), **assigned})
    try:
        validate_application(dump_application(application, contract), contract)
    except InvalidApplicationError as error:
        problems += [f"{fault.field}: must be {describe_field(fields[fault.field])}" for fault in error.faults]
    except ValueError:
        problems.append("a value is not UTF-8")
    if problems:
        raise MisuseError("\n  ".join(["invalid application:", *problems]) + "\nproducer try --fields lists the fields")
    return Trial(application, {n: v for n, v in example.items() if n not in assigned and n != id_name})


def _new_id(field: ContractField) -> str:
    """Returns a random id of a valid length."""
    text = f"try-{secrets.token_hex(4)}"
    if field.length_max is not None and len(text) > field.length_max:
        text = text[-field.length_max :]
    return text.ljust(field.length_min, "-")


def _suggest(name: str, fields: Iterable[str]) -> str:
    similar = get_close_matches(name, fields, n=1)
    return f"; did you mean {similar[0]}?" if similar else ""


def field_table(contract: Contract, width: int | None = None) -> str:
    """The contract's fields, their values and examples, as text.

    Args:
        contract: the contract.
        width: columns of the terminal; fields are below each other if the table is wider. None: always a table.
    """
    rows = [
        (name, describe_field(field), json.dumps(example_of(field), ensure_ascii=False))
        for name, field in contract.fields.items()
    ]
    if width is not None and max(len("  ".join(row)) for row in rows) > width:
        wrap = partial(fill, width=width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        return "\n".join(f"{name}\n{wrap(f'{values}; example: {example}')}" for name, values, example in rows)
    name_width, values_width = max(len(name) for name, _, _ in rows), max(len(values) for _, values, _ in rows)
    head = f"{'field':{name_width}}  {'values':{values_width}}  example"
    return "\n".join(
        [head, *(f"{name:{name_width}}  {values:{values_width}}  {example}" for name, values, example in rows)]
    )


def _read(field: ContractField, text: str) -> object:
    """Parses the text as JSON unless the field is a text; what is not JSON stays text, for the contract to validate."""
    if not field.kind.is_numeric and field.kind is not Kind.BOOLEAN and not (field.nullable and text == "null"):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
