"""Bytes to applications and back: what is accepted is read exactly, what is refused is refused by name."""

import ast
import json
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.application import MONEY_MAX, CreditApplication
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.examples import APPLICATIONS
from schemas.rejection import RejectionCode
from scorer.core import wire
from scorer.core.wire import Application, DecisionEncoder, Rejection, decode, decode_batch, id_of

RECORD_BYTES_MAX = 65_536
BUNDLE = BundleReference(name="credit-risk", version="1.1.0", digest="0123456789ab" + 52 * "0")
FIELDS = tuple(CreditApplication.model_fields)
REQUIRED = tuple(name for name, field in CreditApplication.model_fields.items() if field.is_required())
NULLABLE = ("income", "assets", "debt")
CATEGORIES = ("home", "marital", "records", "job")
NUMBERS = tuple(name for name in FIELDS if name not in CATEGORIES and name != "application_id")


def _sound(**fields: object) -> bytes:
    """A sound application, but for the fields given; one given as `...` is left out."""
    values = {**APPLICATIONS["plain"], **fields}
    return json.dumps({name: value for name, value in values.items() if value is not ...}).encode()


def _written(replacements: dict[str, str], *more: str) -> bytes:
    """A sound application in which some fields' values are these texts, and after which these texts stand."""
    fields = {name: json.dumps(value) for name, value in json.loads(_sound()).items()}
    fields = {**fields, **replacements}
    return ("{" + ",".join([*(f'"{name}":{text}' for name, text in fields.items()), *more]) + "}").encode()


def _accepted(raw: bytes | None) -> Application:
    result = decode(raw, RECORD_BYTES_MAX)
    assert not isinstance(result, Rejection), result
    return result


def _rejected(raw: bytes | None) -> Rejection:
    result = decode(raw, RECORD_BYTES_MAX)
    assert isinstance(result, Rejection)
    return result


def _code(raw: bytes | None) -> str:
    return _rejected(raw).code.value


def test_reads_what_was_written() -> None:
    """Every field of a sound application comes out with its own value."""
    result = _accepted(_sound(home="owner", income=182.5))
    wanted = json.loads(_sound(home="owner", income=182.5))
    assert {name: getattr(result, name) for name in FIELDS} == wanted


@pytest.mark.parametrize("name", NULLABLE)
def test_null_and_absent_are_the_same(name: str) -> None:
    """Where null is allowed, null and absent both read as None."""
    assert getattr(_accepted(_sound(**{name: None})), name) is None
    assert getattr(_accepted(_sound(**{name: ...})), name) is None


def test_absent_marital_status_is_not_missed() -> None:
    """An application without marital status is sound; the fast decoder reads None, which the features know as unk."""
    assert _accepted(_sound(marital=...)).marital in {None, "unk"}


@pytest.mark.parametrize(
    "application_id",
    ["x", "x" * 64, "é" * 64, 'with "quotes"', "two\nlines", "a:b", "\N{GRINNING FACE}", "\x00", "back\\slash", "\x7f"],
)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_ids_come_through_unchanged(application_id: str, ensure_ascii: bool) -> None:
    """Any text of 1 to 64 characters is an id, escaped (surrogate pairs included) or as it stands."""
    raw = json.dumps({**json.loads(_sound()), "application_id": application_id}, ensure_ascii=ensure_ascii)
    assert _accepted(raw.encode()).application_id == application_id


@pytest.mark.parametrize(
    "more",
    [
        '"branch":"north"', '"branch":null', '"note":"a:b"', '"tags":["x",{"age":5}]', '"note":"\\u00e9"', '"n":1e400',
        '"note":"\\"age\\""', '"":0', '"branch":1,"branch":2', '"deep":' + "[" * 199 + "]" * 199,
    ],
)  # fmt: skip
def test_fields_of_the_publisher_are_ignored(more: str) -> None:
    """Fields that the contract does not list change nothing, whatever they hold, if it is JSON."""
    assert _accepted(_written({}, more)) == _accepted(_written({}))


@pytest.mark.parametrize("raw", [None, b""])
def test_empty(raw: bytes | None) -> None:
    """A tombstone and an empty value are `empty`."""
    assert _rejected(raw) == Rejection(RejectionCode.EMPTY, "the value is empty")


