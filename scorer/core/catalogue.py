"""The catalogue of a bundle's reasons: codes, the fields that each one is about, and its sentence."""

from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.contract import Contract
from schemas.decision import Code
from schemas.printable import NO_CONTROLS
from scorer.core.expressions import NumberExpression

ENTRIES_MAX: Final = 200
TEXT_CHARACTERS_MAX: Final = 1_000
DEFAULT_LANGUAGE: Final = "en"
_FIELDS_MAX: Final = 1_000  # as many as a contract has
_FIELD_CHARACTERS_MAX: Final = 256
_LANGUAGES_MAX: Final = 32

FieldName = Annotated[str, Field(min_length=1, max_length=_FIELD_CHARACTERS_MAX, pattern=NO_CONTROLS)]
Language = Annotated[str, Field(max_length=35, pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A language tag of BCP 47, such as `en` or `pt-BR`."""
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX, pattern=NO_CONTROLS)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Entry(_Section):
    """A reason that decisions can give."""

    code: Code
    fields: Annotated[tuple[FieldName, ...], Field(max_length=_FIELDS_MAX)]
    """The fields and derived columns that it is about; a reason without fields is given by rules only."""
    text: Annotated[dict[Language, Text], Field(min_length=1, max_length=_LANGUAGES_MAX)]
    """The sentence that explains it to the applicant, by language."""

    def sentence(self, language: str | None = None) -> str:
        """The sentence in a language; without it in English, and without that in the first one."""
        for wanted in (language, DEFAULT_LANGUAGE):
            if wanted in self.text:
                return self.text[wanted]
        return next(iter(self.text.values()))


class Reasons(_Section):
    """How decisions that are not APPROVED are explained."""

    method: Literal["tree-path-dependent"]
    """How fields' contributions are computed: path-dependent TreeSHAP."""
    catalogue: Annotated[tuple[Entry, ...], Field(max_length=ENTRIES_MAX)]
    """The reasons; of equal contributions the earlier entry counts first."""

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        if not self.catalogue:
            msg = "the catalogue has no entries"
            raise ValueError(msg)
        codes: set[str] = set()
        codes_by_field: dict[str, str] = {}
        for entry in self.catalogue:
            if entry.code in codes:
                msg = f"the code {entry.code} is in the catalogue twice"
                raise ValueError(msg)
            codes.add(entry.code)
            for name in entry.fields:
                if name in codes_by_field:
                    msg = (
                        f"the field {name} is in two places, {codes_by_field[name]} and {entry.code}, but may be in one"
                    )
                    raise ValueError(msg)
                codes_by_field[name] = entry.code
        return self

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the catalogue's order."""
        return tuple(entry.code for entry in self.catalogue)


def check_fields(reasons: Reasons, contract: Contract, derived: Mapping[str, NumberExpression]) -> None:
    """Checks that each entry is about fields that exist and may be a reason.

    Args:
        reasons: the bundle's reasons.
        contract: the bundle's contract.
        derived: the expressions of the derived columns, by name.

    Raises:
        ValueError: a field is neither an input of the contract nor a derived column, or it is a prohibited basis or
            computed from one.
    """
    for entry in reasons.catalogue:
        for name in entry.fields:
            if name not in contract.inputs and name not in derived:
                msg = (
                    f"the reason {entry.code} is about {name}, which is neither an input of the contract nor a "
                    "derived column"
                )
                raise ValueError(msg)
            bases = find_prohibited(contract, derived[name].fields if name in derived else [name])
            if bases:
                msg = (
                    f"the reason {entry.code} is about {name}, which is a prohibited basis ({', '.join(bases)}) and "
                    "is never a reason: remove it from the entry"
                )
                raise ValueError(msg)


def find_prohibited(contract: Contract, fields: Collection[str]) -> list[str]:
    """Returns the prohibited bases of fields, sorted."""
    return sorted({contract.fields[name].prohibited for name in fields} - {""})
