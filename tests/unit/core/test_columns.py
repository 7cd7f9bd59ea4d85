"""Columns of fields of every kind: which value each application has, and which values are unknown.

Each value is read by the fast decoder and by the slow one, which must agree to the bit.
"""

from typing import Any

import numpy as np
import pytest

from schemas.contract import Contract
from scorer.core.columns import ColumnReader, Columns, concatenate, read_absent
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection, SlowDecoder
from tests.fakes import fields_of, make_contract

BYTES_MAX = 10_000
NUMBER: dict[str, Any] = {"type": "number"}
INTEGER: dict[str, Any] = {"type": "integer"}
HOME: dict[str, Any] = {"type": "string", "enum": ["rent", "own", "n/a"]}
DATE: dict[str, Any] = {"type": "string", "format": "date"}
DATE_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
ABSENT = "absent"


def _columns(contract: Contract, *texts: str) -> Columns:
    """The columns of valid applications, each given as the text of its members after the id."""
    values = [f'{{"id":"a-{n}"{"," if text else ""}{text}}}'.encode() for n, text in enumerate(texts)]
    decoded = Decoder(contract).decode_batch(values, BYTES_MAX)
    assert (decoded.rejections, decoded.slow_decodes) == ({}, 0)
    rows = []
    for value in values:
        row = SlowDecoder(contract).decode(value)
        assert not isinstance(row, Rejection), row
        rows.append(row)
    slowly = ColumnReader(contract).read(rows)
    assert list(slowly.ids) == list(decoded.columns.ids) == [f"a-{n}" for n in range(len(texts))]
    for name, column in slowly.values.items():
        assert column.dtype == decoded.columns.values[name].dtype
        assert column.tobytes() == decoded.columns.values[name].tobytes(), name
    assert slowly.absent.tolist() == decoded.columns.absent.tolist()
    return decoded.columns


def _read(field: dict[str, Any], text: str) -> object:
    """What an optional field `x` is read as: its value is the text, or it is absent."""
    contract = make_contract(x=field)
    (fields,) = fields_of(_columns(contract, "" if text is ABSENT else f'"x":{text}'), contract)
    return fields["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5.0),
        ("5.0", 5.0),
        ("5e0", 5.0),
        ("-0.0", 0.0),
        ("1e-400", 0.0),
        ("0.1", 0.1),
        ("9007199254740993", 2.0**53),
    ],
)
def test_numbers_are_the_nearest_doubles(text: str, value: float) -> None:
    """However a number is spelt."""
    assert _read(NUMBER, text) == value


@pytest.mark.parametrize("text", ["5", "5.0", "50e-1", "0.5e1"])
def test_an_integer_is_a_number_without_a_fraction(text: str) -> None:
    """JSON Schema's integers are numbers whose value is whole, however they are spelt."""
    assert _read(INTEGER, text) == 5


def test_booleans_are_0_and_1() -> None:
    """As models are given them; null is unknown."""
    field = {"type": ["boolean", "null"]}
    assert [_read(field, text) for text in ("true", "false", "null", ABSENT)] == [1, 0, None, None]


def test_categories_are_positions_in_the_contract() -> None:
    """In the order of enum; null is -1. Escapes are no other value."""
    contract = make_contract(x={"type": ["string", "null"], "enum": ["rent", "own", None]})
    columns = _columns(contract, '"x":"own"', '"x":"rent"', '"x":null', "", '"x":"\\u0072ent"')
    assert columns.values["x"].tolist() == [1, 0, -1, -1, 0]
    assert columns.values["x"].dtype == np.intp


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (NUMBER | {"minimum": 0, "maximum": 10, "x-unknown": [-9, 99_999_999]}, "-9"),
        (NUMBER | {"minimum": 0, "maximum": 10, "x-unknown": [-9, 99_999_999]}, "99999999.0"),
        (NUMBER | {"minimum": 0, "x-unknown": [5]}, "5"),
        (NUMBER | {"x-unknown": [1e39]}, "1e39"),
        (INTEGER | {"maximum": 10, "x-unknown": [999]}, "999.0"),
        (INTEGER | {"x-unknown": [0.5]}, "0.5"),
        (HOME | {"x-unknown": ["n/a"]}, '"n/a"'),
        (HOME | {"x-unknown": ["?"]}, '"?"'),
    ],
)
def test_values_that_mean_unknown(field: dict[str, Any], text: str) -> None:
    """They are read as null, need not be within the limits, among the categories or whole, and null stays invalid."""
    assert _read(field, text) is None
    contract = make_contract(x=field)
    assert isinstance(Decoder(contract).decode(b'{"id":"1","x":null}', BYTES_MAX), Rejection)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("2024-02-29", 19_782),
        ("0001-01-01", -719_162),
        ("9999-12-31", 2_932_896),
    ],
)
def test_dates_are_days_since_1970(text: str, days: float) -> None:
    """Also before, and as far as the calendar goes."""
    assert _read(DATE, f'"{text}"') == days


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-02t12:00:00z", 1.5),
        ("1970-01-02T00:00:00+12:00", 0.5),
        ("1970-01-01T00:00:00-12:00", 0.5),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1 / 86_400_000_000),
        ("2024-02-29T23:30:00-00:30", 19_783),
        ("0001-01-01T00:00:00+12:00", -719_162.5),
        ("9999-12-31T12:00:00-12:00", 2_932_897),
        ("1970-01-01T00:00:00.5000000000Z", 0.5 / 86_400),
    ],
)
def test_date_times_are_compared_as_instants(text: str, days: float) -> None:
    """Days since 1970 in UTC, whatever the offset, also outside the calendar in UTC; letters may be small."""
    assert _read(DATE_TIME, f'"{text}"') == days


