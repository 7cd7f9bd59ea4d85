"""Draws values of records from a contract alone, the same ones each time: to compare the two engines.

Most are valid: each field has one of its extreme or ordinary values, is null or absent. Some have unusual values, other
properties or space; some are damaged.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Final

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_examples import invalid_records
from schemas.made_up import bounds_of, example_of

_SEED: Final = 1
_FIELD_VALUES_MAX: Final = 400_000  # which two engines read in about a second
_UNUSUAL: Final = 0.1  # share of the records in which some field has a value that is rarely valid
_DAMAGED: Final = 0.05  # share of the records that lose a byte
_CATEGORIES_MAX: Final = 200  # values of one category that are drawn
_ABSENT: Final = ""
_DATES: Final = ("1970-01-01", "2000-02-29", "2030-12-31", "1899-12-31", "9999-12-31")
_TIMES: Final = ("T12:00:00Z", "t23:59:59.123456789z", "T00:00:00+02:00", "T06:30:00.5-11:30")
_UNUSUAL_TEXTS: Final = (
    "null", "true", "[]", "{}", "-1", "0", "-0.0", "1e400", "123456789012345678", "0.1234567890123456789", '"x"', '""',
    '"\\u0061"', '"2023-02-29"', "nul",
)  # fmt: skip
_OTHER_PROPERTIES: Final = (
    '"branch":"north"',
    '"tags":["web",{"a":[null,-1.5e-7,"\\u00e9\\ud83d\\ude00:"]}]',
    '"é":{}',
)
_SPACES: Final = ("", "", "", " ", "\r\n\t")


def draw_values(contract: Contract, count: int) -> list[bytes]:
    """Returns `count` values of records, fewer of a contract with hundreds of fields, and the invalid examples."""
    count = min(count, _FIELD_VALUES_MAX // len(contract.fields))
    random = Random(_SEED)  # noqa: S311  (not a secret)
    texts = _draw_objects(random, contract.application, count, unusual=_UNUSUAL / len(contract.fields))
    values = [_damage(random, text.encode()) for text in texts]
    return values + [example.value for example in invalid_records(contract) if example.value is not None]


def _damage(random: Random, value: bytes) -> bytes:
    if random.random() >= _DAMAGED:
        return value
    at = random.randrange(len(value))
    return value[:at] + value[at + 1 :]


def _draw_objects(random: Random, group: ContractObject, count: int, unusual: float) -> list[str]:
    """Draws an object's texts, one member at a time: contracts have up to 1,000 fields."""
    members = [_draw_members(random, member, count, unusual) for member in group.members]
    spaces = random.choices(_SPACES, k=count)
    objects = []
    for texts, space in zip(zip(*members, strict=True), spaces, strict=True):
        present = [text for text in texts if text]
        if space:
            present.append(random.choice(_OTHER_PROPERTIES))
            random.shuffle(present)
        objects.append(f"{space}{{{space}{f'{space},{space}'.join(present)}{space}}}{space}")
    return objects


def _draw_members(random: Random, member: ContractField | ContractObject, count: int, unusual: float) -> list[str]:
    """Draws `"name":value` for each of the records; empty where the member is absent."""
    if isinstance(member, ContractObject):
        texts = _draw_objects(random, member, count, unusual)
    else:
        texts = random.choices(list(_texts_of(random, member)), k=count)
    name = json.dumps(member.path[-1], ensure_ascii=False)
    pairs = [f"{name}:{text}" for text in texts]
    if not member.required or member.nullable:
        for row in range(count):
            choice = random.random()
            if not member.required and choice < 0.1:
                pairs[row] = _ABSENT
            elif member.nullable and choice < 0.2:
                pairs[row] = f"{name}:null"
    for row in random.choices(range(count), k=round(count * unusual)):
        pairs[row] = f"{name}:{random.choice(_UNUSUAL_TEXTS)}"
    return pairs


def _texts_of(random: Random, field: ContractField) -> Iterator[str]:
    """Yields valid values of a field as JSON."""
    for value in (example_of(field), *field.unknown):
        yield json.dumps(value, ensure_ascii=False)
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            yield from map(json.dumps, _numbers_of(random, field))
        case Kind.BOOLEAN:
            yield from ("true", "false")
        case Kind.CATEGORY:
            for value in random.sample(field.categories, min(len(field.categories), _CATEGORIES_MAX)):
                yield json.dumps(value, ensure_ascii=False)
        case Kind.DATE:
            yield from (json.dumps(date) for date in _DATES)
        case Kind.DATE_TIME:
            yield from (json.dumps(f"{date}{time}") for date in _DATES for time in _TIMES)
        case Kind.TEXT:
            length = max(1, field.length_min)
            yield from (json.dumps(character * length, ensure_ascii=False) for character in "x:é收")


def _numbers_of(random: Random, field: ContractField) -> Iterator[float]:
    low, high = bounds_of(field)
    for number in (low, high, *(random.uniform(low, high) for _ in range(20))):
        if field.kind is Kind.INTEGER:
            yield int(number)
        else:
            yield from (number, min(max(round(number, 2), low), high))
