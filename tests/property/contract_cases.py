"""Random contracts, and values for them: some valid, some nearly, some damaged.

Contracts are Hypothesis's; the values of one come from any `Random`, Hypothesis's or a seeded one, which is faster.
"""

import json
import math
from random import Random
from typing import Final, NamedTuple

from hypothesis import strategies as st

from tests.property.contract_judge import Schema, fault_of

NAMES: Final = ("a", "b", "c", "age", "x:y", "é", "a b", "income", "in.come", "m0", "m1", "id", "home", "null")
ODD_NAMES: Final = ('q"q', "b\\s")  # which only the slow decoder reads
CATEGORIES: Final = ("rent", "own", "Rent", "", "a:b", "é", 'q"', "b\\", "-9", "null", "\N{GRINNING FACE}")
NUMBERS: Final = (
    "0", "5", "5.0", "5.5", "-9", "-9.0", "1e1", "10", "20.5", "99999999", "-1", "0.5", "1e39", "1e200", "-1e300",
    "1e400", "-0", "-0.0", "1e-400", "9" * 30, "9" * 400, "340282346638528859811704183484516925440", "3.4028235e38",
    "9007199254740993", "1.00000000000000000000000001", "0.1e1", "100E-1", "-5e-324", "9" * 4_300,
)  # fmt: skip
DATES: Final = (
    "2024-02-29", "2023-02-29", "1970-01-01", "0001-01-01", "9999-12-31", "0000-01-01", "2024-2-29", "20240229",
    "2024-13-01", "2024-02-29T00:00:00Z", " 2024-02-29", "2024-W09-4", "2024-02-29\n", "\u0662024-02-29", "",
    "1900-02-29", "2000-02-29", "2024-04-31", "2024-060",
)  # fmt: skip
DATE_TIMES: Final = (
    "2024-02-29T12:00:00Z", "2024-02-29t12:00:00z", "2024-02-29T12:00:00.5+05:30", "2024-02-29T12:00:00-00:00",
    "2024-02-29 12:00:00Z", "2024-02-29T12:00:00", "2023-02-29T12:00:00Z", "2024-02-29T12:00Z", "2024-02-29",
    "2024-02-29T25:00:00Z", "2024-02-29T12:61:00Z", "2024-02-29T12:00:00+0530", "2024-02-29T12:00:00.Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2024-02-29T12:00:00Z\n", "1969-12-31T23:59:59Z",
    "2016-12-31T23:59:60Z", "2024-02-29T24:00:00Z", "2024-02-29T12:00:00.1234567890Z", "2024-02-29T12:00:00,5Z",
    "2024-02-29T12:00:00+24:00", "2024-02-29T12:00:00+23:60", "0000-01-01T00:00:00Z",
)  # fmt: skip
ODD: Final = (
    "null", "true", "false", "5", '"5"', '"x"', "[]", "{}", "[5]", '{"a":5}', '""', "NaN", "nul", "01", "Infinity",
    "-Infinity", "+5", ".5", "5.", "0x5", "1_0", "True", "'x'", '"\\ud800"', '"\\x41"', '"\t"', "\u00a05", "",
)  # fmt: skip
EXTRA: Final = (
    '"zz":"a:b"', '"\\u007az":1', '"zz":{"a":1,"a":2}', '"zz":1,"zz":2', '"zz":1e400', '"zz":"\\"a\\":"', '"zz":null',
    '"zz":{"age":1,"b":{"age":2}}', '"zz":[{"a":1},{"a":2}]', '"":":"', '"zz":"\\ud800"', '"zz":"\n"',
    '"zz":' + "[" * 99 + "]" * 99, '"zz" : {"income" : 1}', '"zz":NaN', '"zz":[-Infinity]', '"zz":"\ud800"',
    '"zz":' + '{"a":' * 98 + "1" + "}" * 98, '"zz":' + "[" * 300 + "]" * 300,
    '"zz":"\\ud83d\\ude00"', '"zz":"\\ude00\\ud83d"', '"zz":01', '"zz":"' + "a" * 400 + '"',
)  # fmt: skip
_DAMAGES: Final = (
    b"", b'"', b"{", b"}", b",", b":", b"\\", b"\xff", b" ", b"null", b"1", b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80",
    b"\xc0\x80", b"\n", b"//", b'"id":"x",', b"[", b"-", b"e5", b".",
)  # fmt: skip
_OWN_VALUES: Final = ('"a:b"', '""', '"\\"id\\":"', "null", "true", '"é"', '"\\u0061"', "[]", "{}")
_SPACES: Final = ("", "", "", " ", "\n\t")
_BOM: Final = b"\xef\xbb\xbf"


# Contracts


