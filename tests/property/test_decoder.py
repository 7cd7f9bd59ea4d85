"""Laws of the decoder: for any bytes whatever it says what the contract says, value for value and code for code.

`judge` is the contract once more, written by hand, slow and plain: Python's JSON, then a rule a field. The decoder and
the pydantic model are both held against it.
"""

import json
from collections.abc import Callable
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.application import CreditApplication
from schemas.rejection import RejectionCode
from scorer.core.wire import Rejection, decode

law = settings.get_profile("laws")

BYTES_MAX: Final = 8_192
NESTING_MAX: Final = 200  # of pydantic's parser

Rule = Callable[[object], str | None]
"""What is wrong with a field's value; None if nothing."""


def _number(low: float, high: float, *, low_itself: bool = True) -> Rule:
    def rule(value: object) -> str | None:
        if not isinstance(value, float):
            return "wrong_type"
        within = (value >= low if low_itself else value > low) and value <= high
        return None if within else "out_of_range"

    return rule


def _one_of(values: str) -> Rule:
    def rule(value: object) -> str | None:
        if not isinstance(value, str):
            return "wrong_type"
        return None if value in values.split() else "unknown_category"

    return rule


def _text(low: int, high: int) -> Rule:
    def rule(value: object) -> str | None:
        if not isinstance(value, str):
            return "wrong_type"
        return None if low <= len(value) <= high else "out_of_range"

    return rule


def _or_null(other: Rule) -> Rule:
    return lambda value: None if value is None else other(value)


MONEY: Final = 50_000_000
RULES: Final[dict[str, Rule]] = {
    "application_id": _text(1, 64),
    "seniority": _number(0, 80),
    "home": _one_of("rent owner private ignore parents other unk"),
    "time": _number(0, 600, low_itself=False),
    "age": _number(18, 120),
    "marital": _one_of("single married widow separated divorced unk"),
    "records": _one_of("no yes unk"),
    "job": _one_of("fixed partime freelance others unk"),
    "expenses": _number(0, MONEY),
    "income": _or_null(_number(0, MONEY)),
    "assets": _or_null(_number(0, MONEY)),
    "debt": _or_null(_number(0, MONEY)),
    "amount": _number(0, MONEY, low_itself=False),
    "price": _number(0, MONEY, low_itself=False),
}
WHERE_ABSENT: Final[dict[str, object]] = {"marital": "unk", "income": None, "assets": None, "debt": None}


class Pairs(list[tuple[str, object]]):
    """An object as it is written, every name of it."""


def _no_constant(_: str) -> object:
    raise ValueError("no JSON")


def _integer(text: str) -> float:
    return float(text) + 0.0  # of any length, and without the sign of -0, which an integer does not have


def _nesting(value: object) -> int:
    inner = [v for _, v in value] if isinstance(value, Pairs) else value if isinstance(value, list) else []
    return 1 + max(map(_nesting, inner)) if inner else 0


def _is_unicode(value: object) -> bool:
    if isinstance(value, str):
        return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)
    if isinstance(value, Pairs):
        return all(_is_unicode(name) and _is_unicode(inner) for name, inner in value)
    return all(map(_is_unicode, value)) if isinstance(value, list) else True


def judge(raw: bytes) -> tuple[str, list[str]] | dict[str, object]:  # noqa: PLR0911  (a code a return)
    """The values of an application by field, or the code of its rejection with the fields at fault."""
    if not raw:
        return "empty", []
    if len(raw) > BYTES_MAX:
        return "too_large", []
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "not_utf8", []
    try:
        value = json.loads(text, object_pairs_hook=Pairs, parse_constant=_no_constant, parse_int=_integer)
    except (ValueError, RecursionError):
        return "not_json", []
    if _nesting(value) > NESTING_MAX or not _is_unicode(value):
        return ("not_json" if isinstance(value, Pairs) else "not_an_object"), []
    if not isinstance(value, Pairs):
        return "not_an_object", []
    names = [name for name, _ in value]
    if any(names.count(name) > 1 for name in RULES):
        return "not_json", []
    given_values = {**WHERE_ABSENT, **dict(value)}
    faults = {
        name: rule(given_values[name]) if name in given_values else "missing_field" for name, rule in RULES.items()
    }
    failing = {name: code for name, code in faults.items() if code is not None}
    if failing:
        return next(iter(failing.values())), list(failing)
    return {name: given_values[name] for name in RULES}


