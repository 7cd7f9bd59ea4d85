"""Decoding by contracts other than the shipped one: what is rejected, and why, with and without the fast decoder."""

from typing import Any

import pytest

from schemas.contract import Contract
from schemas.rejection import RejectionCode
from scorer.core.columns import ColumnReader
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection, SlowDecoder
from tests.fakes import fields_of, make_contract

BYTES_MAX = 20_000
NUMBER: dict[str, Any] = {"type": "number"}
INTEGER: dict[str, Any] = {"type": "integer"}
HOME: dict[str, Any] = {"type": "string", "enum": ["rent", "own"]}
DATE: dict[str, Any] = {"type": "string", "format": "date"}
DATE_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
EMPLOYER: dict[str, Any] = {"type": "object", "properties": {"age": NUMBER, "home": HOME}, "required": ["age"]}


def _decode(contract: Contract, raw: str) -> dict[str, Any] | Rejection:
    """An application's values, or its rejection; the same whether the fast decoder sees it first or not."""
    quickly = Decoder(contract).decode(raw.encode(), BYTES_MAX)
    row = SlowDecoder(contract).decode(raw.encode())
    if isinstance(row, Rejection):
        assert row == quickly
        return row
    assert not isinstance(quickly, Rejection), quickly
    (fields,) = fields_of(quickly, contract)
    assert [fields] == fields_of(ColumnReader(contract).read([row]), contract)
    return fields


def _decode_field(field: dict[str, Any], text: str) -> dict[str, Any] | Rejection:
    return _decode(make_contract(x=field), f'{{"id":"1","x":{text}}}')


def _reason(found: dict[str, Any] | Rejection) -> tuple[str, str]:
    assert isinstance(found, Rejection), found
    return found.code.value, found.reason


@pytest.mark.parametrize(
    ("field", "texts", "code"),
    [
        (INTEGER, ("5.5", "1e-1", '"5"', "true", "null", "[]", "{}"), "wrong_type"),
        (INTEGER, ("1e39", "-1e39", "1e400", "9" * 400, "9" * 5_000, "1" + "0" * 39), "out_of_range"),
        (INTEGER | {"minimum": 0, "maximum": 10}, ("-1", "11", "11.0", "1e400"), "out_of_range"),
        (INTEGER | {"minimum": 0, "maximum": 10}, ("5.5", "-0.5"), "wrong_type"),
        (NUMBER, ("1e39", "-1e39", "1e400", "9" * 400, "9" * 5_000), "out_of_range"),
        (NUMBER | {"maximum": 1e300, "minimum": -1e300}, ("1e200", "-1e200", "3.5e38"), "out_of_range"),
        (NUMBER | {"exclusiveMinimum": 0, "exclusiveMaximum": 1}, ("0", "1", "-0.0", "1e-400"), "out_of_range"),
        (NUMBER | {"minimum": 0, "exclusiveMinimum": 0}, ("0",), "out_of_range"),
        (NUMBER | {"maximum": 10, "x-unknown": [99]}, ("98", "99.5", "1e400", "-1e400"), "out_of_range"),
        (NUMBER | {"x-unknown": [99]}, ('"99"', "null", "true"), "wrong_type"),
        ({"type": "boolean"}, ("0", "1", '"true"', "null", "[]", "1e400"), "wrong_type"),
        (HOME, ('"Rent"', '"rent "', '""', '"RENT"', '"null"'), "unknown_category"),
        (HOME, ("null", "1", "true", '["rent"]'), "wrong_type"),
        (HOME | {"x-unknown": ["?"]}, ('"??"', '""'), "unknown_category"),
        ({"type": "string", "minLength": 1, "maxLength": 3}, ('""', '"xxxx"'), "out_of_range"),
        ({"type": "string", "minLength": 1, "maxLength": 3}, ("null", "5"), "wrong_type"),
        (
            DATE,
            ('"2023-02-29"', '"2024-02-30"', '"1900-02-29"', '"2024-13-01"', '"20240229"', '"2024-2-29"',
             '" 2024-02-29"', '"2024-02-29T00:00:00Z"', '"2024-W09-4"', '"2024-060"', '"0000-01-01"',
             '"\u0662024-02-29"', '"2024-02-29\\n"', '""', "null", "5", "20240229"),
            "wrong_type",
        ),
        (
            DATE_TIME,
            ('"2024-02-29 12:00:00Z"', '"2024-02-29T12:00:00"', '"2023-02-29T12:00:00Z"', '"2024-02-29T12:00Z"',
             '"2024-02-29T25:00:00Z"', '"2024-02-29T12:60:00Z"', '"2024-02-29T12:00:00+0100"', '"2024-02-29"',
             '"2024-02-29T12:00:00+24:00"', '"2024-02-29T12:00:00.Z"', '"2024-02-29T12:00:00,5Z"',
             '"2024-02-29T24:00:00Z"', '"2024-02-29T12:00:00Z\\n"', '"2024-02-29T12:00:00\u0661Z"',
             '"20240229T120000Z"', "null", "5"),
            "wrong_type",
        ),
        (EMPLOYER, ("null", "[]", "5", '"x"', '[{"age":1}]'), "wrong_type"),
    ],
)  # fmt: skip
def test_what_a_field_refuses(field: dict[str, Any], texts: tuple[str, ...], code: str) -> None:
    """Each with the code of its fault, and the field's name."""
    for text in texts:
        found = _reason(_decode_field(field, text))
        assert (found[0], found[1].partition(":")[0]) == (code, "x"), text[:50]