def texts_of(member: Schema) -> list[str]:
    """What may stand in a field of this kind, much of it invalid."""
    match member["type"] if isinstance(member["type"], str) else member["type"][0]:
        case "number" | "integer":
            return [*NUMBERS, *_numbers_near_the_limits(member), "null"]
        case "boolean":
            return ["true", "false", "null", "0", "1", '"true"']
    if "enum" in member:
        written = [json.dumps(text, ensure_ascii=ascii_) for text in CATEGORIES for ascii_ in (True, False)]
        return [*written, "null", '"\\u0072ent"', '"rent "', '"RENT"', "5"]
    if "format" in member:
        return [*(json.dumps(text) for text in (*DATES, *DATE_TIMES)), '"2024\\u002d02-29"', "null", "5"]
    return ['"x"', '"a:b"', '"\\u00e9\\n"', '"é"', '""', '"xxxx"', '"xxxxxx"', f'"{300 * "x"}"', "null", "5"]


def _numbers_near_the_limits(member: Schema) -> list[str]:
    limits = [member[k] for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if k in member]
    numbers = [near for x in limits for near in (x, x - 1, x + 1, math.nextafter(x, -1e308), math.nextafter(x, 1e308))]
    return [repr(number) for number in numbers]


def is_valid(member: Schema, text: str) -> bool:
    """Whether a text may stand in a field."""
    try:
        return fault_of(member, json.loads(text, parse_int=float)) is None
    except ValueError:
        return False


@st.composite
def numbers(draw: st.DrawFn) -> Schema:
    """A number or an integer, with limits or without."""
    member: Schema = {"type": draw(st.sampled_from(("number", "integer")))}
    for keyword, limits in (
        ("minimum", (-10, 0, 0.5, 1, -1e300)),
        ("exclusiveMinimum", (-9, 0, 1)),
        ("maximum", (10, 20.5, 1e9, 1e300)),
        ("exclusiveMaximum", (10, 99_999_999)),
    ):
        if draw(st.integers(0, 2)) == 0:
            member[keyword] = draw(st.sampled_from(limits))
    unknown = draw(st.lists(st.sampled_from((-9, 99_999_999, 0, 0.5, 5, 1e39)), unique=True, max_size=2))
    return {**member, "x-unknown": unknown} if unknown else member


@st.composite
def categories(draw: st.DrawFn) -> Schema:
    """A category, some of whose values may mean unknown."""
    values = draw(st.lists(st.sampled_from(CATEGORIES), unique=True, min_size=1, max_size=5))
    unknown = draw(st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=2))
    return {"type": "string", "enum": values, **({"x-unknown": unknown} if unknown else {})}


kinds = st.one_of(
    numbers(),
    numbers(),
    categories(),
    st.just({"type": "boolean"}),
    st.sampled_from(({"type": "string"}, {"type": "string", "minLength": 1, "maxLength": 4})),
    st.sampled_from(({"type": "string", "format": "date"}, {"type": "string", "format": "date-time"})),
)


@st.composite
def fields(draw: st.DrawFn) -> Schema:
    """A field of any kind, perhaps nullable, perhaps with a default."""
    member: Schema = dict(draw(kinds))
    if draw(st.integers(0, 2)) == 0:
        member["type"] = [member["type"], "null"]
        if "enum" in member:
            member["enum"] = [*member["enum"], None]
    valid = [text for text in texts_of(member) if text != "null" and len(text) < 40 and is_valid(member, text)]
    if valid and draw(st.integers(0, 2)) == 0:
        member["default"] = json.loads(draw(st.sampled_from(valid)))
    return member


@st.composite
def objects(draw: st.DrawFn, names: tuple[str, ...], size_max: int, depth: int) -> Schema:
    """An object of up to so many members, some of them required; some are objects, down to a depth."""
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=size_max))
    members: dict[str, Schema] = {}
    for name in chosen:
        if depth and draw(st.integers(0, 2)) == 0:
            type_ = draw(st.sampled_from(("object", ["object", "null"])))
            members[name] = draw(objects(names, 3, depth - 1)) | {"type": type_}
        else:
            members[name] = draw(fields())
    required = [name for name in chosen if draw(st.booleans())]
    return {"type": "object", "properties": members, "required": required}


@st.composite
def contracts(draw: st.DrawFn, size_max: int = 5, depth: int = 1) -> Schema:
    """A contract of up to so many members, objects down to a depth, and an id anywhere."""
    names = NAMES if draw(st.integers(0, 5)) else NAMES + ODD_NAMES
    schema: Schema = draw(objects(names, size_max, depth))
    place = draw(st.integers(0, len(schema["properties"])))
    members = [m for m in schema["properties"].items() if m[0] != "id"]
    members.insert(place, ("id", {"type": "string", "x-id": True}))
    return schema | {"properties": dict(members), "required": sorted({*schema["required"], "id"})}


# Values


class _Member(NamedTuple):
    name: str
    schema: Schema
    required: bool
    texts: tuple[str, ...]
    """What may stand in it; of an object, nothing but what is no object."""
    valid_texts: tuple[str, ...]
    inside: "RecordWriter | None"
    """Writes the objects that may stand in it; None if it is a field."""


