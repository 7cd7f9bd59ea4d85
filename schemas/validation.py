"""Validates an application against a contract: exact, and with the reason for a rejection.

Values come from untrusted publishers, so the work is bounded: one check per field of the contract, whatever the value
contains besides.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_values import is_valid, read_number
from schemas.field_rules import describe_field
from schemas.rejection import RejectionCode
from schemas.strict_json import find_repeated


class Fault(NamedTuple):
    """What is wrong with a field, or with an object that contains fields: the code and the rule, without its value."""

    name: str
    code: RejectionCode
    rule: str


def find_faults(contract: Contract, application: Mapping[str, Any]) -> list[Fault]:
    """Returns what is wrong with an application, in the order of the contract's fields; nothing if it is valid.

    Args:
        contract: the contract.
        application: the object, as a JSON parser returns it.
    """
    faults: list[Fault] = []
    _add_faults(faults, contract.application, application)
    return faults


def _add_faults(faults: list[Fault], group: ContractObject, members: Mapping[str, Any]) -> None:
    for member in group.members:
        name = member.path[-1]
        if name not in members:
            if member.required:
                faults.append(_fault(member, RejectionCode.MISSING_FIELD))
        elif isinstance(member, ContractField):
            if not is_valid(member, members[name]):
                faults.append(_fault(member, _code_of(member, members[name])))
        elif isinstance(members[name], Mapping):
            _add_faults(faults, member, members[name])
        elif members[name] is not None or not member.nullable:
            faults.append(_fault(member, RejectionCode.WRONG_TYPE))


def find_repeated_members(contract: Contract, members: object) -> list[str]:
    """Returns the names of the contract's fields and objects that an application has more than once.

    Args:
        contract: the contract.
        members: the application, as `schemas.strict_json.parse_strictly` returns it.
    """
    return _repeated(contract.application, members)


def _repeated(group: ContractObject, members: object) -> list[str]:
    if not isinstance(members, tuple):
        return []
    names = find_repeated(members, [member.path[-1] for member in group.members])
    repeated = [".".join((*group.path, name)) for name in names]
    for name, value in members if group.objects else ():
        if name in group.objects:
            repeated += _repeated(group.objects[name], value)
    return repeated


def _code_of(field: ContractField, value: object) -> RejectionCode:
    if field.kind.is_numeric:
        number = read_number(value)
        is_whole = number is not None and (field.kind is Kind.NUMBER or math.isinf(number) or number.is_integer())
        return RejectionCode.OUT_OF_RANGE if is_whole else RejectionCode.WRONG_TYPE
    if field.kind is Kind.BOOLEAN or not isinstance(value, str):
        return RejectionCode.WRONG_TYPE
    if field.kind is Kind.CATEGORY:
        return RejectionCode.UNKNOWN_CATEGORY
    return RejectionCode.OUT_OF_RANGE if field.kind is Kind.TEXT else RejectionCode.WRONG_TYPE


@lru_cache(maxsize=4_096)
def _fault(member: ContractField | ContractObject, code: RejectionCode) -> Fault:
    kind = describe_field(member) if isinstance(member, ContractField) else "an object"
    match code:
        case RejectionCode.MISSING_FIELD:
            rule = f"missing, {kind} is needed"
        case RejectionCode.WRONG_TYPE:
            rule = f"wrong type, {kind} is needed"
        case RejectionCode.UNKNOWN_CATEGORY:
            rule = f"unknown category, {kind} is needed (letter case counts)"
        case _:
            rule = f"out of range, {kind} is needed"
    return Fault(".".join(member.path), code, rule)