@pytest.mark.parametrize(
    ("field", "default", "value"),
    [
        (NUMBER, 5, 5.0),
        (INTEGER, 5.0, 5.0),
        ({"type": "boolean"}, True, 1.0),
        ({"type": "boolean"}, False, 0.0),
        (HOME, "own", "own"),
        (DATE, "1970-01-02", 1.0),
        (DATE_TIME, "1970-01-02T12:00:00Z", 1.5),
        (NUMBER | {"x-unknown": [5]}, 5, None),
        (HOME | {"x-unknown": ["own"]}, "own", None),
        (HOME | {"x-unknown": ["?"]}, "?", None),
    ],
)
@pytest.mark.parametrize("nullable", [False, True])
def test_a_default_stands_for_absent_and_not_for_null(
    field: dict[str, Any], default: object, value: object, nullable: bool
) -> None:
    """An absent field has the default, unless that means unknown; null is unknown where it is valid."""
    field = field | {"default": default}
    if nullable:
        field = field | {"type": [field["type"], "null"]}
        if "enum" in field:
            field["enum"] = [*field["enum"], None]
        assert _read(field, "null") is None
    assert _read(field, ABSENT) == value


@pytest.mark.parametrize("field", [NUMBER, INTEGER, {"type": "boolean"}, HOME, DATE, DATE_TIME])
def test_absent_without_a_default_is_unknown(field: dict[str, Any]) -> None:
    """For a field of any kind."""
    assert _read(field, ABSENT) is None


NESTED = make_contract(
    "income",
    income=NUMBER,
    applicant={
        "type": ["object", "null"],
        "properties": {
            "income": NUMBER,
            "home": HOME | {"default": "own"},
            "employer": {"type": "object", "properties": {"income": NUMBER, "since": DATE}},
        },
        "required": ["income"],
    },
    after={"type": "boolean"},
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            '"applicant":{"income":2,"home":"rent","employer":{"income":3,"since":"1970-01-05"}},"after":true',
            (2.0, "rent", 3.0, 4.0, 1.0),
        ),
        ('"after":true,"applicant":{"employer":{"since":"1970-01-05"},"income":2}', (2.0, "own", None, 4.0, 1.0)),
        ('"applicant":{"income":2,"employer":{}}', (2.0, "own", None, None, None)),
        ('"applicant":{"income":2},"after":false', (2.0, "own", None, None, 0.0)),
        ('"applicant":null', (None, "own", None, None, None)),
        ("", (None, "own", None, None, None)),
    ],
)
def test_objects_give_dotted_fields(text: str, values: tuple[object, ...]) -> None:
    """Names that two objects share are kept apart; what an absent object would contain is absent, too."""
    names = ("applicant.income", "applicant.home", "applicant.employer.income", "applicant.employer.since", "after")
    (fields,) = fields_of(_columns(NESTED, ",".join(filter(None, ('"income":1', text)))), NESTED)
    assert fields == {"id": "a-0", "income": 1.0, **dict(zip(names, values, strict=True))}


def test_texts_have_no_column() -> None:
    """A text is never a model's input: not even the id, of which each application has its own."""
    contract = make_contract(note={"type": ["string", "null"], "default": "x"}, n=NUMBER)
    columns = _columns(contract, '"note":"a:b","n":1', '"note":null', "")
    assert list(columns.values) == ["n"]


def test_rows_can_be_taken_and_joined() -> None:
    """Some rows in any order, and parts one after the other, keep every value, unknown ones too."""
    columns = _columns(NESTED, '"income":1', '"income":2,"after":true', '"income":3,"applicant":{"income":4}')
    everyone = fields_of(columns, NESTED)
    taken = columns.take(np.array([2, 0], dtype=np.intp))
    assert fields_of(taken, NESTED) == [everyone[2], everyone[0]]
    assert fields_of(concatenate([taken, columns.take(np.array([], dtype=np.intp)), columns]), NESTED) == [
        everyone[2],
        everyone[0],
        *everyone,
    ]


def test_no_rows_are_columns_of_nothing() -> None:
    """Every input has its column, so that the matrix of an empty batch can be made."""
    columns = _columns(NESTED)
    assert len(columns) == 0
    assert {name: len(column) for name, column in columns.values.items()} == dict.fromkeys(NESTED.inputs, 0)


@pytest.mark.parametrize(
    "field",
    [
        NUMBER,
        NUMBER | {"default": 5},
        INTEGER | {"default": -9, "x-unknown": [-9]},
        {"type": "boolean", "default": True},
        HOME,
        HOME | {"default": "own"},
        HOME | {"default": "n/a", "x-unknown": ["n/a"]},
        DATE | {"default": "2024-02-29"},
        DATE_TIME | {"default": "2024-02-29T10:00:00.25+02:00"},
        DATE_TIME | {"type": ["string", "null"]},
    ],
)
def test_what_stands_for_an_absent_value_is_in_the_column(field: dict[str, Any]) -> None:
    """Whatever the kind and the default, `read_absent` is what the column of an application without the field has."""
    contract = make_contract(x=field)
    expected = float(_columns(contract, "").values["x"][0])
    assert np.array_equal(read_absent(contract.fields["x"]), expected, equal_nan=True)
