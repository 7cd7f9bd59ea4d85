"""Prohibited bases of Regulation B (12 CFR 1002.2(z)): fields that are one by the contract or by their name."""

import re
from itertools import pairwise
from typing import Final

from schemas.contract import ContractField

# Words in a field's name; two words must follow each other.
_BASES: Final = {
    "race": "race",
    "ethnicity": "race",
    "color": "color",
    "colour": "color",
    "religion": "religion",
    "nationality": "national origin",
    "origin": "national origin",
    "foreign": "national origin",
    "sex": "sex",
    "gender": "sex",
    "marital": "marital status",
    "personal status": "marital status",
    "assistance": "income from public assistance",
    "welfare": "income from public assistance",
}
# Age may be used under conditions.
_AGE: Final = frozenset({"age", "birth", "birthday", "birthdate", "born", "dob"})
_camel_joint = re.compile(r"(?<=[a-z])(?=[A-Z])")


def find_bases(name: str) -> list[str]:
    """The prohibited bases that a field's name indicates, sorted; age is not among them.

    Args:
        name: the name: words in lower or upper case or in camel case, separated by anything else.
    """
    words = _split(name)
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return sorted({_BASES[word] for word in [*words, *pairs] if word in _BASES})


def is_optional_basis(field: ContractField) -> bool:
    """Whether a field is a prohibited basis, by the contract or by its name, and may be left out.

    Forms, code examples and `producer try` leave it out, so that nobody sends it by accident.
    """
    return not field.required and bool(field.prohibited or find_bases(field.name))


def indicates_age(name: str) -> bool:
    """Whether a field's name indicates the applicant's age."""
    return not _AGE.isdisjoint(_split(name))


def _split(name: str) -> list[str]:
    return re.split(r"[\W\d_]+", _camel_joint.sub(" ", name).lower())
