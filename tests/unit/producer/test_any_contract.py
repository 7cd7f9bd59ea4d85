"""Generated applications of contracts that are not the shipped one."""

import json
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from producer.generator import generate_applications
from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.profile import parse_profile
from schemas.rejection import RejectionCode
from scorer.core.columns import Columns
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection

BYTES_MAX = 65_536
ID = {"type": "string", "x-id": True}


def _contract(properties: dict[str, Any], required: list[str] | None = None) -> Contract:
    document = {"title": "Loan", "type": "object", "properties": {"id": ID, **properties}, "required": ["id"]}
    return parse_contract(json.dumps(document | {"required": ["id", *(properties if required is None else required)]}))


def _values(contract: Contract, count: int = 2_000, seed: int = 1) -> list[dict[str, Any]]:
    """Valid applications, read as JSON; each is one that the decoder accepts."""
    decoder = Decoder(contract)
    values = [record.value for record in islice(generate_applications(seed, contract=contract), count)]
    assert all(isinstance(decoder.decode(value, BYTES_MAX), Columns) for value in values)
    return [json.loads(value) for value in values]


def test_a_number_is_spread_over_its_limits() -> None:
    """Each tenth of the range has about a tenth of the numbers, which are rounded to what the range needs."""
    contract = _contract({"ratio": {"type": "number", "minimum": 0, "exclusiveMaximum": 1}})
    ratios = [value["ratio"] for value in _values(contract)]
    assert set(Counter(int(ratio * 10) for ratio in ratios)) == set(range(10))
    assert all(len(str(ratio)) <= 5 for ratio in ratios)
    assert max(Counter(int(ratio * 10) for ratio in ratios).values()) < 300


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 3}, {1, 2, 3}),
        ({"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 3}, {1, 2}),
        ({"type": "number", "minimum": 0.25, "maximum": 0.25}, {0.25}),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 5e-324}, {5e-324}),
        ({"type": "boolean"}, {True, False}),
        ({"type": ["string", "null"], "enum": ["a", 'q"', None]}, {"a", 'q"', None}),
        ({"type": "integer", "minimum": 1, "maximum": 2, "x-unknown": [-9]}, {1, 2, -9}),
        ({"type": "string", "maxLength": 0}, {""}),
    ],
)
def test_every_value_of_a_small_range_is_drawn(schema: dict[str, Any], expected: set[object]) -> None:
    """Limits are reached but not passed, and unknown values are in some of the applications."""
    assert {value["field"] for value in _values(_contract({"field": schema}))} == expected


def test_optional_fields_and_objects_are_sometimes_absent() -> None:
    """An application lacks each of them now and then, null stands where it may, and the order is the contract's."""
    inner = {"type": ["object", "null"], "properties": {"a%s": {"type": "boolean"}, "b": {"type": "boolean"}}}
    contract = _contract({"first": {"type": "boolean"}, "in\u00e9r": inner, "last": {"type": "boolean"}}, [])
    values = _values(contract)
    names = ["id", "first", "in\u00e9r", "last"]
    assert all([name for name in names if name in value] == list(value) for value in values)
    for name in names[1:]:
        assert 0.04 < sum(name not in value for value in values) / len(values) < 0.16
    inners = [value.get("in\u00e9r", "absent") for value in values]
    assert None in inners
    assert {tuple(i) for i in inners if isinstance(i, dict)} == {("a%s", "b"), ("a%s",), ("b",), ()}


def test_dates_and_times_are_of_the_calendar() -> None:
    """They are spread over decades, and written as RFC 3339 has them."""
    contract = _contract({"on": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "date-time"}})
    values = _values(contract)
    assert len({value["on"][:3] for value in values}) > 5
    assert len({value["at"][:10] for value in values}) > 1_000


def test_texts_have_the_contracts_lengths() -> None:
    """A text is as long as it must be, and made up."""
    contract = _contract({"note": {"type": "string", "minLength": 30}, "code": {"type": "string", "maxLength": 3}})
    lengths = {(len(value["note"]), len(value["code"])) for value in _values(contract)}
    assert lengths == {(30, 3)}


