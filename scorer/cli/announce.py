"""Publishes a deployment event, or writes it to a proposal file, and reports which workers have switched."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.cli.signing import Signing
from scorer.errors import DeploymentError

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from schemas.deployment import DeploymentEvent
    from scorer.operate.rollout import Rollout, UnswitchedWorker
    from scorer.settings import Settings
    from scorer.stream.history import State

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

_WAIT_S = 60.0


def champion_of(state: "State", settings: "Settings") -> "BundleReference":
    """The champion; before the first deployment, the bundle that workers start with."""
    from scorer.bundle.load import read_manifest
    from scorer.store.store import BundleStore

    return state.current("champion") or read_manifest(BundleStore(settings.store).find(DEFAULT_BUNDLE)).reference


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
    from scorer.operate.deployments import append_event, draft_event
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
    event = append_event(settings, decide, signing.sign)
    if event.slot == "champion":
        _wait(settings, event, _WAIT_S if wait_s is None else wait_s, as_json)
    elif as_json:
        typer.echo(json.dumps({"event": event.model_dump(mode="json")}, indent=2))
    else:
        _print_challenger(event)


def _print_challenger(event: "DeploymentEvent") -> None:
    previous = f" (previously {event.previous.short})" if event.previous else ""
    if event.bundle is None:
        typer.echo(printable(f"{event.action}: there is no challenger now{previous}"))
    else:
        typer.echo(printable(f"{event.action}: the challenger is now {event.bundle.short}{previous}"))
        typer.echo("workers load it on their own; next: scorer challenger compares its decisions")


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
    unswitched = [_describe(worker) for worker in rollout.unswitched]
    if as_json:
        failures = [
            {"worker": worker.worker, "reason": worker.reason} for worker in rollout.unswitched if worker.reason
        ]
        report = {"event": event.model_dump(mode="json"), "workers": rollout.workers, "unswitched": unswitched}
        typer.echo(json.dumps(report | {"load_failures": failures, "done": rollout.done}, indent=2))
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
    counts = f"{len(unswitched)} of {rollout.workers}"
    head = f"the deployment is in the history, but {counts} workers have not switched to {name}"
    lines = [printable(line) for line in unswitched] or ["partitions are still being reassigned"]
    advice = f'To revert: {undo} --reason "not all workers switched"'
    raise DeploymentError("\n".join([f"{head}{waited}", *(f"  {line}" for line in lines), *_reasons(rollout), advice]))


def _describe(worker: "UnswitchedWorker") -> str:
    """One worker that has not switched."""
    from schemas.decision import shorten

    bundles = " and ".join(map(shorten, worker.bundles))
    status = f"still uses {bundles}" if bundles else "has not decided anything yet"
    return f"{worker.worker} (partitions {', '.join(map(str, worker.partitions))}) {status}"


def _reasons(rollout: "Rollout") -> list[str]:
    """The workers' reasons, each distinct reason once."""
    workers: dict[str, list[str]] = {}
    for worker in rollout.unswitched:
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
            switched = rollout.workers - len(rollout.unswitched)
            suffix = ", partitions are being reassigned" if rollout.rebalancing else ""
            status.update(f"{switched} of {rollout.workers} workers, {waited_s:.0f} s{suffix}")

        yield show
