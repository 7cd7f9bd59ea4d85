"""`scorer approve`: sign and publish a deployment that another operator proposed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.announce import WaitOption, announce, champion_of
from scorer.cli.compatibility import check_compatible, contract_of
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, StoreOption, settings_of
from scorer.cli.signing import KeyOption, Signing
from scorer.errors import DeploymentError, MisuseError

if TYPE_CHECKING:
    from schemas.deployment import DeploymentEvent
    from scorer.stream.history import State


def approve(
    proposal: Annotated[Path, typer.Argument(metavar="FILE", help="File written by `--propose`.")],
    key: KeyOption = None,
    wait_s: WaitOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign and publish a deployment that another operator proposed (dual control).

    The event is published as proposed, with both signatures. The command fails if the slot's bundle has changed since
    the proposal. Read the file first: it names the bundle, the operator and the reason, and why it is deployed despite
    its review (`despite`), if it is. Applications that the champion accepts and the new one rejects are listed as a
    warning.

    Examples:
    ```
    scorer approve proposal.json --key ben.pem
    ```
    """
    from scorer.cli.proposal import read_proposal
    from scorer.store.store import BundleStore

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    event, proposed = read_proposal(proposal)
    signing = Signing(settings, key, proposed=proposed)
    bundles, bundle, contract = BundleStore(settings.store), event.bundle, None
    if bundle is not None:
        located = bundles.locate(bundle)
        located.open_in_child()
        contract = contract_of(located.folder, bundle)
        if event.contract is not None and event.contract != contract.document:
            raise MisuseError(f"{proposal}: its contract is not the one of {bundle.short}: propose again")
        signing.require_signed(bundles, bundle)

    def decide(state: "State") -> "DeploymentEvent":
        current = champion_of(state, settings) if event.slot == "champion" else state.current(event.slot)
        if current != event.previous:
            actual, expected = (named.short if named else "not set" for named in (current, event.previous))
            raise DeploymentError(
                f"{proposal}: the {event.slot} was {expected} when this was proposed and is now {actual}: propose again"
            )
        if event.slot == "champion" and current is not None and bundle is not None and contract is not None:
            check_compatible(state, bundles, current, (bundle, contract), allow_breaking=True)
        return event

    announce(settings, decide, signing, wait_s, as_json)
