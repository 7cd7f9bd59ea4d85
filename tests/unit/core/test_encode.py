"""Decisions as bytes: those of the contract's model, whatever the application's id."""

import pytest

from schemas.decision import BundleReference, Decision, RecordReference
from scorer.core.encode import DecisionEncoder, id_of

BUNDLE = BundleReference(name="credit-risk", version="1.1.0", digest="0123456789ab" + 52 * "0")


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
