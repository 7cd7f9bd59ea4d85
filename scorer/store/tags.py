"""Tags: movable names of bundles, such as `prod`; they are stored next to the bundles and never in them."""

import re
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas.decision import NAME_PATTERN
from schemas.deployment import ACTOR_CHARACTERS_MAX
from schemas.fault_words import describe_faults
from schemas.printable import NO_CONTROLS
from scorer.bundle.manifest import Sha256, Version
from scorer.errors import BundleError, MisuseError

LATEST: Final = "latest"

_is_tag = re.compile(NAME_PATTERN).fullmatch


class Tag(BaseModel):
    """A tag: the version and digest that it refers to, and when and by whom it was set."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    version: Version
    digest: Sha256
    at: AwareDatetime
    by: str = Field(min_length=1, max_length=ACTOR_CHARACTERS_MAX, pattern=NO_CONTROLS)


def require_tag(tag: str) -> None:
    """Checks that a tag is valid.

    Raises:
        MisuseError: it is not.
    """
    if not _is_tag(tag):
        raise MisuseError(f"invalid tag {tag!r}: use 1 to 64 of a-z, 0-9 and dashes, for example prod")
    if tag == LATEST:
        raise MisuseError(f"{LATEST} is always the highest version and cannot be set as a tag: choose another name")


def parse_tag(raw: bytes, name: str) -> Tag:
    """Parses a stored tag.

    Raises:
        BundleError: it is malformed.
    """
    try:
        return Tag.model_validate_json(raw)
    except ValidationError as error:
        why = describe_faults(error)
        raise BundleError(f"the tag {name} is damaged: {why}. Set it again with scorer bundle tag") from None
