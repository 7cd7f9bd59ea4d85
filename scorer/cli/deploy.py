"""`scorer deploy`, `rollback` and `retire`: change the champion and the challenger."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from schemas.printable import printable
from scorer.cli.announce import WaitOption, announce, champion_of
from scorer.cli.compatibility import AllowBreakingOption, check_compatible, contract_of
from scorer.cli.completion import ReferenceArgument, complete_reference
from scorer.cli.deploy_guard import DespiteOption, Guard
from scorer.cli.dry_run import DryRunOption, SampleOption, print_dry_run, require_no_conflict
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    StoreOption,
    default_actor,
    require_actor,
    require_reason,
    settings_of,
)
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.signing import KeyOption, ProposeOption, Signing
from scorer.errors import DeploymentError, MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from schemas.decision import BundleReference
    from schemas.deployment import DeploymentEvent, Slot
    from scorer.store.entry import Located
    from scorer.store.store import BundleStore
    from scorer.stream.history import State

ReasonOption = Annotated[str, typer.Option("--reason", callback=require_reason, help="Why; recorded in the history.")]
_OptionalReasonOption = Annotated[
    str | None,
    typer.Option(
        "--reason",
        callback=require_reason,
        help="Why; recorded in the history.",
        show_default="required without --dry-run",
    ),
]
ActorOption = Annotated[
    str | None,
    typer.Option("--actor", callback=require_actor, help="Operator recorded in the history (default: user@hostname)."),
]
ExpectOption = Annotated[
    str | None,
    typer.Option("--expect", metavar="DIGEST", help="Fail unless the slot's current bundle has this digest."),
]
SlotOption = Annotated[
    Literal["champion", "challenger"],
    typer.Option("--slot", help="champion decides; challenger scores in shadow mode."),
]


def deploy(
    reference: ReferenceArgument,
    reason: _OptionalReasonOption = None,
    slot: SlotOption = "champion",
    actor: ActorOption = None,
    expect: ExpectOption = None,
    wait_s: WaitOption = None,
    allow_breaking: AllowBreakingOption = False,
    despite: DespiteOption = None,
    dry_run: DryRunOption = False,
    sample: SampleOption = None,
    key: KeyOption = None,
    propose: ProposeOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle the champion on all workers, or run it in shadow mode as the challenger.

    First, the bundle is reviewed, and its decisions on the newest applications are compared with the champion's. Errors
    of the review, or a label whose share differs by more than 10 percentage points (except a challenger's), stop the
    deployment without --despite. A contract that rejects what the champion's accepts does so without --allow-breaking.

    Then an event is added to the history. Each worker loads the bundle from the store of its own settings, and switches
    to it between two batches. The command waits until all have switched, or the others cannot load it.

    Examples:
    ```
    scorer deploy credit-risk:1.1.0 --reason "quarterly retraining"
    scorer deploy credit-risk:1.1.0 --dry-run --sample 100000
    scorer deploy credit-risk:1.0.0 --reason "a test" --despite "this cluster has test data only"
    ```
    """
    from scorer.store.store import BundleStore

    excluded = {"--slot challenger": slot == "challenger", "--expect": expect, "--propose": propose}
    require_no_conflict(dry_run, sample, reason, excluded | {"--despite": despite})
    _require_no_wait(slot, wait_s)
    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    signing, bundles = Signing(settings, key, propose=propose), BundleStore(settings.store)
    located, bundle, contract = _open(bundles, reference)
    if dry_run:
        print_dry_run(settings, bundles, (bundle, contract), sample, as_json)
        return
    signing.require_signed(bundles, bundle)
    _warn_of_store(bundles, bundle, settings.store, settings_of(config, bootstrap_servers, assignments).settings.store)

    def decide(state: "State") -> "DeploymentEvent":
        champion = champion_of(state, settings)
        current = champion if slot == "champion" else state.current(slot)
        _require_expected(state, slot, current, expect)
        _require_different(state, slot, champion, bundle, signing.renews(state, slot))
        if slot == "champion":
            check_compatible(state, bundles, champion, (bundle, contract), allow_breaking)
        overridden = Guard(settings, bundles, slot, despite, quiet=as_json).review(champion, located)
        return _event(slot, "deploy", bundle, current, actor, reason or "", contract, overridden)

    announce(settings, decide, signing, wait_s, as_json)


ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="REF",
        help="Bundle to restore, which was the champion before; default: the previous champion.",
        autocompletion=complete_reference,
    ),
]