def test_too_large_comes_before_what_is_in_it() -> None:
    """The limit is inclusive, and a value over it is not even looked at."""
    raw = _sound()
    assert not isinstance(decode(raw, len(raw)), Rejection)
    for value in (raw, b"\xff" * len(raw)):
        result = decode(value, len(raw) - 1)
        assert isinstance(result, Rejection)
        assert result == (
            RejectionCode.TOO_LARGE,
            f"the value has {len(raw)} bytes; at most {len(raw) - 1} are read",
        )


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff", b"{\xff", b'{"note":"\xc0\x80"}', b'{"note":"\xed\xa0\x80"}', b'{"\xff":1}',
        _written({}, '"note":"?"').replace(b"?", b"\xff"), _written({"home": '"rent?"'}).replace(b"?", b"\xe9"),
        _written({"application_id": '"?"'}).replace(b"?", b"\xed\xa0\x80"), _sound().decode().encode("utf-16"),
    ],
)  # fmt: skip
def test_not_utf8_comes_before_not_json(raw: bytes) -> None:
    """Bytes that are no UTF-8 (surrogates and overlong forms are none) are `not_utf8`, in skipped fields too."""
    assert _code(raw) == "not_utf8"


NOT_JSON = [
    b" ", b"{", b"nul", b"{}x", b"{'a':1}", b"\xef\xbb\xbf{}", b"\x00", b"// note\n{}", b"{}{}", b'{"a":1,}', b"NaN",
    _sound()[:-1], _sound() + b",", _sound() + _sound(), b"\xef\xbb\xbf" + _sound(),
    b"[" * 60_000, b'{"a":' * 10_000,
    *(_written({"price": text}) for text in ("NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+5", "1e", "-", "0x1")),
    *(_written({"income": text}) for text in ("NaN", "nul", "NULL", "None", "", "'5'", "5 5", "1_000")),
    *(_written({"application_id": text}) for text in ('"\x01"', '"\n"', '"\\q"', '"\\ud800"', '"\\udc00\\ud800"')),
    *(_written({}, text) for text in ('"n":NaN', '"n":-Infinity', '"n":01', '"n":"\x01"', '"n":"\\ud800"', '"n"', "")),
    _written({}, '"n":' + "[" * 201 + "]" * 201), _written({}, '"n":[1,]'), _written({}, '"n":tru'),
]  # fmt: skip


@pytest.mark.parametrize("raw", NOT_JSON)
def test_not_json(raw: bytes) -> None:
    """What is no JSON, nests too deep, or has NaN or Infinity is `not_json`, in skipped fields too."""
    assert _code(raw) == "not_json"


@pytest.mark.parametrize("more", ['"age":30', '"\\u0061ge":30', '"income":null', '"a\\u0067e":"x"'])
def test_a_field_given_twice_is_not_json(more: str) -> None:
    """A field of the contract that stands twice, however it is spelt, is refused by name: which one is meant?"""
    name = "income" if "income" in more else "age"
    assert _rejected(_written({}, more)) == Rejection(RejectionCode.NOT_JSON, f"given twice: {name}")


@pytest.mark.parametrize("raw", [b"null", b"42", b"true", b'"x"', b"[]", b"[{}]", b" 1 ", b"[" + _sound() + b"]"])
def test_not_an_object(raw: bytes) -> None:
    """JSON that is no object is `not_an_object`."""
    assert _rejected(raw) == Rejection(RejectionCode.NOT_AN_OBJECT, "the value is JSON but not an object")


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_field(name: str) -> None:
    """Every field that must be there is missed by name."""
    result = _rejected(_sound(**{name: ...}))
    assert result.code is RejectionCode.MISSING_FIELD
    assert result.reason.startswith(f"{name}: missing, ")


@pytest.mark.parametrize("name", FIELDS)
def test_null_where_it_is_not_allowed_is_the_wrong_type(name: str) -> None:
    """Only income, assets and debt may be null; the marital status may be absent and not null."""
    if name in NULLABLE:
        _accepted(_sound(**{name: None}))
    else:
        assert _code(_sound(**{name: None})) == "wrong_type"


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ['"5"', "true", "false", "[]", "{}", '""', "[5]", '{"a":5}'])
def test_a_value_that_is_not_a_number_has_the_wrong_type(name: str, text: str) -> None:
    """Strings for numbers and booleans for numbers are refused, never converted."""
    assert _code(_written({name: text})) == "wrong_type"


@pytest.mark.parametrize("name", ["application_id", *CATEGORIES])
@pytest.mark.parametrize("text", ["5", "0", "true", "[]", "{}", '["rent"]', "1e400"])
def test_a_value_that_is_not_a_string_has_the_wrong_type(name: str, text: str) -> None:
    """Numbers for strings, the course's category codes among them, are refused, never converted."""
    assert _code(_written({name: text})) == "wrong_type"


