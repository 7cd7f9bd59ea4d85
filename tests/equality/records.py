"""Draws values of records of a contract: valid ones in any spelling, invalid ones, and damaged bytes.

A writer draws many texts for each field once, and each value has one of them: a value takes microseconds.
"""

import json
import math
from collections import Counter
from random import Random
from typing import Any, Final, NamedTuple

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_values import is_valid
from schemas.made_up import bounds_of
from tests.equality.spellings import (
    ODD_TEXTS,
    SPACES,
    damage,
    draw_huge_property,
    draw_number,
    draw_property,
    spell_text,
)

_TEXTS: Final = 100
_PROPERTIES: Final = 150
_HUGE: Final = 0.002  # share of the values with a property that is very long, or nested very deep
_DAMAGED: Final = 0.12
_FOREIGN: Final = (
    '"branch":"north"', '"tags":["web",{"a":{"b":[null,true,-1.5e-7]}}]',
    '"note":"a \\"b\\" \\\\ \\u00e9 \\ud83d\\ude00:"',
    '"":{}', '"é":"é"', '"big":123456789012345678901234567890', '"f":0.30000000000000004', '"f":1', '"f":2',
    '"deep":[[[[[[[[[[[[]]]]]]]]]]]]', '"e":1E+5', '"tiny":1e-99', '"twice":{"a":1,"a":2}',
)  # fmt: skip
_OTHERS: Final = (None, b"", b"[]", b"{}", b" ", b'"x"', b"\xff", b"null", b"5")


class _Style(NamedTuple):
    """How a value is written: whether it may be invalid, and whether it may have unusual texts."""

    is_wild: bool
    is_odd: bool


_STYLES: Final = (_Style(False, False), _Style(False, True), _Style(True, True))
_WEIGHTS: Final = (0.65, 0.2, 0.15)


class RecordWriter:
    """Writes values of one contract, about two thirds of them valid."""

    def __init__(self, random: Random, contract: Contract) -> None:
        """Draws the properties that contracts do not have; a field's texts are drawn when they are needed."""
        self._random = random
        self._contract = contract
        self._properties = [draw_property(random) for _ in range(_PROPERTIES)]
        self._texts: dict[tuple[tuple[str, ...], _Style], list[str]] = {}

    def write(self, count: int) -> list[bytes | None]:
        """Writes values in any order."""
        return [value for value, _ in self.write_marked(count)]

    def write_marked(self, count: int) -> list[tuple[bytes | None, bool]]:
        """Writes values in any order, each with whether its bytes are damaged."""
        random = self._random
        styles = Counter(random.choices(_STYLES, _WEIGHTS, k=count))
        texts = [t for style, n in styles.items() for t in self._write_objects(self._contract.application, style, n)]
        random.shuffle(texts)
        values: list[tuple[bytes | None, bool]] = []
        raw = b"{}"
        for text in texts:
            previous, raw = raw, text.encode("utf-8", "surrogatepass")
            choice = random.random()
            if choice < _DAMAGED:
                values.append((damage(random, raw, previous), True))
            elif choice < _DAMAGED + 0.002:
                values.append((random.choice(_OTHERS), False))
            else:
                values.append((raw, False))
        return values

    def _write_objects(self, group: ContractObject, style: _Style, count: int) -> list[str]:
        random = self._random
        members = [self._write_members(member, style, count) for member in group.members]
        foreign = [*_FOREIGN, *self._properties] if style.is_odd else _FOREIGN
        objects = []
        for texts in zip(*members, strict=True):
            choice = random.random()
            if choice > 0.5:
                objects.append(f"{{{','.join(filter(None, texts))}}}")
                continue
            present = [text for text in texts if text]
            space = random.choice(SPACES) if choice > 0.3 else ""
            if choice < 0.3:
                present += random.choices(foreign, k=random.choice((1, 1, 2, 4)))
            if choice < _HUGE and style.is_odd:
                present.append(draw_huge_property(random))
            if choice < 0.35:
                random.shuffle(present)
            objects.append(f"{space}{{{space}{f'{space},{space}'.join(present)}{space}}}{space}")
        return objects

    def _write_members(self, member: ContractField | ContractObject, style: _Style, count: int) -> list[str]:
        """Returns `count` names with a value; empty where the member is absent."""
        if isinstance(member, ContractObject):
            objects = self._write_objects(member, style, count)
            return [self._spell_member(member, style, text) for text in objects]
        key = (member.path, style)
        if key not in self._texts:
            drawn = (self._write_field(member, style) for _ in range(_TEXTS))
            self._texts[key] = [self._spell_member(member, style, text) for text in drawn]
        return self._random.choices(self._texts[key], k=count)

    def _spell_member(self, member: ContractField | ContractObject, style: _Style, text: str) -> str:
        random = self._random
        if (not member.required and random.random() < 0.3) or (style.is_wild and random.random() < 0.01):
            return ""
        name = _dump(random, member.path[-1], style)
        space = random.choice(SPACES) if random.random() < 0.1 else ""
        if member.nullable and random.random() < 0.2:
            text = "null"
        if style.is_wild and random.random() < 0.03:
            text = random.choice((*ODD_TEXTS, draw_number(random)))
        pair = f"{name}{space}:{space}{text}"
        is_repeated = style.is_wild and random.random() < 0.01
        return f"{pair},{name}:{random.choice((text, 'null'))}" if is_repeated else pair

    def _write_field(self, field: ContractField, style: _Style) -> str:
        random = self._random
        if field.kind.is_numeric:
            return _write_number(random, field, style)
        value = _draw_text(random, field)
        while not style.is_odd and isinstance(value, str) and set(value) & _ESCAPED and random.random() < 0.99:
            value = _draw_text(random, field)
        return _dump(random, value, style)


