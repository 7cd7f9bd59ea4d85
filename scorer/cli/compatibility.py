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


def breaking_changes(
    state: "State", bundles: "BundleStore", champion: "BundleReference", contract: "Contract"
) -> list[str]:
    """What the champion accepts and another contract rejects, one line per field; empty if there is nothing.

    A champion that is no longer in the store and whose event has no contract cannot be compared: a warning says so,
    because another bundle has to be deployable then.
    """
    from schemas.compatibility import compare

    try:
        current = _champion_contract(state, bundles, champion)
    except BundleError as error:
        typer.echo(printable(f"warning: the contract is not compared with the champion's: {error}"), err=True)
        return []
    differences = compare(current, contract)
    return [printable(f"{change.field}: {change.what}") for change in differences if change.breaking]


def require_compatible(changes: list[str], champion: "BundleReference", bundle: "BundleReference") -> None:
    """Refuses a deployment that would reject what the champion accepts.

    Raises:
        DeploymentError: there are breaking changes.
    """
    if changes:
        lines = [_describe(champion, bundle), *(f"  {change}" for change in changes)]
        advice = "Nothing was changed. To deploy it nevertheless: --allow-breaking"
        raise DeploymentError("\n".join([*lines, advice]))


def warn_of_changes(changes: list[str], champion: "BundleReference", bundle: "BundleReference") -> None:
    """Prints what a bundle will reject that the champion accepts."""
    if changes:
        typer.echo(f"warning: {_describe(champion, bundle)}", err=True)
        for change in changes:
            typer.echo(f"  {change}", err=True)


def _describe(champion: "BundleReference", bundle: "BundleReference") -> str:
    return printable(f"{bundle.short} rejects applications that the champion {champion.short} accepts:")


def _champion_contract(state: "State", bundles: "BundleStore", champion: "BundleReference") -> "Contract":
    event = state.last.get("champion")
    contract = event.parse_contract() if event is not None and event.bundle == champion else None
    return contract or contract_of(bundles.locate(champion).folder, champion)