BOUNDS = [
    ("seniority", ["0", "-0", "-0.0", "80", "1e-400"], ["-1", "-1e-9", "80.5"]),
    ("time", ["1", "0.5", "600", "6e2"], ["0", "-0", "-1", "601", "1e-400"]),
    ("age", ["18", "120", "18.0", "120.0"], ["17", "121", "17.999", "-30"]),
    ("expenses", ["0", str(MONEY_MAX)], ["-1", str(MONEY_MAX + 1), "99999999"]),
    *((name, ["0", str(MONEY_MAX)], ["-0.01", str(MONEY_MAX + 1), "99999999"]) for name in NULLABLE),
    *((name, ["0.01", str(MONEY_MAX)], ["0", "-1", str(MONEY_MAX + 1)]) for name in ("amount", "price")),
]
TOO_LARGE_FOR_ANY = ["1e400", "-1e400", "1e308", "9" * 19, "9" * 20, "9" * 400, "-" + "9" * 400, "9" * 5_000]


@pytest.mark.parametrize(("name", "within", "beyond"), BOUNDS)
def test_the_limits_of_numbers(name: str, within: list[str], beyond: list[str]) -> None:
    """A number at its limit is accepted, one past it is `out_of_range`, however large it is or many digits it has."""
    for text in within:
        assert getattr(_accepted(_written({name: text})), name) == float(text)
    for text in [*beyond, *TOO_LARGE_FOR_ANY]:
        assert _code(_written({name: text})) == "out_of_range", text


def test_a_number_of_thousands_of_digits_is_out_of_range() -> None:
    """A price of 5,000 nines was `not_json` once, because pydantic's parser reads no integer of over 4,300 digits."""
    result = _rejected(_written({"price": "9" * 5_000, "home": '"RENT"'}))
    assert result.code is RejectionCode.UNKNOWN_CATEGORY
    assert [fault.partition(":")[0] for fault in result.reason.split("; ")] == ["home", "price"]
    assert _code(_written({"price": "9" * 5_000, "home": '"\\ud800"'})) == "not_json"
    assert _code(_written({"home": "9" * 5_000})) == "wrong_type"
    assert _code(_written({"application_id": f'"\\"{"9" * 5_000}"', "price": "-" + "9" * 5_000})) == "out_of_range"
    assert not isinstance(decode(_written({"price": "1." + "0" * 5_000}), 65_536), Rejection)
    assert _code(_written({"price": "9" * 5_000}, '"":"\\ud800","":null')) == "not_json"
    # A skipped one could be read past; but whoever reads the contract with a usual parser could not read the record.
    assert _code(_written({}, '"note":' + "9" * 5_000)) == "not_json"
    deep = '"note":' + "[" * 900 + "]" * 900
    assert _code(_written({"price": "9" * 5_000}, deep)) == "not_json"


def test_messages_read_well() -> None:
    """Python ends some of its messages in "at"; ours once said "at at character 17"."""
    assert _rejected(b'{"note":"\x01"}').reason == "the value is not JSON: Invalid control character at character 9"
    assert _rejected(b"{").reason.endswith("double quotes at character 1")


@pytest.mark.parametrize("length", [0, 65, 1_000])
def test_the_length_of_ids(length: int) -> None:
    """Ids of no or of more than 64 characters are `out_of_range`; characters are counted, not bytes."""
    assert _code(_sound(application_id="x" * length)) == "out_of_range"
    assert _code(_sound(application_id="\N{GRINNING FACE}" * length)) == "out_of_range"


@pytest.mark.parametrize("name", CATEGORIES)
def test_unknown_categories(name: str) -> None:
    """A category in another letter case, with a blank, empty, or of another field is `unknown_category`."""
    (_, *values) = typing.get_args(CreditApplication.model_fields[name].annotation)
    for known in values:
        assert getattr(_accepted(_sound(**{name: known})), name) == known
        for text in (known.upper(), known.title(), f" {known}", f"{known}\n", f"{known}\x00", "", "x", known[:-1]):
            assert _code(_sound(**{name: text})) == "unknown_category", text


def test_the_first_field_in_the_contracts_order_gives_the_code() -> None:
    """Whatever the order in the record, the first failing field gives the code, and the reason names every one."""
    faults: dict[str, tuple[object, str]] = {
        "application_id": ("", "out_of_range"),
        "home": ("RENT", "unknown_category"),
        "age": ("30", "wrong_type"),
        "job": (..., "missing_field"),
        "price": (0, "out_of_range"),
    }
    names = list(faults)
    for first in range(len(names)):
        values = {name: faults[name][0] for name in reversed(names[first:])}
        raw = json.dumps(dict(reversed(json.loads(_sound(**values)).items())))
        result = _rejected(raw.encode())
        assert result.code.value == faults[names[first]][1]
        assert [fault.partition(":")[0] for fault in result.reason.split("; ")] == names[first:]