def check(raw: bytes) -> bool:
    """Holds the decoder and the pydantic model against the judge; True if the bytes are an application."""
    wanted, result = judge(raw), decode(raw, BYTES_MAX)
    assert repr(result) == repr(decode(raw, BYTES_MAX)), "the same bytes give the same outcome"
    if isinstance(wanted, dict):
        assert not isinstance(result, Rejection), result
        values = {name: getattr(result, name) for name in RULES}
        values["marital"] = values["marital"] or "unk"
        # repr tells -0.0 from 0.0 and 1.0 from 1, and gives every digit.
        assert repr(values) == repr(wanted)
        assert repr(CreditApplication.model_validate_json(raw).model_dump()) == repr(wanted)
        return True
    code, fields = wanted
    assert isinstance(result, Rejection), (result, wanted)
    assert result.code is RejectionCode(code)
    if fields:
        assert [fault.partition(":")[0] for fault in result.reason.split("; ")] == fields
        assert not _contract_accepts(raw)
    return False


def _contract_accepts(raw: bytes) -> bool:
    try:
        CreditApplication.model_validate_json(raw)
    except ValidationError:
        return False
    return True


SOUND: Final = {
    "application_id": "a-1", "seniority": 9, "home": "rent", "time": 60, "age": 30, "marital": "married",
    "records": "no", "job": "freelance", "expenses": 61, "income": 182, "assets": 0, "debt": 0.5, "amount": 1150,
    "price": 1490,
}  # fmt: skip
TEXTS: Final = {name: json.dumps(value) for name, value in SOUND.items()}


def _write(texts: dict[str, str], *more: str, space: str = "") -> bytes:
    members = [*(f'"{name}"{space}:{space}{text}' for name, text in texts.items()), *more]
    return f"{space}{{{space}{f',{space}'.join(members)}{space}}}{space}".encode("utf-8", "surrogatepass")


def _without(*names: str) -> dict[str, str]:
    return {name: text for name, text in TEXTS.items() if name not in names}


BASES: Final = (
    _write(TEXTS),
    _write(_without("marital", "income", "assets", "debt")),
    _write({**TEXTS, "income": "null", "debt": "null"}),
    _write(TEXTS, '"note":"a:b"', '"tags":[1,{"age":5},null]'),
    _write({**TEXTS, "application_id": '"\\u00e9\\ud83d\\ude00\\"\\n"'}, space=" \n"),
    _write({**TEXTS, "application_id": '"é\N{GRINNING FACE}:"'}, '"b":true', space="\t\r"),
    json.dumps(dict(reversed(SOUND.items()))).encode(),
)
TOKENS: Final = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\n", b"\t", b"\x00", b"\x01", b"\x1f", b"\x7f", b"\x0c",
    b"\xff", b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xa0",
    b"null", b"true", b"false", b"NaN", b"Infinity", b"-", b"+", b"0", b"9", b".", b"e", b"1e5", b"1e400", b"-0",
    b'"age":1', b'"age":30,', b'"\\u0061ge":30,', b'"home":"rent",', b'"income":null,', b'"x":', b'"x":1,', b'"x":"',
    b"\\u", b"\\ud800", b"\\udc00", b"\\u0061", b"\\u0000", b"//", b"/**/", b"'", b"#", b"null,", b"[[", b"{}",
    b'"application_id":"b",', b"rent", b"RENT", b"[" * 101, b"]" * 101, b"9" * 40,
)  # fmt: skip

tokens = st.sampled_from(TOKENS)
bases = st.sampled_from(BASES)
edits = st.tuples(st.integers(0, 400), st.sampled_from((0, 0, 0, 1, 1, 2, 5, 20)), tokens)
odd_texts = st.sampled_from(
    (
        "null", "true", "false", '""', '"5"', '"x"', "[]", "{}", "[5]", '{"a":5}', "0", "-1", "1e400", "-1e400",
        "1e-400", "17", "18", "120", "121", "120.0000000000000001", "9" * 19, "9" * 400, "9" * 4_500, "50000000",
        "50000001", "50000000.000000001", "-0", "-0.0", "0.0", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", "-Infinity",
        "nul", '"RENT"', '"rent"', '"unk"', '"unk "', '"Unk"', '"\\u0075nk"', '"unk\\u0000"', '"no"', '"\\ud800"',
        '"\\ud83d\\ude00"', '"\x01"', '"\\x41"', '"é"', '"' + 64 * "x" + '"', '"' + 65 * "x" + '"', "",
    )
)  # fmt: skip


def _is_short(text: str) -> bool:
    return len(text) < 1_000


digits = st.text("0123456789", min_size=1, max_size=45)
number_texts = st.one_of(
    st.floats(0, 130).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.builds("{}.{}".format, st.integers(0, 150), digits),
    st.builds("{}.{}e{}".format, st.integers(-9, 150), digits, st.integers(-330, 310)),
    st.text("0123456789.eE+-", min_size=1, max_size=9),
)
names = st.sampled_from(tuple(RULES))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | names, inner, max_size=3),
    max_leaves=5,
)


