"""Laws of contracts: for any contract and any bytes, the decoder says what JSON Schema says, value for value.

`contract_judge` is held against the decoder, and the fast decoder against the slow one.
"""

import json
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.rejection import RejectionCode
from scorer.core.columns import ColumnReader, Columns
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection, SlowDecoder
from tests.fakes import fields_of
from tests.property.contract_judge import Schema, Verdict, fault_of, judge

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case is a contract and several records

BYTES_MAX: Final = 4_096
NAMES: Final = ("a", "b", "age", "x:y", "é", "a b", "income", "in.come", 'q"q', "b\\s", "m0", "id")
CATEGORIES: Final = ("rent", "own", "Rent", "", "a:b", "é", 'q"', "b\\", "-9", "null", "\N{GRINNING FACE}")
NUMBERS: Final = (
    "0", "5", "5.0", "5.5", "-9", "-9.0", "1e1", "10", "20.5", "99999999", "-1", "0.5", "1e39", "1e200", "-1e300",
    "1e400", "-0", "-0.0", "1e-400", "9" * 30, "9" * 400, "340282346638528859811704183484516925440", "3.4028235e38",
)  # fmt: skip
DATES: Final = (
    "2024-02-29", "2023-02-29", "1970-01-01", "0001-01-01", "9999-12-31", "0000-01-01", "2024-2-29", "20240229",
    "2024-13-01", "2024-02-29T00:00:00Z", " 2024-02-29", "2024-W09-4", "2024-02-29\n", "\u0662024-02-29", "",
)  # fmt: skip
DATE_TIMES: Final = (
    "2024-02-29T12:00:00Z", "2024-02-29t12:00:00z", "2024-02-29T12:00:00.5+05:30", "2024-02-29T12:00:00-00:00",
    "2024-02-29 12:00:00Z", "2024-02-29T12:00:00", "2023-02-29T12:00:00Z", "2024-02-29T12:00Z", "2024-02-29",
    "2024-02-29T25:00:00Z", "2024-02-29T12:61:00Z", "2024-02-29T12:00:00+0530", "2024-02-29T12:00:00.Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2024-02-29T12:00:00Z\n", "1969-12-31T23:59:59Z",
)  # fmt: skip
ODD: Final = ("null", "true", "false", "5", '"5"', '"x"', "[]", "{}", "[5]", '{"a":5}', '""', "NaN", "nul", "01")
EXTRA: Final = (
    '"zz":"a:b"', '"\\u007az":1', '"zz":{"a":1,"a":2}', '"zz":1,"zz":2', '"zz":1e400', '"zz":"\\"a\\":"', '"zz":null',
    '"zz":{"age":1,"b":{"age":2}}', '"zz":[{"a":1},{"a":2}]', '"":":"', '"zz":"\\ud800"', '"zz":"\n"',
    '"zz":' + "[" * 99 + "]" * 99, '"zz" : {"income" : 1}',
)  # fmt: skip

OF_WHOLE_VALUES: Final = frozenset(RejectionCode) - {
    RejectionCode.MISSING_FIELD, RejectionCode.WRONG_TYPE, RejectionCode.OUT_OF_RANGE, RejectionCode.UNKNOWN_CATEGORY,
}  # fmt: skip


def _texts(member: Schema) -> list[str]:
    """What may stand in a field of this kind, much of it invalid."""
    match member["type"] if isinstance(member["type"], str) else member["type"][0]:
        case "number" | "integer":
            return [*NUMBERS, "null"]
        case "boolean":
            return ["true", "false", "null", "0", "1", '"true"']
    if "enum" in member:
        written = [json.dumps(text, ensure_ascii=ascii_) for text in CATEGORIES for ascii_ in (True, False)]
        return [*written, "null", '"\\u0072ent"', '"rent "', '"RENT"', "5"]
    if "format" in member:
        return [*(json.dumps(text) for text in (*DATES, *DATE_TIMES)), '"2024\\u002d02-29"', "null", "5"]
    return ['"x"', '"a:b"', '"\\u00e9\\n"', '"é"', '""', '"xxxx"', '"xxxxxx"', f'"{300 * "x"}"', "null", "5"]