class RecordWriter:
    """Writes values for a contract, or for an object in it."""

    def __init__(self, schema: Schema) -> None:
        self._members = [
            _member(name, member, required=name in schema["required"]) for name, member in schema["properties"].items()
        ]

    def write(self, random: Random) -> bytes:
        """A value: valid, nearly valid or damaged."""
        space = random.choice(_SPACES)
        text = self._object(random, random.choice((0, 0, 0, 3, 10, 30)), space)
        value = f"{space}{text}{space}".encode("utf-8", "surrogatepass")
        if random.randrange(8) == 0:
            place, removed = random.randrange(len(value) + 1), random.randrange(3)
            value = value[:place] + random.choice(_DAMAGES) + value[place + removed :]
        return _BOM + value if random.randrange(100) == 0 else value

    def _object(self, random: Random, faults_per_100: int, space: str) -> str:
        members: list[str] = []
        for member in self._members:
            luck = random.randrange(100)
            if luck >= 100 - faults_per_100 or (not member.required and luck < 25):
                continue
            for _ in range(2 if luck == 25 and faults_per_100 else 1):
                is_fault = random.randrange(100) < faults_per_100
                text = self._fault(random, member) if is_fault else self._value(random, member, faults_per_100, space)
                members.append(f"{_spell(random, member.name)}{space}:{space}{text}")
        if random.randrange(4) == 0:
            members.append(random.choice(EXTRA) if random.randrange(2) else f'"zz":{_any_json(random, 3)}')
        if random.randrange(4) == 0:
            random.shuffle(members)
        return f"{{{space}" + f"{space},{space}".join(members) + f"{space}}}"

    def _value(self, random: Random, member: _Member, faults_per_100: int, space: str) -> str:
        if member.inside is None:
            text = _any_text(random, member.schema)
            return text if text and is_valid(member.schema, text) else random.choice(member.valid_texts)
        if isinstance(member.schema["type"], list) and random.randrange(3) == 0:
            return "null"
        return member.inside._object(random, faults_per_100, space)

    def _fault(self, random: Random, member: _Member) -> str:
        return random.choice((*ODD, *member.texts, _any_text(random, member.schema) or "0"))


def _member(name: str, schema: Schema, *, required: bool) -> _Member:
    if "properties" in schema:
        return _Member(name, schema, required, (), (), RecordWriter(schema))
    texts = tuple(texts_of(schema))
    valid = tuple(text for text in texts if is_valid(schema, text)) or ("0",)  # of some limits, no number is within
    return _Member(name, schema, required, texts, valid, None)


def _spell(random: Random, name: str) -> str:
    if random.randrange(16) == 0:
        return '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"'
    return json.dumps(name, ensure_ascii=random.randrange(2) == 0)


def _any_text(random: Random, member: Schema) -> str | None:
    """Some value of the field's kind, perhaps invalid; None of a kind that has few."""
    match member["type"] if isinstance(member["type"], str) else member["type"][0]:
        case "number" | "integer":
            digits = random.randrange(-30, 10 ** random.randrange(1, 20))
            return random.choice(
                (str(digits), f"{digits}.0", f"{digits}e-{random.randrange(20)}", repr(random.random() * 25))
            )
        case "string" if "format" in member:
            date = f"{random.randrange(1890, 2110)}-{random.randrange(1, 14):02}-{random.randrange(1, 33):02}"
            if member["format"] == "date":
                return f'"{date}"'
            offset = random.choice(("Z", "z", "+05:30", f"-{random.randrange(25):02}:00"))
            second = f"{random.randrange(61):02}{random.choice(('', '.5', '.000001', '.9999999'))}"
            return f'"{date}T{random.randrange(25):02}:{random.randrange(61):02}:{second}{offset}"'
        case "string" if "enum" not in member:
            characters = "".join(random.choice('ab:"é\\,{\n\u2028\U0001f600') for _ in range(random.randrange(8)))
            text = json.dumps(characters, ensure_ascii=random.randrange(2) == 0)
            return text.replace(":", "\\u003a") if random.randrange(4) == 0 else text
    return None


def _any_json(random: Random, depth: int) -> str:
    """A publisher's own property: any JSON, its names those of contracts."""
    kind = random.randrange(6 if depth else 4)
    if kind < 4:
        return random.choice((*NUMBERS[:-1], *_OWN_VALUES))
    inside = [_any_json(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 4:
        return f"[{','.join(inside)}]"
    return "{" + ",".join(f"{_spell(random, random.choice(NAMES))}:{text}" for text in inside) + "}"


@st.composite
def cases(draw: st.DrawFn) -> tuple[Schema, list[bytes]]:
    """A contract, and one to four values for it."""
    schema = draw(contracts())
    writer = RecordWriter(schema)
    random = draw(st.randoms(use_true_random=False))
    return schema, [writer.write(random) for _ in range(draw(st.integers(1, 4)))]