@law
@given(st.binary(max_size=300))
@example(b"[" * BYTES_MAX)
@example(b'{"a":' * 1_500)
@example(b" " * (BYTES_MAX + 1))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes have an outcome, and it is the contract's."""
    check(raw)


@law
@given(st.lists(tokens, max_size=25))
def test_pieces_of_json(pieces: list[bytes]) -> None:
    """Pieces of JSON and of what is nearly JSON, in any order, have the contract's outcome."""
    check(b"".join(pieces))


@law
@given(bases, st.lists(edits, max_size=3))
def test_damaged_records(base: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """Sound records with pieces inserted, replaced and removed anywhere have the contract's outcome."""
    for position, removed, inserted in changes:
        base = base[:position] + inserted + base[position + removed :]
    check(base)


@law
@given(bases, st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_foreign_bytes_in_records(base: bytes, position: int, inserted: bytes) -> None:
    """Sound records in which any few bytes stand instead of others have the contract's outcome."""
    check(base[:position] + inserted + base[position + len(inserted) :])


@law
@given(bases, bases, st.integers(0, 400), st.integers(0, 400))
def test_records_cut_and_joined(first: bytes, second: bytes, end: int, start: int) -> None:
    """The head of one record and the tail of another have the contract's outcome, cut records and doubled ones too."""
    check(first[:end] + second[start:])


@law
@given(names, number_texts | odd_texts)
def test_any_value_of_a_field(name: str, text: str) -> None:
    """Whatever stands in one field, strings for numbers and numbers for strings, the rule of that field decides."""
    check(_write({**TEXTS, name: text}))


@law
@given(st.sampled_from(("seniority", "age", "expenses", "income", "price")), number_texts)
def test_any_number(name: str, text: str) -> None:
    """Every spelling of a number is read to the last bit, and what is no JSON number is refused."""
    check(_write({**TEXTS, name: text}, '"extra":0'))


@law
@given(
    st.dictionaries(names, odd_texts | st.none(), max_size=5),
    # The unit tests tell what becomes of integers of over 4,300 digits in fields that are skipped.
    st.lists(st.builds('"{}":{}'.format, names | st.text("ab", max_size=2), odd_texts.filter(_is_short)), max_size=2),
    st.booleans(),
    st.sampled_from(("", " ", "\n\t")),
)
@example({"application_id": None}, ['"":"\\ud800"', '"":null'], False, "")  # a skipped field twice, broken once
def test_records_with_several_faults(
    changes: dict[str, str | None], more: list[str], backwards: bool, space: str
) -> None:
    """Of many faults, missing fields and repeated ones among them, the first in the contract's order gives the code."""
    texts = {name: text for name, text in {**TEXTS, **changes}.items() if text is not None}
    if backwards:
        texts = dict(reversed(texts.items()))
    check(_write(texts, *more, space=space))


@law
@given(st.dictionaries(st.text(max_size=6), json_values, max_size=3), st.booleans())
def test_fields_that_are_skipped(more: dict[str, object], ensure_ascii: bool) -> None:
    """Whatever the publisher's own fields hold, it is skipped if it is JSON, and the record refused if it is not."""
    text = json.dumps({**more, **SOUND}, ensure_ascii=ensure_ascii)
    check(text.encode("utf-8", "surrogatepass"))


@law
@given(
    st.text(max_size=70) | st.text("\ud83d\ude00\ud800\udfffa", max_size=6) | st.text('"\\:{}[],\n\x00é', max_size=66),
    st.booleans(),
)
def test_any_id(application_id: str, ensure_ascii: bool) -> None:
    """Any Unicode text of 1 to 64 characters is an id and is read as it was written; half a surrogate pair is none."""
    text = json.dumps({**SOUND, "application_id": application_id}, ensure_ascii=ensure_ascii)
    read = json.loads(text)["application_id"]  # two escaped halves of a pair make one character
    assert check(text.encode("utf-8", "surrogatepass")) == (1 <= len(read) <= 64 and _is_unicode(read))


@law
@given(
    names,
    st.sampled_from(
        ('"{}"', "[{}]", '{{"{}":1}}', "8{}", "-8{}", '"\\ud800{}"', '"{}', "{}", '"\\q{}"', "8{}e400", '"{}\x01"')
    ),
    st.integers(10**17, 10**18 - 1),
)
def test_reasons_hold_no_values(name: str, around: str, marker: int) -> None:
    """No part of a value ever stands in the reason for its rejection."""
    raw = _write({**TEXTS, name: around.format(marker), "home": f'"{marker}"'}, f'"{marker}":"{marker}"')
    result = decode(raw, BYTES_MAX)
    assert isinstance(result, Rejection)
    assert str(marker) not in result.reason
    assert len(result.reason) < 1_500