def _is_valid(member: Schema, text: str) -> bool:
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
    valid = [text for text in _texts(member) if text != "null" and len(text) < 40 and _is_valid(member, text)]
    if valid and draw(st.integers(0, 2)) == 0:
        member["default"] = json.loads(draw(st.sampled_from(valid)))
    return member


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[Schema], size_max: int) -> Schema:
    """An object of such members, some of them required."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=size_max))
    required = [name for name in names if draw(st.booleans())]
    return {"type": "object", "properties": {name: draw(members) for name in names}, "required": required}


@st.composite
def contracts(draw: st.DrawFn) -> Schema:
    """A contract of up to 12 fields, one level of objects, and an id anywhere."""
    nested = objects(fields(), 3).map(lambda member: member | {"x-null": None})
    schema: Schema = draw(objects(st.one_of(fields(), fields(), nested), 5))
    for member in schema["properties"].values():
        if "x-null" in member:
            del member["x-null"]
            member["type"] = draw(st.sampled_from(("object", ["object", "null"])))
    place = draw(st.integers(0, len(schema["properties"])))
    members = [m for m in schema["properties"].items() if m[0] != "id"]
    members.insert(place, ("id", {"type": "string", "x-id": True}))
    return schema | {"properties": dict(members), "required": sorted({*schema["required"], "id"})}


def _spell(draw: st.DrawFn, name: str) -> str:
    if draw(st.integers(0, 15)) == 0:
        return '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"'
    return json.dumps(name, ensure_ascii=draw(st.booleans()))


def _write(draw: st.DrawFn, schema: Schema, faults_per_100: int) -> str:
    """An object for a contract; most of its members are valid."""
    members: list[str] = []
    for name, member in schema["properties"].items():
        luck = draw(st.integers(0, 99))
        if luck >= 100 - faults_per_100 or (name not in schema["required"] and luck < 25):
            continue
        for _ in range(2 if luck == 25 and faults_per_100 else 1):
            if "properties" in member:
                may_be_null = isinstance(member["type"], list) and luck < 40
                text = "null" if may_be_null else _write(draw, member, faults_per_100)
            else:
                texts = [text for text in _texts(member) if _is_valid(member, text)] or ["0"]
                text = draw(st.sampled_from(texts))
            if draw(st.integers(0, 99)) < faults_per_100:
                text = draw(st.sampled_from((*ODD, *(_texts(member) if "properties" not in member else ()))))
            members.append(f"{_spell(draw, name)}:{text}")
    if draw(st.integers(0, 4)) == 0:
        members.append(draw(st.sampled_from(EXTRA)))
    if draw(st.integers(0, 7)) == 0:
        members.reverse()
    return "{" + ",".join(members) + "}"


@st.composite
def cases(draw: st.DrawFn) -> tuple[Schema, list[bytes]]:
    """A contract, and values for it: some valid, some nearly, some damaged."""
    schema = draw(contracts())
    values: list[bytes] = []
    for _ in range(draw(st.integers(1, 4))):
        value = _write(draw, schema, draw(st.sampled_from((0, 0, 10, 30)))).encode("utf-8", "surrogatepass")
        if draw(st.integers(0, 7)) == 0:
            place = draw(st.integers(0, len(value)))
            removed = draw(st.integers(0, 2))
            inserted = draw(st.sampled_from((b"", b'"', b"{", b"}", b",", b":", b"\\", b"\xff", b" ", b"null", b"1")))
            value = value[:place] + inserted + value[place + removed :]
        values.append(value)
    return schema, values


def _verdict(contract: Contract, one: Columns | Rejection) -> Verdict:
    """A result in the judge's words."""
    if not isinstance(one, Rejection):
        (values,) = fields_of(one, contract)
        return values
    names = [] if one.code in OF_WHOLE_VALUES else [fault.partition(": ")[0] for fault in one.reason.split("; ")]
    return one.code.value, names


@law
@given(cases())
def test_the_decoder_says_what_json_schema_says(case: tuple[Schema, list[bytes]]) -> None:
    """Values, codes and the names at fault are the judge's, for each value alone; no value has no result."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder = Decoder(contract)
    for value in values:
        # repr tells -0.0 from 0.0, and gives every digit.
        assert repr(_verdict(contract, decoder.decode(value, BYTES_MAX))) == repr(judge(schema, value, BYTES_MAX))


@law
@given(cases())
def test_the_fast_decoder_agrees_with_the_slow_one(case: tuple[Schema, list[bytes]]) -> None:
    """Each value has the columns or the rejection that it has without the fast decoder."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder, slow, reader = Decoder(contract), SlowDecoder(contract), ColumnReader(contract)
    for value in filter(None, values):
        row = slow.decode(value)
        slowly = row if isinstance(row, Rejection) else fields_of(reader.read([row]), contract)
        quickly = decoder.decode(value, BYTES_MAX)
        assert repr(slowly) == repr(quickly if isinstance(quickly, Rejection) else fields_of(quickly, contract))


@law
@given(cases())
def test_isolation(case: tuple[Schema, list[bytes]]) -> None:
    """A batch has the results that its values have alone, each one result, in order."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder = Decoder(contract)
    batch: list[bytes | None] = [*values, None, *reversed(values)]
    found = decoder.decode_batch(batch, BYTES_MAX)
    assert sorted([*found.rejections, *found.rows]) == list(range(len(batch)))
    assert found.rows == sorted(found.rows)
    together = dict(zip(found.rows, fields_of(found.columns, contract), strict=True))
    for place, value in enumerate(batch):
        alone = decoder.decode(value, BYTES_MAX)
        one = found.rejections.get(place, together.get(place))
        assert repr(one) == repr(alone if isinstance(alone, Rejection) else fields_of(alone, contract)[0])
