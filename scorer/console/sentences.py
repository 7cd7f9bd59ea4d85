"""Finds the sentences of a decision's reasons, in the catalogue of the bundle that decided.

Decisions have codes alone. Their sentences are in the bundle, which the console's store may not have: then the pages
show the codes.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.errors import BundleError, MisuseError
from scorer.store.store import BundleStore


def parse_bundle(parameters: Mapping[str, str]) -> BundleReference:
    """Parses the name, version and digest of a bundle.

    Raises:
        MisuseError: they are not a reference.
    """
    try:
        return BundleReference.model_validate(dict(parameters))
    except ValidationError:
        raise MisuseError("name a bundle by name, version and digest") from None


def read_sentences(store: Path | str | None, bundle: BundleReference) -> dict[str, str]:
    """Returns the sentences of a bundle's catalogue by code: the English ones, or those in its first language.

    Args:
        store: the location of the store.
        bundle: the bundle.

    Returns:
        Nothing if the store does not have the bundle, or the bundle no catalogue.
    """
    try:
        located = BundleStore(store).locate(bundle)
        reasons = read_manifest(located.folder).reasons
    except (BundleError, MisuseError):
        return {}
    return {entry.code: entry.sentence() for entry in reasons.catalogue} if reasons else {}
