"""`scorer deploy`, `rollback` and `retire`: change the champion and the challenger."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from schemas.printable import printable
from scorer.cli.completion import complete_reference
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    require_actor,
    require_reason,
    settings_of,
    user_here,
)
from scorer.cli.signing import KeyOption, ProposeOption, Signing
from scorer.cli.train import StoreOption
from scorer.cli.worker import DEFAULT_BUNDLE
from scorer.errors import DeploymentError, MisuseError

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from schemas.deployment import DeploymentEvent, Slot
    from scorer.operate.rollout import Behind, Rollout
    from scorer.settings import Settings
    from scorer.store.store import BundleStore
    from scorer.stream.history import State

ReasonOption = Annotated[str, typer.Option("--reason", callback=require_reason, help="Why; recorded in the history.")]
ActorOption = Annotated[
    str | None,
    typer.Option("--actor", callback=require_actor, help="Operator recorded in the history (default: user@hostname)."),
]
ExpectOption = Annotated[
    str | None,
    typer.Option("--expect", metavar="DIGEST", help="Fail unless the slot's current bundle has this digest."),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Seconds to wait for all workers; 0 returns at once.",
        show_default="60",
    ),
]
SlotOption = Annotated[
    Literal["champion", "challenger"],
    typer.Option("--slot", help="champion decides; challenger scores in shadow mode."),
]

_WAIT_S = 60.0


def deploy(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="name:version, name:latest, name:tag, name@digest, or a bundle's folder.",
            autocompletion=complete_reference,
        ),
    ],
    reason: ReasonOption,
    slot: SlotOption = "champion",
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
    """Make a bundle the champion on all workers, or run it in shadow mode as the challenger.

    The bundle is opened and checked here as the workers will do. Then an event is added to the history; each worker
    loads the bundle in the background and switches to it between two batches. The command waits until all have
    switched. Workers that cannot load it say why, and keep the previous bundle: once that is true of all that have not
    switched, the command ends with their reasons and exit code 1.

    Workers load the bundle from the store of their own settings. With --store, make sure that they share that store.

    A challenger decides nothing: how often its decisions would differ is in the workers' metrics. The command does not
    wait for it; the console shows workers that cannot load it.

    Examples:
    ```
    scorer deploy credit-risk:1.1.0 --reason "quarterly retraining"
    scorer deploy credit-risk:1.1.0 --reason "again" --expect 1581f37bfc6d
    scorer deploy credit-risk:1.0.0 --reason "would it decline more?" --slot challenger
    ```
    """
    from scorer.bundle.trial import open_in_child
    from scorer.store.store import BundleStore

    if slot == "challenger" and wait_s:
        raise MisuseError("--wait does not apply to a challenger; the /readyz of each worker shows which one it has")
    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    signing = Signing(settings, key, propose=propose)
    bundles = BundleStore(settings.store)
    bundle = open_in_child(bundles.find(reference))
    signing.require_signed(bundles, bundle)
    _warn_of_store(bundles, bundle, settings.store, settings_of(config, bootstrap_servers, assignments).settings.store)

    def decide(state: "State") -> "DeploymentEvent":
        champion = serving_of(state, settings)
        current = champion if slot == "champion" else state.current(slot)
        _require_expected(state, slot, current, expect)
        if current == bundle and not signing.renews(state, slot):
            raise MisuseError(f"{bundle.short} is already {_ROLES[slot]}{_since(state, slot)}: nothing to deploy")
        if champion == bundle and slot == "challenger":
            raise MisuseError(f"{bundle.short} is the champion: the challenger must be a different bundle")
        return _event(slot, "deploy", bundle, current, actor, reason)

    announce(settings, decide, signing, wait_s, as_json)


def rollback(
    reason: ReasonOption,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="REF",
            help="Bundle to restore; default: the previous champion.",
            autocompletion=complete_reference,
        ),
    ] = None,
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
        champion = serving_of(state, settings)
        _require_expected(state, "champion", champion, expect)
        target = named or state.before("champion")
        if target is None:
            raise MisuseError(
                f"the history has no champion before {champion.short}: name the bundle to restore with --to"
            )
        if target == champion:
            raise MisuseError(
                f"{champion.short} is already the champion{_since(state, 'champion')}: nothing to roll back"
            )
        located = bundles.locate(target)
        if named is None:  # a bundle given with --to was opened above
            located.try_to_open()
        signing.require_signed(bundles, target)
        return _event("champion", "rollback", target, champion, actor, reason)

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


def serving_of(state: "State", settings: "Settings") -> "BundleReference":
    """The champion; before the first deployment, the bundle that workers start with."""
    from scorer.bundle.load import read_manifest
    from scorer.store.store import BundleStore

    return state.current("champion") or read_manifest(BundleStore(settings.store).find(DEFAULT_BUNDLE)).reference


_ROLES = {"champion": "the champion", "challenger": "the challenger"}


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
        actor=actor or user_here(),
        reason=reason,
        at=at,
    )


def announce(
    settings: "Settings",
    decide: Callable[["State"], "DeploymentEvent"],
    signing: Signing,
    wait_s: float | None,
    as_json: bool,
) -> None:
    """Publishes the event, or writes it to a proposal file, and prints what it changes.

    Raises:
        DeploymentError: workers would ignore the event, or some have not switched to its bundle in time.
    """
    from scorer.operate.deployments import add_event, draft_event
    from scorer.operate.listening import require_listening

    if signing.propose is not None:
        from scorer.cli.proposal import write_proposal

        event, signatures = draft_event(settings, decide, signing.sign)
        write_proposal(signing.propose, event, signatures)
        if as_json:
            typer.echo(json.dumps({"event": event.model_dump(mode="json"), "proposal": str(signing.propose)}, indent=2))
        else:
            typer.echo(f"nothing was changed; to deploy it, another operator runs: scorer approve {signing.propose}")
        return
    require_listening(settings)
    event = add_event(settings, decide, signing.sign)
    if event.slot == "champion":
        _wait(settings, event, _WAIT_S if wait_s is None else wait_s, as_json)
    elif as_json:
        typer.echo(json.dumps({"event": event.model_dump(mode="json")}, indent=2))
    else:
        bundle, previous = (b.short if b else "none" for b in (event.bundle, event.previous))
        typer.echo(printable(f"{event.action}: the challenger is now {bundle} (previously {previous})"))
        typer.echo("workers switch on their own; /readyz and scorer_bundle_info of each show its challenger")


def _wait(settings: "Settings", event: "DeploymentEvent", limit_s: float, as_json: bool) -> None:
    """Waits until all workers have switched; fails with their reasons if some have not in time."""
    from scorer.operate.rollout import wait_for_workers

    bundle, previous = event.bundle, event.previous
    assert bundle is not None, "a champion is never retired"
    assert previous is not None, "there is always a champion"
    if not as_json:
        typer.echo(printable(f"{event.action}: {bundle.short} replaces {previous.short}"))
    with _show_progress() as show:
        rollout = wait_for_workers(settings, bundle, limit_s, show)
    behind = [_describe(worker) for worker in rollout.behind]
    if as_json:
        refused = [{"worker": worker.worker, "reason": worker.reason} for worker in rollout.behind if worker.reason]
        report = {"event": event.model_dump(mode="json"), "workers": rollout.workers, "behind": behind}
        typer.echo(json.dumps(report | {"refused": refused, "done": rollout.done}, indent=2))
    elif not rollout.workers:
        typer.echo(f"group {settings.group_id} has no workers; they will use the bundle when they start")
    elif rollout.done:
        typer.echo(f"all workers with partitions have switched ({rollout.workers} in group {settings.group_id})")
    if rollout.done or (not limit_s and not rollout.failed):
        return
    before = printable(f"{previous.name}:{previous.version}")
    undo = "scorer rollback" if event.action == "deploy" else f"scorer deploy {before}"
    waited = ": they could not load it, and are retrying" if rollout.failed else f" after {limit_s:g} s"
    name = printable(f"{bundle.name}:{bundle.version}")
    head = (
        f"the deployment is in the history, but {len(behind)} of {rollout.workers} workers have not switched to {name}"
    )
    lines = [printable(line) for line in behind] or ["partitions are still being reassigned"]
    advice = f'To revert: {undo} --reason "not all workers switched"'
    raise DeploymentError("\n".join([f"{head}{waited}", *(f"  {line}" for line in lines), *_reasons(rollout), advice]))


def _describe(worker: "Behind") -> str:
    """One worker that has not switched."""
    from schemas.decision import shorten

    deciding = " and ".join(map(shorten, worker.deciding))
    status = f"still uses {deciding}" if deciding else "has not decided anything yet"
    return f"{worker.worker} (partitions {', '.join(map(str, worker.partitions))}) {status}"


def _reasons(rollout: "Rollout") -> list[str]:
    """The workers' reasons, each distinct reason once."""
    workers: dict[str, list[str]] = {}
    for worker in rollout.behind:
        workers.setdefault(worker.reason, []).append(worker.worker)
    silent = workers.pop("", [])
    lines = [
        printable(f"Reason{' given by ' + ', '.join(names) if len(workers) > 1 or silent else ''}: {reason}")
        for reason, names in workers.items()
    ]
    if silent:
        why = "pinned (--bundle) or busy? See the log and /readyz"
        lines.append(f"No reason given by {printable(', '.join(silent))}: {why}")
    return lines


@contextmanager
def _show_progress() -> "Iterator[Callable[[Rollout, float], None]]":
    """Shows progress in a transient line if standard error is a terminal, and nothing otherwise."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("") as status:

        def show(rollout: "Rollout", waited_s: float) -> None:
            switched = rollout.workers - len(rollout.behind)
            moving = ", partitions are being reassigned" if rollout.moving else ""
            status.update(f"{switched} of {rollout.workers} workers, {waited_s:.0f} s{moving}")

        yield show