@pytest.mark.parametrize(("lengths", "first"), [((1, 6), "0"), ((20, 40), "load-7-0000000000000"), ((1, 20), "ad-7-0")])
def test_ids_fit_the_contract(lengths: tuple[int, int], first: str) -> None:
    """The default prefix is cut where ids are short, and numbers are filled where they are long."""
    field = {"type": "string", "minLength": lengths[0], "maxLength": lengths[1], "x-id": True}
    properties = {"applicant": {"type": "object", "properties": {"key": field}, "required": ["key"]}}
    document = {"type": "object", "properties": properties}
    contract = parse_contract(json.dumps(document))
    ids = [value["applicant"]["key"] for value in _values(contract, 600, seed=7)]
    assert ids[0] == first
    assert len(set(ids)) == 600


def test_a_prefix_that_leaves_no_room_is_rejected() -> None:
    """The message says how long it may be for this contract."""
    contract = _contract({"id": ID | {"maxLength": 20}}, [])
    with pytest.raises(ValueError, match="at most 4 characters for ids of loan:1"):
        generate_applications(1, "loads", contract=contract)


def test_invalid_records_have_every_code_that_applies() -> None:
    """A contract with a required category and number has all codes; each record has the one that the decoder says."""
    contract = _contract({"age": {"type": "integer", "minimum": 18}, "home": {"type": "string", "enum": ["rent"]}})
    decoder = Decoder(contract)
    records = list(islice(generate_applications(2, invalid_share=0.5, contract=contract), 3_000))
    for record in records:
        decoded = decoder.decode(record.value, BYTES_MAX)
        assert (decoded.code if isinstance(decoded, Rejection) else None) is record.code
    codes = {record.code for record in records} - {None}
    assert codes == set(RejectionCode) - {RejectionCode.MODEL_ERROR, RejectionCode.UNREADABLE}


def _profiled(contract: Contract, fields: dict[str, dict[str, Any]], count: int = 4_000) -> list[dict[str, Any]]:
    profile = parse_profile(json.dumps({"profile_version": 1, "fields": fields}).encode())
    decoder = Decoder(contract)
    values = [r.value for r in islice(generate_applications(1, contract=contract, profile=profile), count)]
    assert all(isinstance(decoder.decode(value, BYTES_MAX), Columns) for value in values)
    return [json.loads(value) for value in values]


def test_applications_resemble_a_profile() -> None:
    """Quantiles, decimals, shares of values and of unknown ones are the profile's."""
    contract = _contract(
        {
            "income": {"type": ["number", "null"]},
            "home": {"type": "string", "enum": ["rent", "own", "boat"]},
            "born": {"type": "string", "format": "date"},
        }
    )
    fields = {
        "income": {"unknown": 0.25, "quantiles": [10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 600], "decimals": 1},
        "home": {"unknown": 0, "shares": {"rent": 0.2, "own": 0.8}},
        "born": {"unknown": 0, "quantiles": [-3000.0] * 5 + [0.0] * 6},
    }
    values = _profiled(contract, fields)
    known = [value["income"] for value in values if value["income"] is not None]
    assert 0.22 < 1 - len(known) / len(values) < 0.28
    assert 85 < sorted(known)[len(known) // 2] < 115
    assert {len(str(income).partition(".")[2]) for income in known} == {1}
    homes = Counter(value["home"] for value in values)
    assert set(homes) == {"rent", "own"}
    assert 0.17 < homes["rent"] / len(values) < 0.23
    assert {value["born"][:4] for value in values} <= {str(year) for year in range(1961, 1971)}


def test_a_profile_of_other_limits_makes_valid_applications() -> None:
    """Numbers are moved to the contract's limits, categories that it lacks are not used, and other fields are drawn."""
    contract = _contract(
        {
            "age": {"type": "integer", "minimum": 18, "exclusiveMaximum": 60},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "home": {"type": "string", "enum": ["rent"], "default": "rent"},
            "more": {"type": "boolean"},
        },
        ["age", "share", "more"],
    )
    fields = {
        "age": {"unknown": 0.5, "quantiles": [10, 12, 15, 20, 30, 40, 50, 60, 70, 80, 90]},
        "share": {"unknown": 0, "quantiles": [0.0] * 11},
        "home": {"unknown": 0, "shares": {"boat": 1.0}},
    }
    values = _profiled(contract, fields)
    assert {value["age"] for value in values} == set(range(18, 60))
    assert all(value["home"] == "rent" for value in values)
    assert len({value["more"] for value in values}) == 2
