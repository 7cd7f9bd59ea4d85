"""The check before sending: it refuses what the scorer would reject, and says why without a value."""

import json

import pytest

from producer.errors import Fault, InvalidApplicationError
from producer.validation import validate_application
from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from scorer.core.slow_decode import Rejection
from tests.fakes import DECODER

EXAMPLE: dict[str, object] = {
    name: (field.examples or [None])[0] for name, field in CreditApplication.model_fields.items()
}
SOUND = json.dumps(EXAMPLE).encode()
UNSOUND = [
    b"",
    b"\xff",
    b"{",
    b"nul",
    b"[]",
    b'"text"',
    b"{}",
    SOUND.replace(b'"age"', b'"age": 31, "age"'),
    SOUND.replace(b'"age"', b'"note": NaN, "age"'),
    SOUND.replace(b'"age": 30', b'"age": "30"'),
    SOUND.replace(b'"age": 30', b'"age": true'),
    SOUND.replace(b'"age": 30', b'"age": 1e400'),
    SOUND.replace(b'"age": 30', b'"age": ' + b"9" * 5_000),
    SOUND.replace(b'"rent"', b'"Rent"'),
    SOUND.replace(b'"a-1001"', b'"\\ud800"'),
    b"[" * 100_000,
]


def _faults(value: bytes) -> tuple[Fault, ...]:
    with pytest.raises(InvalidApplicationError) as caught:
        validate_application(value, shipped_contract())
    return caught.value.faults


@pytest.mark.parametrize("value", UNSOUND, ids=range(len(UNSOUND)))
def test_an_application_that_the_scorer_would_reject_is_rejected(value: bytes) -> None:
    """Nothing that the scorer rejects passes the check before sending."""
    assert isinstance(DECODER.decode(value, 1_000_000), Rejection)
    assert _faults(value)


@pytest.mark.parametrize("value", [SOUND, SOUND.replace(b'"age"', b'"note": {"age": [1]}, "age"')])
def test_what_the_scorer_decides_passes(value: bytes) -> None:
    """A sound application passes, fields of the publisher's own included."""
    assert not isinstance(DECODER.decode(value, 1_000_000), Rejection)
    assert validate_application(value, shipped_contract()) == "a-1001"


def test_every_fault_is_named_with_its_field_and_rule() -> None:
    """All faults come at once, in the contract's order, with the rule in words."""
    value = json.dumps({**EXAMPLE, "age": 17, "home": "tent", "income": "much"}).encode()
    assert [fault.field for fault in _faults(value)] == ["home", "age", "income"]
    assert "from 18 to 120" in _faults(value)[1].rule
    assert str(Fault("age", "wrong")) == "age: wrong"
    assert str(Fault("", "not JSON")) == "not JSON"


def test_no_message_holds_a_value() -> None:
    """Whatever is wrong with a value, the value itself is not in the message: it is somebody's."""
    private = "s3cr3t"
    for field in CreditApplication.model_fields:
        value = json.dumps({**EXAMPLE, field: [private]}).encode()
        with pytest.raises(InvalidApplicationError) as caught:
            validate_application(value, shipped_contract())
        assert field in str(caught.value)
        assert private not in str(caught.value)
    assert private not in str(_faults(f'{{"{private}'.encode()))
