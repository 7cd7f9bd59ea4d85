"""The exported JSON Schema: another validator gives the same verdicts as the contract."""

from hypothesis import given, settings
from jsonschema import Draft202012Validator

from schemas.contract import Contract
from schemas.contract_schema import plain_schema
from tests.property.contracts import accepts, applications_at_the_edges, contract_pairs

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # a pair of contracts takes longer to make than a record


@law
@given(contract_pairs())
def test_another_validator_gives_the_same_verdicts(pair: tuple[Contract, Contract]) -> None:
    """Applications for one contract are valid for another one exactly if they are for its exported schema.

    All dates among them are in the calendar, which validators need not check.
    """
    contract, other = pair
    validator = Draft202012Validator(plain_schema(other))
    for application in applications_at_the_edges(contract.application):
        assert validator.is_valid(application) == accepts(other.application, application)
