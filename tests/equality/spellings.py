"""Spells JSON in every way: numbers of any length, texts with escapes, properties of any shape; and damages it."""

import json
from collections.abc import Callable
from random import Random
from typing import Final

TOKENS: Final = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\n", b"\t", b"\x00", b"\x1f", b"\x7f", b"\xff",
    b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\x0b", b"\x0c", b"\xc2\xa0",
    b"\xe2\x80\xa8", b"null", b"true", b"false", b"NaN", b"Infinity", b"nul", b"True",
    b"-", b"+", b"0", b"9", b".", b"e", b"E", b"1e5", b"1e400", b"-0", b"0.", b"00", b'"id":', b"\\u0061", b"\\ud800",
    b"\\udc00", b"\\ud83d\\ude00", b"\\uD83D\\u0041", b"\\u12", b"\\q", b"\\/", b"[" * 101, b"]" * 101, b"9" * 40,
    b'"x":1,', b'"x":{"y":[1,{}]},', b"//", b"/**/", b"'",
)  # fmt: skip
"""What is inserted into a damaged value."""

ODD_TEXTS: Final = (
    "null", "true", "false", '""', '"5"', "[]", "{}", "[5]", "0", "-1", "1e400", "-1e400", "1e-400", "1e-320", "17",
    "9" * 19, "9" * 400, "-0", "-0.0", "0.0", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", '"unk"', '"\\u0075nk"',
    '"\\ud800"', '"\\ud83d\\ude00"', '"\x01"', '"é"', '"2023-02-29"', '"2024-01-01T24:00:00Z"', "1e22", "1e23", "1E+22",
    "0.1e-22", "123456789012345678", "0.12345678901234567", "9007199254740993", "9007199254740993.0", "1e-22", "5e-324",
    "2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623159e308", "3.4028235677973366e38", "-0e-99",
    '"2024-01-01T00:00:60Z"', '"2024-01-01t00:00:00z"', '"9999-12-31T23:59:59.9999999-23:59"', '"0001-01-01"',
    '"0001-01-01T00:00:00+23:59"', '"2024-01-01T00:00:00+24:00"', '"2024-01-01T00:00:00+01:60"', '"0000-01-01"',
    '"2024-02-29T10:00:00"', '"2024-02-29 10:00:00Z"', '"2016-12-31T23:59:60Z"', '"1900-02-29"', '"2024-1-1"',
    '"٢٠٢٤-01-01"', '"2024-02-29\\u0020"', "-", "--1", "0x10", "1_0", "1e5.0", "1e+05", "1E-05", "nul", "Null",
)  # fmt: skip
"""What is written in the place of a valid value."""

SPACES: Final = ("", "", " ", "\n", "\t\r\n ")
_TEXTS: Final = ("", "a", "é", "收入", "\N{GRINNING FACE}", 'a"b\\', "a:b", "\x7f", "\u2028", "\ufffe", "id", "x" * 60)
_DIGITS: Final = "0123456789"


def draw_number(random: Random) -> str:
    """Draws a JSON number: 1 to 30 digits, a fraction, and an exponent, each of any length."""
    whole = random.choice(("0", _digits(random, 30).lstrip("0") or "7", _digits(random, 3).lstrip("0") or "1"))
    fraction = f".{_digits(random, random.choice((2, 17, 40)))}" if random.random() < 0.6 else ""
    exponent = ""
    if random.random() < 0.5:
        size = str(random.randint(0, random.choice((9, 30, 99, 400)))).zfill(random.choice((1, 1, 1, 2, 4)))
        exponent = f"{random.choice('eE')}{random.choice(('', '', '-', '+'))}{size}"
    return f"{random.choice(('', '', '-'))}{whole}{fraction}{exponent}"


def _digits(random: Random, length_max: int) -> str:
    return "".join(random.choices(_DIGITS, k=random.randint(1, length_max)))


def spell_text(random: Random, text: str) -> str:
    """Writes a text as JSON; any of its characters may be escaped, in any of the ways."""
    if random.random() < 0.5:
        return json.dumps(text, ensure_ascii=random.random() < 0.5)
    return '"' + "".join(_spell_character(random, character) for character in text) + '"'