def rollback(
    reason: ReasonOption,
    to: ToOption = None,
    actor: ActorOption = None,
    expect: ExpectOption = None,
    wait_s: WaitOption = None,
    key: KeyOption = None,
    propose: ProposeOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore the previous champion.

    Run it twice to go back two bundles. Decisions already made by the bad bundle are not changed; use
    `scorer replay` to correct them.

    Examples:
    ```
    scorer rollback --reason "declines everybody who rents"
    scorer rollback --to credit-risk:1.1.0 --reason "the last good one"
    ```
    """
    from scorer.bundle.trial import open_in_child
    from scorer.store.store import BundleStore

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    signing = Signing(settings, key, propose=propose)
    bundles = BundleStore(settings.store)
    named = None if to is None else open_in_child(bundles.find(to))
    workers_store = settings_of(config, bootstrap_servers, assignments).settings.store
    _warn_of_store(bundles, named, settings.store, workers_store)

    def decide(state: "State") -> "DeploymentEvent":
        champion = champion_of(state, settings)
        _require_expected(state, "champion", champion, expect)
        target = _rollback_target(state, champion, named)
        located = bundles.locate(target)
        if named is None:  # a bundle given with --to was opened above
            with elapsed_time(f"checking {target.short}"):
                located.open_in_child()
        signing.require_signed(bundles, target)
        contract = contract_of(located.folder, target)
        check_compatible(state, bundles, champion, (target, contract), allow_breaking=True)
        return _event("champion", "rollback", target, champion, actor, reason, contract)

    announce(settings, decide, signing, wait_s, as_json)


def retire(
    reason: ReasonOption,
    slot: SlotOption = "challenger",
    actor: ActorOption = None,
    expect: ExpectOption = None,
    key: KeyOption = None,
    propose: ProposeOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the challenger. The champion cannot be retired, only replaced.

    Examples:
    ```
    scorer retire --reason "it agrees in all but three of a million"
    ```
    """
    if slot == "champion":
        raise MisuseError(
            "--slot champion: the champion cannot be retired, only replaced: use `scorer deploy` or `scorer rollback`"
        )
    settings = settings_of(config, bootstrap_servers, assignments).settings
    signing = Signing(settings, key, propose=propose)

    def decide(state: "State") -> "DeploymentEvent":
        current = state.current(slot)
        _require_expected(state, slot, current, expect)
        if current is None:
            raise MisuseError(f"no challenger is deployed{_since(state, slot)}: nothing to retire")
        return _event(slot, "retire", None, current, actor, reason)

    announce(settings, decide, signing, None, as_json)


def _rollback_target(state: "State", champion: "BundleReference", named: "BundleReference | None") -> "BundleReference":
    """Returns the bundle that a rollback restores: the one that is named, or the previous champion.

    Raises:
        MisuseError: it is the champion, was never the champion, or there is none.
    """
    target = named or state.before("champion")
    if target is None:
        raise MisuseError(
            f"the history has no champion before {champion.short}: deploy another bundle with `scorer deploy`"
        )
    if target == champion:
        raise MisuseError(f"{champion.short} is already the champion{_since(state, 'champion')}: nothing to roll back")
    if target not in state.ever.get("champion", ()):
        raise MisuseError(
            f"--to {target.short}: was never the champion: `scorer deploy` reviews it, compares its decisions with the "
            "champion's, and deploys it"
        )
    return target


def _require_no_wait(slot: "Slot", wait_s: float | None) -> None:
    if slot == "challenger" and wait_s:
        raise MisuseError("--wait does not apply to a challenger; the /readyz of each worker shows which one it has")


def _open(bundles: "BundleStore", reference: str) -> "tuple[Located, BundleReference, Contract]":
    """Opens a bundle in a separate process; returns where it is, its exact reference and its contract."""
    from scorer.bundle.trial import open_in_child
    from scorer.store.entry import Located

    with elapsed_time(f"checking {reference}"):
        folder = bundles.find(reference)
        bundle = open_in_child(folder)
    return Located(folder, bundle, shipped=False), bundle, contract_of(folder, bundle)


def _warn_of_store(
    bundles: "BundleStore", bundle: "BundleReference | None", store: str | None, workers_store: str | None
) -> None:
    """Warns if workers may not find the bundle: they load it from the store in their own settings.

    Args:
        bundles: the store that this command uses.
        bundle: the bundle to deploy; None if it is not known yet.
        store: the address of that store; None uses the shipped bundles alone.
        workers_store: the store in the settings, without this command's --store.
    """
    if store is None or workers_store is None:
        return
    from scorer.errors import BundleError
    from scorer.store.remote import local_path

    try:
        is_shipped = bundle is not None and bundles.entry(str(bundle)).shipped
    except BundleError:
        is_found = False
    else:
        is_found = True
        if is_shipped:
            return  # workers have it, too
    path, workers_path = (local_path(address) for address in (store, workers_store))
    differ = (
        store != workers_store if path is None or workers_path is None else path.resolve() != workers_path.resolve()
    )
    if differ:
        typer.echo(
            f"warning: --store {store} differs from the store in the settings ({workers_store}). Workers load the "
            "bundle from the store in their own settings: set SCORER_STORE for them, or copy the bundle there with "
            "scorer bundle export and scorer bundle import",
            err=True,
        )
    elif not is_found:
        typer.echo(
            f"warning: {bundle.short if bundle else 'the bundle'} is not in the store {store}, from which workers load "
            "it: add it with scorer bundle import",
            err=True,
        )


_ROLES = {"champion": "the champion", "challenger": "the challenger"}


def _require_different(
    state: "State", slot: "Slot", champion: "BundleReference", bundle: "BundleReference", renews: bool
) -> None:
    """Refuses a deployment that changes nothing: the bundle is in the slot, and no other key signs it (renews)."""
    if bundle == (champion if slot == "champion" else state.current(slot)) and not renews:
        raise MisuseError(f"{bundle.short} is already {_ROLES[slot]}{_since(state, slot)}: nothing to deploy")
    if bundle == champion and slot == "challenger":
        raise MisuseError(f"{bundle.short} is the champion: the challenger must be a different bundle")


def _require_expected(state: "State", slot: "Slot", current: "BundleReference | None", expected: str | None) -> None:
    if expected is None or (current is not None and len(expected) >= 6 and current.digest.startswith(expected)):
        return
    actual = "not deployed" if current is None else printable(current.short)
    raise DeploymentError(f"--expect {expected}: {_ROLES[slot]} is {actual}{_since(state, slot)}. Nothing was changed")


def _since(state: "State", slot: "Slot") -> str:
    last = state.last.get(slot)
    return (
        ""
        if last is None
        else printable(f", since {last.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {last.actor} ({last.reason})")
    )


def _event(
    slot: "Slot",
    action: Literal["deploy", "rollback", "retire"],
    bundle: "BundleReference | None",
    previous: "BundleReference | None",
    actor: str | None,
    reason: str,
    contract: "Contract | None" = None,
    despite: str | None = None,
) -> "DeploymentEvent":
    import secrets

    from schemas.deployment import DeploymentEvent

    at = datetime.now(UTC).replace(microsecond=0)
    return DeploymentEvent(
        event_id=f"{at:%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(4)}",
        slot=slot,
        action=action,
        bundle=bundle,
        previous=previous,
        actor=actor or default_actor(),
        reason=reason,
        at=at,
        despite=despite,
        contract=None if contract is None else dict(contract.document),
    )
