"""The contract of a bundle to deploy, compared with the champion's."""

from pathlib import Path
from typing import TYPE_CHECKING

from scorer.errors import BundleError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from schemas.decision import BundleReference


def contract_of(folder: Path, bundle: "BundleReference") -> "Contract":
    """The contract of a bundle that was opened.

    Raises:
        BundleError: its contract cannot be read, or it was replaced in the meantime.
    """
    from scorer.bundle.load import read_contract_of

    reference, contract = read_contract_of(folder)
    if reference != bundle:
        raise BundleError(
            f"bundle {folder}: expected {bundle.short}, but found {reference.short}: the bundle was replaced in the "
            "meantime. It is not used"
        )
    return contract
