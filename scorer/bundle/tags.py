"""Tags: names such as `prod` that move from bundle to bundle; they are kept beside the bundles and never in them."""

import re
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas.decision import NAME_PATTERN
from schemas.deployment import ACTOR_CHARACTERS_MAX
from schemas.printable import NO_CONTROLS
from scorer.bundle.manifest import Sha256, Version, explain
from scorer.errors import BundleError, MisuseError

LATEST: Final = "latest"

_is_tag = re.compile(NAME_PATTERN).fullmatch


class Tag(BaseModel):
    """What a tag says: the bundle of its name that it means, since when and by whose hand."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    version: Version
    digest: Sha256
    at: AwareDatetime
    by: str = Field(min_length=1, max_length=ACTOR_CHARACTERS_MAX, pattern=NO_CONTROLS)


def require_tag(tag: str) -> None:
    """Makes sure that something may be a tag.

    Raises:
        MisuseError: it may not.
    """
    if not _is_tag(tag):
        raise MisuseError(f"{tag!r} cannot be a tag: 1 to 64 of a-z, 0-9 and dashes, as in prod")
    if tag == LATEST:
        raise MisuseError(f"{LATEST} is always the highest version and cannot be a tag: choose another name")


def parse_tag(raw: bytes, called: str) -> Tag:
    """Reads what was written of a tag.

    Raises:
        BundleError: it is no tag.
    """
    try:
        return Tag.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(
            f"the tag {called} is damaged: {explain(error)}. Set it again with scorer bundle tag"
        ) from None
