"""`scorer approve`: the second signature of a deployment that somebody else has proposed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.deploy import WaitOption, announce, serving_of
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, settings_of
from scorer.cli.signing import KeyOption, Signing
from scorer.cli.train import StoreOption
from scorer.errors import DeploymentError

if TYPE_CHECKING:
    from schemas.deployment import DeploymentEvent
    from scorer.stream.deployments import State


def approve(
    proposal: Annotated[Path, typer.Argument(metavar="FILE", help="What `--propose` wrote.")],
    key: KeyOption = None,
    wait_s: WaitOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign what somebody else has proposed, and deploy it: dual control.

    The event is published as it was proposed, with both signatures. It is refused if something else was deployed since.
    Read the file first: it says what is deployed, by whom and why.

    Examples:
    ```
    scorer approve proposal.json --key ben.pem
    ```
    """
    from scorer.bundle.store import BundleStore
    from scorer.cli.proposal import read_proposal

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    event, proposed = read_proposal(proposal)
    signing = Signing(settings, key, proposed=proposed)
    if event.bundle is not None:
        bundles = BundleStore(settings.store)
        bundles.locate(event.bundle).try_to_open()
        signing.require_signed(bundles, event.bundle)

    def decide(state: "State") -> "DeploymentEvent":
        there = serving_of(state, settings) if event.slot == "champion" else state.current(event.slot)
        if there != event.previous:
            found, meant = (bundle.short if bundle else "nothing" for bundle in (there, event.previous))
            raise DeploymentError(
                f"{proposal} was proposed when {meant} was in the slot {event.slot}, and now {found} is: propose again"
            )
        return event

    announce(settings, decide, signing, wait_s, as_json)