def _spell_character(random: Random, character: str) -> str:
    written = json.dumps(character, ensure_ascii=False)[1:-1]
    if random.random() < 0.7:
        return written
    if character == "/":
        return "\\/"
    units = character.encode("utf-16-be", "surrogatepass").hex()
    digits = units if random.random() < 0.5 else units.upper()
    return "".join(f"\\u{digits[i : i + 4]}" for i in range(0, len(digits), 4))


def draw_json(random: Random, depth: int = 4) -> str:
    """Draws JSON of any shape; objects may have a name several times."""
    space = random.choice(SPACES) if random.random() < 0.2 else ""
    choice = random.random()
    if depth and choice < 0.25:
        members = [f"{_draw_name(random)}{space}:{draw_json(random, depth - 1)}" for _ in range(random.randint(0, 4))]
        return f"{{{space}{f'{space},'.join(members)}{space}}}"
    if depth and choice < 0.45:
        return f"[{space}{f',{space}'.join(draw_json(random, depth - 1) for _ in range(random.randint(0, 4)))}{space}]"
    if choice < 0.7:
        return spell_text(random, random.choice(_TEXTS))
    return draw_number(random) if choice < 0.9 else random.choice(("null", "true", "false"))


def _draw_name(random: Random) -> str:
    return spell_text(random, random.choice(_TEXTS))


def draw_property(random: Random) -> str:
    """Draws a property that contracts do not have, or seldom: a name and JSON of any shape."""
    name = _draw_name(random) if random.random() < 0.3 else json.dumps(f"p{random.randint(0, 9)}")
    return f"{name}:{draw_json(random)}"


def draw_huge_property(random: Random) -> str:
    """Draws a property that is nested up to and beyond what is read, or is long."""
    depth = random.choice((50, 98, 99, 100, 101, 198, 199, 200, 201, 1_000, 3_000))
    return random.choice((
        f'"deep":{"[" * depth}{"]" * depth}',
        '"deep":' + '{"a":' * depth + "1" + "}" * depth,
        f'"deep":{"[" * depth}',
        f'"long":"{random.choice(("x", "é", "収", "a:")) * random.choice((100, 1_000, 2_500))}"',
        f'"digits":{"9" * random.choice((99, 100, 101, 308, 309, 4_299, 4_300, 4_301))}',
        f'"digits":0.{"3" * random.choice((90, 98, 99, 400, 5_000))}',
        f'"many":[{",".join("1" * random.choice((10, 1_000)))}]',
    ))  # fmt: skip


def damage(random: Random, raw: bytes, other: bytes) -> bytes:
    """Damages a value in one to three places; `other` is the one whose parts may get into it."""
    for _ in range(random.choice((1, 1, 2, 3))):
        raw = random.choice(_DAMAGES)(random, raw, other)
    return raw


def _replace(random: Random, raw: bytes, _: bytes) -> bytes:
    at = random.randint(0, len(raw))
    removed = random.choice((0, 0, 1, 1, 2, 5, 20))
    inserted = random.choice((b"", random.choice(TOKENS), random.randbytes(random.randint(1, 3))))
    return raw[:at] + inserted + raw[at + removed :]


def _flip(random: Random, raw: bytes, _: bytes) -> bytes:
    at = random.randrange(len(raw) or 1)
    return raw[:at] + bytes([byte ^ 1 << random.randrange(8) for byte in raw[at : at + 1]]) + raw[at + 1 :]


def _truncate(random: Random, raw: bytes, _: bytes) -> bytes:
    return raw[: random.randint(0, len(raw))]


def _splice(random: Random, raw: bytes, other: bytes) -> bytes:
    return raw[: random.randint(0, len(raw))] + other[random.randint(0, len(other)) :]


def _repeat(random: Random, raw: bytes, _: bytes) -> bytes:
    first, second = sorted((random.randint(0, len(raw)), random.randint(0, len(raw))))
    return raw[:second] + raw[first:]


def _mark(random: Random, raw: bytes, _: bytes) -> bytes:
    if random.random() < 0.3:
        return raw.decode("utf-8", "replace").encode(random.choice(("utf-16", "latin-1", "utf-8-sig")), "replace")
    return random.choice((b"\xef\xbb\xbf" + raw, raw + b"\x00", b"\x00" + raw, raw + b"\n{}", raw + raw))


_DAMAGES: Final[tuple[Callable[[Random, bytes, bytes], bytes], ...]] = (
    _replace, _replace, _replace, _flip, _truncate, _splice, _repeat, _mark,
)  # fmt: skip