def _dump(random: Random, value: object, style: _Style) -> str:
    if style.is_odd and isinstance(value, str) and random.random() < 0.05:
        return spell_text(random, value)
    return json.dumps(value, ensure_ascii=False)


def _write_number(random: Random, field: ContractField, style: _Style) -> str:
    low, high = bounds_of(field)
    if not style.is_odd:
        low, high = max(low, min(high, -1e12)), min(high, max(low, 1e12))
    elif random.random() < 0.2:
        text = draw_number(random)
        if is_valid(field, float(text)):
            return text
    for _ in range(5):
        number = random.choice(
            (low, high, random.uniform(low, high), round(random.uniform(low, high), 2), random.uniform(low, high))
        )
        if style.is_odd and random.random() < 0.1:
            number = math.nextafter(low, math.inf)
        if field.unknown and random.random() < 0.2:
            number = float(random.choice(field.unknown))
        if field.kind is Kind.INTEGER:
            number = float(round(number))
        if is_valid(field, number):
            break
    if number.is_integer() and random.random() < 0.8:
        return str(int(number))
    forms = ("{!r}", "{:.17g}", "{:.17e}", "{:E}", "{:.6f}", "{:g}", "{:.15g}", "{:.25f}", "{:.16f}")
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
            longest = random.choice((30, 30, 300))
            high = min(field.length_max if field.length_max is not None else longest, longest)
            low = min(field.length_min, high)
            length = random.choice((low, high, random.randint(low, min(high, low + 20))))
            return "".join(random.choices(_CHARACTERS, _CHARACTER_WEIGHTS, k=length))


_ESCAPED: Final = frozenset('"\\\t')
_CHARACTERS: Final = 'abcdeéß收\N{GRINNING FACE}0123456789-_/:, \u2028\ufffe"\\\x7f'
_CHARACTER_WEIGHTS: Final = [8, 8, 8, 8, 8, 1, 1, 1, 1, *([8] * 10), 3, 3, 1, 1, 1, 1, 0.1, 0.1, 0.02, 0.02, 0.1]


def _draw_date(random: Random) -> str:
    year = random.choice((1, 1600, 1900, 1969, 1970, 2000, 2024, 2255, 2256, 9999, random.randint(1900, 2100)))
    if random.random() < 0.1:
        return f"{year:04}-{random.choice(('02-29', '02-28', '12-31', '01-01', '04-30', '03-01'))}"
    return f"{year:04}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _draw_time(random: Random) -> str:
    time = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    fraction = "" if random.random() < 0.5 else "." + "".join(random.choices("0123456789", k=random.randint(1, 9)))
    sign = random.choice("+-")
    offset = random.choice(("Z", "Z", "z", f"{sign}{random.randint(0, 23):02}:{random.randint(0, 59):02}"))
    return f"{time}{fraction}{offset}"
