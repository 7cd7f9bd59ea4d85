"""`scorer status`: brokers, workers, lag and deployed bundles in one look."""

import json
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING, Final

import typer

from schemas.printable import printable
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of
from scorer.cli.tables import fit_line

if TYPE_CHECKING:
    from scorer.operate.status import Status, WorkerStatus
    from scorer.settings import Settings

_NAME_COLUMNS: Final = 12


def status(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show brokers, workers, lag, the bundle of each worker, and the deployed bundles.

    Exit 1 if no worker is running, if a worker does not use the deployed bundles, if a partition has no owner, or if it
    has no leader or too few in-sync replicas for writes. Other replicas that are not in sync are a warning.
    `scorer doctor` checks more, and suggests fixes.

    Examples:
    ```
    scorer status
    scorer status --json | jq .lag
    ```
    """
    from scorer.operate.status import read_status

    settings = broker_settings_of(config, bootstrap_servers, assignments)
    current = read_status(settings)
    if as_json:
        typer.echo(json.dumps(_as_json(settings, current), indent=2))
    else:
        for line in status_lines(settings, current):
            typer.echo(fit_line(printable(line), _NAME_COLUMNS))
    if current.problems:
        raise typer.Exit(1)


def _as_json(settings: "Settings", current: "Status") -> dict[str, object]:
    last = None if current.last is None else current.last.model_dump(mode="json", exclude={"contract"})
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "brokers": len(current.cluster.brokers),
        "missing_brokers": sorted(current.cluster.missing_brokers),
        "group_id": settings.group_id,
        "rebalancing": current.rebalancing,
        "partitions": current.partitions,
        "unassigned": current.unassigned,
        "lag": current.lag,
        "workers": [asdict(worker) for worker in current.workers],
        "champion": None if current.champion is None else current.champion.model_dump(),
        "challenger": None if current.challenger is None else current.challenger.model_dump(),
        "last_deployment": last,
        "problems": current.problems,
        "warnings": current.warnings,
    }


def status_lines(settings: "Settings", current: "Status") -> list[str]:
    """The state as lines: a name, then its value."""
    workers = f"{len(current.workers)} worker{'s' * (len(current.workers) != 1)}"
    champion = current.champion.short if current.champion else f"{DEFAULT_BUNDLE}, before the first deployment"
    rebalancing = ", rebalancing" if current.rebalancing else ""
    facts = {
        "brokers": f"{len(current.cluster.brokers)} at {settings.bootstrap_servers}",
        "group": f"{settings.group_id}: {workers}, {current.partitions} partitions{rebalancing}",
        "lag": f"{current.lag:,}",
        "champion": champion,
        "challenger": current.challenger.short if current.challenger else "none",
        "deployed": _deployment(current),
    }
    lines = [*facts.items(), *(("" if number else "worker", _worker(w)) for number, w in enumerate(current.workers))]
    lines += [("problem", problem) for problem in current.problems]
    lines += [("warning", warning) for warning in current.warnings]
    return [f"{name:<{_NAME_COLUMNS}}{value}" for name, value in lines]


def _deployment(current: "Status") -> str:
    event = current.last
    if event is None:
        return "nothing yet"
    name = event.bundle.short if event.bundle else "none"
    return (
        f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {event.action} of {event.slot} {name} by {event.actor}: "
        f"{event.reason or 'no reason given'}"
    )


def _worker(worker: "WorkerStatus") -> str:
    bundles = " and ".join(worker.bundles) or "no bundle yet"
    partitions = ", ".join(map(str, worker.partitions)) or "none"
    return f"{worker.name}: partitions {partitions}; lag {worker.lag:,}; {bundles}"
