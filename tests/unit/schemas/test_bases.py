"""Prohibited bases: which fields nothing sends unless somebody asks for it."""

import pytest

from schemas.bases import is_optional_basis
from schemas.made_up import initial_values
from tests.fakes import make_contract

MARKED = {"type": "string", "enum": ["a", "b"], "x-prohibited": "marital status"}
NAMED = {"type": "string", "enum": ["a", "b"]}

pytestmark = pytest.mark.quick


def test_optional_bases_have_no_initial_value() -> None:
    """One that the contract marks, and one that its name indicates, also in an object; other optional fields have."""
    person = {"type": "object", "properties": {"gender": NAMED, "town": NAMED}}
    contract = make_contract(group=MARKED, maritalStatus=NAMED, home=NAMED, person=person)
    assert [name for name, field in contract.fields.items() if is_optional_basis(field)] == [
        "group",
        "maritalStatus",
        "person.gender",
    ]
    assert set(initial_values(contract)) == {"id", "home", "person.town"}


def test_a_required_basis_has_an_initial_value() -> None:
    """Without it, the application would be invalid."""
    assert initial_values(make_contract("group", "gender", group=MARKED, gender=NAMED)).keys() == {
        "id",
        "group",
        "gender",
    }
