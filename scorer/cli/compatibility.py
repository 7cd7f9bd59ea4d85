"""The contract of a bundle to deploy, compared with the champion's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.errors import BundleError, DeploymentError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from schemas.decision import BundleReference
    from scorer.store.store import BundleStore
    from scorer.stream.history import State

AllowBreakingOption = Annotated[
    bool,
    typer.Option("--allow-breaking", help="Deploy even if it rejects applications that the champion accepts."),
]


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


def champion_contract(state: "State", bundles: "BundleStore", champion: "BundleReference") -> "Contract | None":
    """The champion's contract: from its event, or from its bundle if an earlier release wrote the event.

    None, with a warning, if the store no longer has the bundle: this must not prevent the deployment of another one.
    """
    event = state.last.get("champion")
    contract = event.parse_contract() if event is not None and event.bundle == champion else None
    if contract is not None:
        return contract
    try:
        return contract_of(bundles.locate(champion).folder, champion)
    except BundleError as error:
        typer.echo(printable(f"warning: the contract is not compared with the champion's: {error}"), err=True)
        return None


def breaking_changes(current: "Contract | None", contract: "Contract") -> list[str]:
    """What the champion's contract accepts and another one rejects, one line per field; empty if there is nothing.

    Args:
        current: the champion's contract; None if it is unknown.
        contract: the other contract.
    """
    from schemas.compatibility import compare

    if current is None:
        return []
    return [printable(f"{change.field}: {change.what}") for change in compare(current, contract) if change.breaking]


def check_compatible(
    state: "State",
    bundles: "BundleStore",
    champion: "BundleReference",
    new: "tuple[BundleReference, Contract]",
    allow_breaking: bool,
) -> None:
    """Compares the contract of a new champion with the current one's.

    Args:
        state: the deployments.
        bundles: the store with the bundles.
        champion: the current champion.
        new: the new champion and its contract.
        allow_breaking: whether breaking changes are a warning.

    Raises:
        DeploymentError: it would reject what the champion accepts, and that is not allowed.
    """
    bundle, contract = new
    changes = breaking_changes(champion_contract(state, bundles, champion), contract)
    if changes and not allow_breaking:
        advice = "Nothing was changed. To deploy it nevertheless: --allow-breaking"
        raise DeploymentError("\n".join([*describe_changes(changes, champion, bundle), advice]))
    if changes:
        first, *lines = describe_changes(changes, champion, bundle)
        typer.echo("\n".join([f"warning: {first}", *lines]), err=True)


def describe_changes(changes: list[str], champion: "BundleReference", bundle: "BundleReference") -> list[str]:
    """Returns the lines that say what a bundle rejects that the champion accepts."""
    head = printable(f"{bundle.short} rejects applications that the champion {champion.short} accepts:")
    return [head, *(f"  {change}" for change in changes)]
