"""Repeated members: found whatever else a value has, and values with properties of their own are decoded once."""

import pytest

from schemas.rejection import RejectionCode
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection
from tests.fakes import make_contract

BYTES_MAX = 10_000
OPTIONAL = {
    "type": "object",
    "properties": {"age": {"type": ["number", "null"]}, "note": {"type": "string"}, "at": {"type": "string"}},
}
CONTRACT = make_contract(
    "seen",
    seen={"type": "string", "format": "date-time"},
    age={"type": ["number", "null"]},
    note={"type": ["string", "null"]},
    person=OPTIONAL | {"type": ["object", "null"]},
)
DECODER = Decoder(CONTRACT)
START = '{"id":"a","seen":"2024-02-29T10:00:00Z"'


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ',"age":null',
        ',"note":null,"person":null',
        ',"note":"a:b:c"',
        ',"note":"caf\\u00e9 \\"at: nine\\""',
        ',"person":{"age":null,"note":"::"}',
        ',"person":{}',
        ',"zz":"https://x:1"',
        ',"zz":{"age":1,"b":[{"age":2},{"age":"a:b"}]},"yy":":"',
        ',"a:b":{":":":"}',
        ', "zz" : { "at" : "10:15" } , "yy":1 ',
        ',"zz":"\\"age\\":1","age":1',
        ',"zz":"é:"',
        ',"zz":1,"age":2,"note":"x"',
        ',"person":{"zz":{"age":":"},"age":1}',
        ',"zz":[],"person":{"yy":"a:b"}',
    ],
)
def test_nothing_is_decoded_twice(rest: str) -> None:
    """Texts with colons, nulls, absent objects and properties of the publisher's own leave a value to the fast one."""
    for value in (f"{START}{rest}}}", f'{{"own":{{"x":"a:b"}},{START[1:]}{rest}}}'):
        decoded = DECODER.decode_batch([value.encode()], BYTES_MAX)
        assert (decoded.rejections, decoded.slow_decodes) == ({}, 0)


@pytest.mark.parametrize(
    "rest",
    [
        ',"age":1,"age":1',
        ',"age":null,"age":1',
        ',"note":"a:b","note":"c"',
        ',"note":"a\\u003ab","age":1,"age":1',
        ',"note":"a\\u003Ab","seen":"2024-02-29T10:00:00Z"',
        ',"person":{"age":1,"age":2}',
        ',"person":{"age":1},"person":{"age":1}',
        ',"person":{"age":1,"zz":":"},"person":null',
        ',"person":null,"person":null',
        ',"age":1,"zz":1,"age":1',
        ',"zz":1,"age":1,"age":1',
        ',"age":1,"zz":{"y":1},"\\u0061ge":1',
        ',"person":{"age":1,"zz":1,"age":1},"zz":1',
        ',"a\\"age":1,"age":1,"age":2',
    ],
)
def test_repeated_members(rest: str) -> None:
    """Whichever comes last, and whatever colons are escaped, in texts or in properties next to it."""
    for value in (f"{START}{rest}}}", f'{{"own":{{"x":"a:b"}},{START[1:]}{rest}}}'):
        rejection = DECODER.decode(value.encode(), BYTES_MAX)
        assert isinstance(rejection, Rejection)
        assert rejection.code is RejectionCode.NOT_JSON
        assert "given twice" in rejection.reason


@pytest.mark.parametrize(
    "own", ['"\\ud800"', "[" * 201 + "]" * 201, '{"x":"\\ud800"}', "1" * 4_301], ids=["text", "nested", "name", "long"]
)
def test_invalid_values_of_own_properties(own: str) -> None:
    """What the fast decoder skips is JSON, too, or the value is rejected."""
    for value in (f'{START},"zz":{own}}}', f'{START},"zz":{own},"age":1}}', f'{START},"person":{{"zz":{own}}}}}'):
        assert isinstance(DECODER.decode(value.encode(), BYTES_MAX), Rejection)
    not_utf8 = f'{START},"zz":"'.encode() + b"\xff" + b'"}'
    assert isinstance(DECODER.decode(not_utf8, BYTES_MAX), Rejection)
