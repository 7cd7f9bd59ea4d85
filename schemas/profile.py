"""The profile of applications: rounded statistics of each field, from which similar ones can be drawn."""

import json
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.fault_words import describe_fault

PROFILE_FILE: Final = "profile.json"
PROFILE_BYTES_MAX: Final = 4 << 20  # twice as much as 1,000 fields and 10,000 categories need
AT: Final = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""The shares of the quantiles; the lowest and the highest value of the data are not among them."""
DECIMALS_MAX: Final = 4
_NAME_CHARACTERS_MAX: Final = 2_200  # of a dotted path of 17 names

Share = Annotated[float, Field(ge=0, le=1)]


class ProfileError(ValueError):
    """A document is not a profile; `str()` of it says why, without values."""


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FieldProfile(_Section):
    """The statistics of one field."""

    unknown: Share
    """The share of applications without a value of the field."""
    quantiles: Annotated[tuple[float, ...], Field(min_length=len(AT), max_length=len(AT))] | None = None
    """Of a number, or a date as days since 1970-01-01: its values at `AT`."""
    decimals: Annotated[int, Field(ge=0, le=DECIMALS_MAX)] = 0
    """Of a number: the digits after the point."""
    shares: dict[str, Share] = {}
    """Of a category, or of `true` and `false`: the shares of the values among the known ones."""

    @model_validator(mode="after")
    def _check_quantiles(self) -> Self:
        if self.quantiles is not None and list(self.quantiles) != sorted(self.quantiles):
            msg = "quantiles must not fall"
            raise ValueError(msg)
        return self


class Profile(_Section):
    """The statistics of a contract's fields, each for itself; those of too few applications are missing."""

    profile_version: Literal[1] = 1
    fields: dict[Annotated[str, Field(max_length=_NAME_CHARACTERS_MAX)], FieldProfile]

    def dump(self) -> bytes:
        """The profile as JSON: one line per field, so that people can read and compare it."""
        lines = [
            f"    {json.dumps(name, ensure_ascii=False)}: {field.model_dump_json(exclude_defaults=True)}"
            for name, field in self.fields.items()
        ]
        fields = ",\n".join(lines)
        return f'{{\n  "profile_version": {self.profile_version},\n  "fields": {{\n{fields}\n  }}\n}}\n'.encode()


def parse_profile(raw: bytes) -> Profile:
    """Reads a profile.

    Raises:
        ProfileError: the document is not a profile.
    """
    if len(raw) > PROFILE_BYTES_MAX:
        raise ProfileError(f"has more than {PROFILE_BYTES_MAX} bytes")
    try:
        return Profile.model_validate_json(raw)
    except ValidationError as error:
        raise ProfileError(f"is not a profile: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """The first fault, without a name or value of the document, which may be anything."""
    fault = error.errors(include_url=False, include_input=False)[0]
    known = {"profile_version", "fields", *FieldProfile.model_fields}
    where = ".".join(part for part in fault["loc"] if isinstance(part, str) and part in known)
    rule = describe_fault(fault)
    return f"{where}: {rule}" if where else rule