@pytest.mark.parametrize("text", ['"2024-02-29"', '"2000-02-29"', '"2024\\u002d02-29"', '"0001-01-01"'])
def test_leap_days_are_in_the_calendar(text: str) -> None:
    """Also of a century divisible by 400, and however the text is escaped."""
    assert isinstance(_decode_field(DATE, text), dict)


def test_reasons_name_the_rule() -> None:
    """In words of the contract, without the value."""
    contract = make_contract(
        "x.y",
        "employer",
        **{"x.y": INTEGER | {"minimum": 1, "maximum": 5}},
        employer=EMPLOYER,
        born=DATE,
        at=DATE_TIME,
        insured={"type": ["boolean", "null"]},
    )
    raw = '{"id":"","employer":{"home":"s3cret"},"born":"s3cret","at":"s3cret","insured":"s3cret","x.y":6}'
    reason = (
        "id: out of range, a string of 1 to 256 characters is needed; "
        "x.y: out of range, an integer from 1 to 5 is needed; "
        "employer.age: missing, a number is needed; "
        "employer.home: unknown category, one of rent, own is needed (letter case counts); "
        "born: wrong type, a date such as 2024-02-29 is needed; "
        "at: wrong type, a date and time with an offset such as 2024-02-29T12:00:00Z is needed; "
        "insured: wrong type, true or false or null is needed"
    )
    assert _reason(_decode(contract, raw)) == ("out_of_range", reason)
    assert _reason(_decode(contract, '{"id":"1","x.y":1}')) == (
        "missing_field",
        "employer: missing, an object is needed",
    )
    assert _reason(_decode(contract, '{"id":"1","x.y":1,"employer":[]}'))[1] == (
        "employer: wrong type, an object is needed"
    )


def test_values_with_commas_are_quoted_in_reasons() -> None:
    """`one of car, not leased, none` could be three values; without commas the values are listed as before."""
    contract = make_contract("owns", owns={"type": "string", "enum": ["car, not leased", "none"]})
    assert _reason(_decode(contract, '{"id":"1","owns":"s3cret"}')) == (
        "unknown_category",
        'owns: unknown category, one of "car, not leased", "none" is needed (letter case counts)',
    )


def test_a_reason_names_at_most_20_fields() -> None:
    """Contracts can have a thousand; the others are counted."""
    names = [f"f{n}" for n in range(25)]
    code, reason = _reason(_decode(make_contract(*names, **dict.fromkeys(names, NUMBER)), '{"id":"1"}'))
    assert code == "missing_field"
    assert len(reason.split("; ")) == 21
    assert reason.endswith("; and 5 more")


NESTED = make_contract(age=NUMBER, employer=EMPLOYER, note={"type": ["string", "null"], "default": "x"}, last=NUMBER)


@pytest.mark.parametrize(
    ("members", "repeated"),
    [
        ('"age":1,"age":1', "age"),
        ('"age":1,"\\u0061ge":1', "age"),
        ('"age":1,"last":1,"age":1', "age"),
        ('"age":1,"age":1,"note":null', "age"),
        ('"note":"a","note":"a"', "note"),
        ('"id":"2"', "id"),
        ('"employer":{"age":1,"age":1}', "employer.age"),
        ('"employer":{"age":1,"a\\u0067e":1},"zz":"\\n"', "employer.age"),
        ('"employer":{"age":1},"employer":{"age":1}', "employer"),
        ('"employer":{"age":1,"home":"rent","home":"rent"},"age":2,"age":3', "age, employer.home"),
        ('"employer":5,"employer":{"age":1}', "employer"),
        ('"age" : 1, "age"\t: 1', "age"),
        ('"age":1,"age":"wrong"', "age"),
    ],
)
def test_a_member_given_twice(members: str, repeated: str) -> None:
    """At any level, however it is spelt, and whatever other members are absent or null, it is refused by name."""
    found = _decode(NESTED, f'{{"id":"1",{members}}}')
    assert found == Rejection(RejectionCode.NOT_JSON, f"given twice: {repeated}")