def test_the_order_of_the_codes() -> None:
    """Empty, too_large, not_utf8, not_json, not_an_object, then fields: a value with later faults too has the first."""
    limit = 200
    too_large, not_utf8 = b'["\xff' + b" " * limit, b'["\xff'
    codes = [_first_code(raw, limit) for raw in (b"", too_large, not_utf8, b'["', b'[""]', b'{"age":""}')]
    assert codes == ["empty", "too_large", "not_utf8", "not_json", "not_an_object", "missing_field"]


def _first_code(raw: bytes, bytes_max: int) -> str:
    result = decode(raw, bytes_max)
    assert isinstance(result, Rejection)
    return result.code.value


def test_neighbours_cannot_swap_their_fields() -> None:
    """Two halves that joined by a comma are two sound applications are two rejections."""
    sound = _sound(home="owner")
    first, second = sound + b',{"application_id":"', b'",' + sound[1:]
    assert _code(first) == _code(second) == "not_json"


def test_the_stub_declares_the_fields_of_the_derived_struct() -> None:
    """The `Application` that type checkers see has the fields of the one that runs, in the contract's order."""
    tree = ast.parse(Path(wire.__file__).read_text(encoding="utf-8"))
    (stub,) = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Application")
    declared = {
        node.target.id: ast.unparse(node.annotation)
        for node in stub.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    derived = {field.name: (field.type, field.required) for field in msgspec.structs.fields(Application)}
    assert list(declared) == list(FIELDS)
    assert declared == {name: _spelt(*derived[name]) for name in FIELDS}


def _spelt(annotation: Any, required: bool) -> str:
    """A derived type as the stub spells it: `str`, `float`, or one of them or None."""
    options = typing.get_args(annotation)
    base = (
        next(option for option in options if option is not types.NoneType) if types.NoneType in options else annotation
    )
    plain = typing.get_args(base)[0] if typing.get_origin(base) is typing.Annotated else base
    spelt = "str" if typing.get_origin(plain) is typing.Literal else plain.__name__
    return spelt if required else f"{spelt} | None"


def test_a_rule_that_the_fast_decoder_does_not_know_is_rejected() -> None:
    """A contract with a new kind of rule does not start, rather than accept what pydantic refuses."""
    with pytest.raises(TypeError, match="to the fast decoder"):
        wire._constraints([object()])


def test_a_record_with_more_than_the_fields_does_not_change_its_neighbours() -> None:
    """Ambiguity is looked for in a whole batch at once; what is found is held against the record that has it alone."""
    twice = _written({}, '"age": 30')
    values = [_sound(), twice, _sound(application_id="a:1"), None, b"{", _written({}, '"note": {"a": 1}'), _sound()]
    results = decode_batch(values, RECORD_BYTES_MAX).applications
    assert results == [decode(value, RECORD_BYTES_MAX) for value in values]
    refused = {i: f.reason for i, f in enumerate(results) if isinstance(f, Rejection)}
    assert list(refused) == [1, 3, 4]
    assert refused[1] == "given twice: age"


def test_an_absent_field_does_not_make_room_for_one_given_twice() -> None:
    """As many colons as a full application has mean nothing where a field is absent."""
    values = [_written({}, '"age": 30').replace(b'"income":', b'"_":'), _sound(income=..., note=1), _sound(income=None)]
    assert [isinstance(decoded, Rejection) for decoded in decode_batch(values, RECORD_BYTES_MAX).applications] == [
        True,
        False,
        False,
    ]


def _decision(application_id: str = "a-1", probability: float = 0.25) -> bytes:
    return DecisionEncoder(BUNDLE).encode(
        ("credit.applications", [3], [42]), [application_id], ["APPROVED"], [probability]
    )[0]


def test_a_decision_as_the_contract_wants_it() -> None:
    """The bytes of a decision are those of the contract's model, byte for byte and field by field."""
    wanted = Decision(
        decision_id="credit.applications:3:42@0123456789ab",
        application_id='é"\n',
        decision="APPROVED",
        probability_of_default=0.25,
        bundle=BUNDLE,
        source=RecordReference(topic="credit.applications", partition=3, offset=42),
    )
    assert _decision('é"\n') == wanted.model_dump_json().encode()


@pytest.mark.parametrize("application_id", ["a-1", "é", 'with "quotes"', "two\nlines", "\x00", "\N{GRINNING FACE}"])
def test_the_key_of_a_decision_is_its_application_id(application_id: str) -> None:
    """A decision whose application came without a key gets the id in UTF-8 as its key."""
    assert id_of(_decision(application_id)) == application_id.encode()
