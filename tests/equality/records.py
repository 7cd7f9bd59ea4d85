"""Draws values of records of a contract: valid ones in any spelling, invalid ones, and damaged bytes."""

import json
import math
from random import Random
from typing import Any, Final, NamedTuple

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_values import is_valid
from schemas.made_up import bounds_of

TOKENS: Final = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\n", b"\t", b"\x00", b"\x1f", b"\x7f", b"\xff",
    b"\xc0\x80",
    b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"null", b"true", b"false", b"NaN", b"Infinity",
    b"-", b"+", b"0", b"9", b".", b"e", b"1e5", b"1e400", b"-0", b"0.", b'"id":', b"\\u0061", b"\\ud800", b"\\udc00",
    b"\\ud83d\\ude00", b"\\q", b"\\/", b"[" * 101, b"]" * 101, b"9" * 40, b'"x":1,', b'"x":{"y":[1,{}]},', b"//",
)  # fmt: skip
_ODD_TEXTS: Final = (
    "null", "true", "false", '""', '"5"', "[]", "{}", "[5]", "0", "-1", "1e400", "-1e400", "1e-400", "1e-320", "17",
    "9" * 19, "9" * 400, "-0", "-0.0", "0.0", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", '"unk"', '"\\u0075nk"',
    '"\\ud800"', '"\\ud83d\\ude00"', '"\x01"', '"é"', '"2023-02-29"', '"2024-01-01T24:00:00Z"', "1e22", "1e23", "1E+22",
    "0.1e-22", "123456789012345678", "0.12345678901234567", "9007199254740993", "9007199254740993.0", "1e-22", "5e-324",
    '"2024-01-01T00:00:60Z"', '"2024-01-01t00:00:00z"', '"9999-12-31T23:59:59.9999999-23:59"', '"0001-01-01"',
    '"0001-01-01T00:00:00+23:59"', '"2024-01-01T00:00:00+24:00"', '"2024-01-01T00:00:00+01:60"',
)  # fmt: skip
_FOREIGN: Final = (
    '"branch":"north"', '"tags":["web",{"a":{"b":[null,true,-1.5e-7]}}]',
    '"note":"a \\"b\\" \\\\ \\u00e9 \\ud83d\\ude00:"',
    '"":{}', '"é":"é"', '"big":123456789012345678901234567890', '"f":0.30000000000000004', '"f":1', '"f":2',
    '"deep":[[[[[[[[[[[[]]]]]]]]]]]]', '"e":1E+5', '"tiny":1e-99', '"\\u0069d":"x"',
)  # fmt: skip
_SPACES: Final = ("", "", " ", "\n", "\t\r\n ")


class _Style(NamedTuple):
    """How a record is written: whether it may be invalid, have unusual values, and what space stands around tokens."""

    is_wild: bool
    is_odd: bool
    space: str


def draw_value(random: Random, contract: Contract) -> bytes | None:
    """Draws a value: about two thirds are valid."""
    choice = random.random()
    if choice < 0.005:
        return random.choice((None, b"", b"[]", b"{}", b" ", b'"x"', b"\xff"))
    space = random.choice(_SPACES) if random.random() < 0.3 else ""
    style = _Style(is_wild=choice < 0.15, is_odd=choice < 0.4, space=space)
    value = f"{space}{_write_object(random, contract.application, style)}{space}"
    raw = value.encode("utf-8", "surrogatepass")
    if random.random() < 0.15:
        for _ in range(random.randint(1, 3)):
            raw = _damage(random, raw)
    return raw


def _damage(random: Random, raw: bytes) -> bytes:
    at = random.randint(0, len(raw))
    removed = random.choice((0, 0, 1, 1, 2, 5, 20))
    inserted = random.choice((b"", random.choice(TOKENS), random.randbytes(random.randint(1, 3))))
    return raw[:at] + inserted + raw[at + removed :]