@pytest.mark.parametrize(
    "extra",
    [
        '"zz":1,"zz":2',
        '"zz":{"age":1,"age":2}',
        '"zz":[{"age":1},{"age":2},"age"]',
        '"zz":{"employer":{"age":1},"employer":{"home":"x"}}',
        '"zz":"a:b"',
        '"zz":"\\"age\\":"',
        '"zz":"\\u0061ge"',
        '"\\u007a":":"',
        '"":{}',
        '"Home":"not rent"',
        '"employer.age":"no number"',
        '"zz":1e400',
        '"zz":null',
        '"zz":' + "[" * 100 + "]" * 100,
        '"zz":' + '{"age":' * 100 + "1" + "}" * 100,
        '"m0":1,"m1":2',
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_other_properties_are_nobodys_business(extra: str, inside: bool) -> None:
    """Of any shape, at any level, with names of the contract in them, twice or nested: they change nothing."""
    employer = f'{{"age":5{"," + extra if inside else ""}}}'
    raw = f'{{"id":"1","age":4,"employer":{employer}{"" if inside else "," + extra},"last":6}}'
    assert _decode(NESTED, raw) == {"id": "1", "age": 4, "employer.age": 5, "employer.home": None, "last": 6}


@pytest.mark.parametrize("extra", ['"zz":NaN', '"zz":"\\ud800"', '"zz":"\n"', '"zz":01', '"zz":[1,]', '"zz":tru'])
def test_other_properties_are_json(extra: str) -> None:
    """Within an object, too."""
    found = _decode(NESTED, f'{{"id":"1","employer":{{"age":5,{extra}}}}}')
    assert isinstance(found, Rejection)
    assert found.code is RejectionCode.NOT_JSON


def test_the_same_name_in_different_objects() -> None:
    """Each object's member is its own, required or not, valid or not."""
    contract = make_contract(
        "age",
        age=NUMBER,
        first={"type": "object", "properties": {"age": INTEGER, "id": NUMBER}},
        second={"type": "object", "properties": {"age": HOME}, "required": ["age"]},
    )
    raw = '{"second":{"age":"own"},"first":{"id":7,"age":2},"age":0.5,"id":"1"}'
    assert _decode(contract, raw) == {"id": "1", "age": 0.5, "first.age": 2, "first.id": 7, "second.age": "own"}
    assert _reason(_decode(contract, raw.replace('"own"', "1")))[1].startswith("second.age: wrong type")
    assert _reason(_decode(contract, raw.replace('"age":0.5,', "")))[1].startswith("age: missing")
    assert _reason(_decode(contract, raw.replace('"age":"own"', "")))[1].startswith("second.age: missing")


@pytest.mark.parametrize("name", ["a:b", "a b", "é", "a.b", "m0", "\N{GRINNING FACE}", 'a"b', "a\\b", "a/b", "age "])
def test_names_of_any_characters(name: str) -> None:
    """A colon in a name, a quote or a backslash: it is read, missed and found twice like any other."""
    contract = make_contract(name, **{name: NUMBER})
    written = name.replace("\\", "\\\\").replace('"', '\\"')
    assert _decode(contract, f'{{"id":"1","{written}":5}}') == {"id": "1", name: 5}
    assert _reason(_decode(contract, f'{{"id":"1","{written}":"5"}}'))[0] == "wrong_type"
    assert _reason(_decode(contract, '{"id":"1"}'))[0] == "missing_field"
    assert _reason(_decode(contract, f'{{"id":"1","{written}":5,"{written}":5}}')) == (
        "not_json",
        f"given twice: {name}",
    )


def test_colons_in_texts_do_not_hide_a_repeated_name() -> None:
    """As many colons as members mean nothing if a text has some, and some members are absent."""
    for note in ("a", "a:b", "::::"):
        assert _reason(_decode(NESTED, f'{{"id":"{note}","note":"{note}","age":1,"age":2}}'))[0] == "not_json"
        assert isinstance(_decode(NESTED, f'{{"id":"{note}","note":"{note}","age":1}}'), dict)


def test_an_application_without_objects_in_it_is_valid() -> None:
    """An optional object may be absent though members of it are required."""
    assert _decode(NESTED, '{"id":"1"}') == {
        "id": "1",
        "age": None,
        "employer.age": None,
        "employer.home": None,
        "last": None,
    }


def test_the_fast_decoder_reads_what_is_valid() -> None:
    """Only invalid values need the slow one, whatever other properties and escapes a valid one has."""
    values = [
        b'{"id":"1","age":4,"employer":{"age":5,"home":"rent"},"note":"x","last":6}',
        b'{"id":"1"}',
        b'{"id":"1","note":null,"zz":{"age":1,"age":2}}',
        b'{"\\u0069d":"1","employer":{"age":5,"zz":"\\n"}}',
        b'{"id":"a:b","zz":"' + 500 * b":" + b'"}',
    ]
    found = Decoder(NESTED).decode_batch([*values, b'{"id":"1","age":"5"}', b"{"], BYTES_MAX)
    assert (found.rows, sorted(found.rejections), found.slow_decodes) == ([0, 1, 2, 3, 4], [5, 6], 2)
