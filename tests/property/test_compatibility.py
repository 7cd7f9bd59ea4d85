"""Compatibility of contracts: what `compare` says is what applications show."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.compatibility import compare
from schemas.contract import Contract, ContractObject
from tests.property.contracts import accepts, applications_at_the_edges, contract_pairs, contracts, values_of

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # a pair of contracts takes longer to make than a record


@st.composite
def _applications(draw: st.DrawFn, parsed: ContractObject) -> dict[str, Any]:
    """A valid application with any combination of values, absent members and properties of the publisher's own."""
    application: dict[str, Any] = {"z": draw(st.sampled_from((None, 1, "foreign")))}
    for member in parsed.members:
        if member.required or draw(st.booleans()):
            application[member.path[-1]] = draw(st.sampled_from(values_of(member)))
    return application


@law
@given(contract_pairs(), st.data())
def test_compatible_contracts_accept_what_was_accepted(pair: tuple[Contract, Contract], data: st.DataObject) -> None:
    """If no difference is breaking, every application that is valid for the old contract is valid for the new one.

    A property that only the new contract lists is not sent, as `compare` assumes.
    """
    old, new = pair
    application = data.draw(_applications(old.application))
    assert accepts(old.application, application)
    if not any(difference.breaking for difference in compare(old, new)):
        assert accepts(new.application, application)


@law
@given(contract_pairs())
def test_breaking_differences_have_a_witness(pair: tuple[Contract, Contract]) -> None:
    """A difference is breaking exactly if the new contract rejects an application that the old one accepts."""
    old, new = pair
    applications = list(applications_at_the_edges(old.application))
    assert all(accepts(old.application, application) for application in applications)
    rejected = [application for application in applications if not accepts(new.application, application)]
    assert any(difference.breaking for difference in compare(old, new)) == bool(rejected)


@law
@given(contracts())
def test_a_contract_does_not_differ_from_itself(contract: Contract) -> None:
    """No differences between a contract and itself."""
    assert compare(contract, contract) == []