def _write_object(random: Random, group: ContractObject, style: _Style) -> str:
    members: list[str] = []
    space = style.space
    for member in group.members:
        if (not member.required and random.random() < 0.3) or (style.is_wild and random.random() < 0.02):
            continue
        name = _dump(random, member.path[-1], style)
        members.append(f"{name}{space}:{space}{_write_member(random, member, style)}")
        if style.is_wild and random.random() < 0.02:
            members.append(members[-1])
    if random.random() < 0.3:
        members += random.sample(_FOREIGN[: None if style.is_odd else -1], random.randint(1, 4))
    if random.random() < 0.3:
        random.shuffle(members)
    return f"{{{space}{f'{space},{space}'.join(members)}{space}}}"


def _dump(random: Random, value: object, style: _Style) -> str:
    return json.dumps(value, ensure_ascii=style.is_odd and random.random() < 0.2)


def _write_member(random: Random, member: ContractField | ContractObject, style: _Style) -> str:
    if style.is_wild and random.random() < 0.1:
        return random.choice(_ODD_TEXTS)
    if member.nullable and random.random() < 0.2:
        return "null"
    if isinstance(member, ContractObject):
        return _write_object(random, member, style)
    if member.kind.is_numeric:
        return _write_number(random, member, style)
    value = _draw_text(random, member)
    while not style.is_odd and isinstance(value, str) and set(value) & _ESCAPED and random.random() < 0.99:
        value = _draw_text(random, member)
    return _dump(random, value, style)


def _write_number(random: Random, field: ContractField, style: _Style) -> str:
    low, high = bounds_of(field)
    if not style.is_odd:
        low, high = max(low, min(high, -1e12)), min(high, max(low, 1e12))
    for _ in range(5):
        number = random.choice(
            (low, high, random.uniform(low, high), round(random.uniform(low, high), 2), math.nextafter(low, math.inf))
        )
        if field.unknown and random.random() < 0.2:
            number = float(random.choice(field.unknown))
        if field.kind is Kind.INTEGER:
            number = float(round(number))
        if is_valid(field, number):
            break
    if number.is_integer() and random.random() < 0.8:
        return str(int(number))
    forms = ("{!r}", "{:.17g}", "{:.17e}", "{:E}", "{:.6f}", "{:g}", "{:.15g}")
    return random.choice(forms).format(number) if style.is_odd else repr(number)


def _draw_text(random: Random, field: ContractField) -> Any:
    match field.kind:
        case Kind.BOOLEAN:
            return random.random() < 0.5
        case Kind.CATEGORY:
            return random.choice([*field.categories, *field.unknown])
        case Kind.DATE:
            return _draw_date(random)
        case Kind.DATE_TIME:
            return f"{_draw_date(random)}{random.choice('TTTt')}{_draw_time(random)}"
        case _:
            high = min(field.length_max if field.length_max is not None else 30, 30)
            low = min(field.length_min, high)
            length = random.choice((low, high, random.randint(low, high)))
            return "".join(random.choices('abcdeéß收\N{GRINNING FACE}0123456789-_/:, "\\\x7f', _WEIGHTS, k=length))


_ESCAPED: Final = frozenset('"\\\t')
_WEIGHTS: Final = [8, 8, 8, 8, 8, 1, 1, 1, 1, *([8] * 10), 3, 3, 1, 1, 1, 1, 0.02, 0.02, 0.1]


def _draw_date(random: Random) -> str:
    year = random.choice((1, 1600, 1900, 1969, 1970, 2000, 2024, 2255, 2256, 9999, random.randint(1900, 2100)))
    return f"{year:04}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _draw_time(random: Random) -> str:
    time = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    fraction = "" if random.random() < 0.5 else "." + "".join(random.choices("0123456789", k=random.randint(1, 9)))
    sign = random.choice("+-")
    offset = random.choice(("Z", "Z", "z", f"{sign}{random.randint(0, 23):02}:{random.randint(0, 59):02}"))
    return f"{time}{fraction}{offset}"
