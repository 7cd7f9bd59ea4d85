"""`scorer policy simulate`: what another policy would have decided on past applications."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.champion import read_champion
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    PageOption,
    ServersOption,
    SetOption,
    StoreOption,
    broker_settings_of,
    require_target,
    write_page,
)
from scorer.cli.policy_source import ForBundleOption, prepare, read_for
from scorer.cli.progress_bar import progress_bar
from scorer.cli.replay_filters import DecidedByOption, SinceOption, read_filters
from scorer.cli.tables import print_tables
from scorer.errors import MisuseError, ReplayError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from scorer.bundle.manifest import Manifest
    from scorer.core.decide import Decider
    from scorer.replay.filters import Filters, Selected
    from scorer.replay.simulation import Simulation
    from scorer.settings import Settings


def simulate(
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Policy file (default: the bundle's policy).")
    ] = None,
    maybe_above: Annotated[
        float | None, typer.Option(min=0, max=1, help="General threshold in place of the policy's.")
    ] = None,
    declined_above: Annotated[
        float | None, typer.Option(min=0, max=1, help="General threshold in place of the policy's.")
    ] = None,
    bundle: ForBundleOption = None,
    decided_by: DecidedByOption = None,
    since: SinceOption = None,
    html: PageOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what another policy would have decided on past applications: nothing is scored again or published.

    PDs are those of the current decisions on the topic; applications are read only if rules or segments need their
    fields. The expected default rate comes from the bundle's calibration, if the decisions are by its model.

    Examples:
    ```
    scorer policy simulate --maybe-above 0.25 --decided-by credit-risk:1.1.1
    scorer policy simulate --policy policy.toml --html policy.html
    ```
    """
    from scorer.author.train import require_libraries
    from scorer.bundle.load import read_contract_of, read_manifest
    from scorer.core.decode import Decoder
    from scorer.replay.simulation import decide_again, summarize
    from scorer.store.store import BundleStore

    require_target("--html", html)
    require_libraries(*(["matplotlib"] if html else []))
    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    filters = read_filters(settings, decided_by, (None, None, since), None, None)
    folder = BundleStore(settings.store).find(bundle or read_champion(settings))
    manifest, (_, contract) = read_manifest(folder), read_contract_of(folder)
    decider = _read_policy(policy, (maybe_above, declined_above), manifest, contract)
    selected = _select(settings, filters, quiet=as_json)
    progress = progress_bar("reading the applications", quiet=as_json)
    simulated = decide_again(settings, selected.selection, decider, Decoder(contract), progress)
    simulation = summarize(simulated, selected.selection, decider, manifest, str(filters))
    _require_applications(simulation, settings)
    if html is not None:
        _write_page(simulation, decider, html)
    if as_json:
        typer.echo(json.dumps(simulation.as_json() | selected.as_json(), indent=2))
        return
    for note in selected.notes(settings):
        typer.echo(note)
    _print_simulation(simulation)
    if html is not None:
        typer.echo(f"Wrote {html}")


def _read_policy(
    path: Path | None, thresholds: tuple[float | None, float | None], manifest: "Manifest", contract: "Contract"
) -> "Decider":
    """Returns the policy of a file, or of the bundle, with other general thresholds if they are given."""
    from pydantic import ValidationError

    from schemas.fault_words import describe_faults
    from scorer.core.policy import Policy

    policy = manifest.policy
    if path is not None:
        policy = read_for(path, contract, manifest.reasons.codes if manifest.reasons else None).decider.policy
    given = dict(zip(("maybe_above", "declined_above"), thresholds, strict=True))
    changed = {name: value for name, value in given.items() if value is not None}
    try:
        policy = Policy.model_validate(policy.model_dump() | changed)
    except ValidationError as error:
        raise MisuseError(f"--maybe-above, --declined-above: {describe_faults(error)}") from None
    return prepare(policy, contract, manifest.reference.short)


def _select(settings: "Settings", filters: "Filters", *, quiet: bool) -> "Selected":
    """Selects the decisions, at least one."""
    from scorer.replay.filters import select

    selected = select(settings, filters, partial(progress_bar, quiet=quiet))
    if not len(selected.selection):
        with selected.with_notes(settings), filters.with_hint():
            raise ReplayError(
                f"nothing to simulate: topic {settings.decisions_topic} has no decisions on applications of topic "
                f"{settings.applications_topic}. `scorer status` shows whether workers decide"
            )
    return selected


def _require_applications(simulation: "Simulation", settings: "Settings") -> None:
    """Rules and segments need the applications' fields; without any application, nothing is compared."""
    if not simulation.applications:
        raise ReplayError(
            f"nothing to simulate on {simulation.what}: retention deleted {simulation.missing:,} of them from topic "
            f"{settings.applications_topic}, and {simulation.invalid:,} are not in the contract of "
            f"{simulation.bundle}. Select other decisions, or name a bundle with their contract with --bundle; a "
            "policy without rules and segments needs no applications"
        )


def _write_page(simulation: "Simulation", decider: "Decider", path: Path) -> None:
    from scorer.replay.simulation_page import render

    write_page(path, render(simulation, decider.policy))


def _print_simulation(simulation: "Simulation") -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="Decisions (rows: before, columns: simulated)", title_justify="left")
    table.add_column("")
    for label in [*simulation.after, "total"]:
        table.add_column(label, justify="right")
    for before, row in simulation.flips.items():
        table.add_row(before, *(f"{count:,}" for count in row.values()), f"{simulation.before[before]:,}")
    table.add_row("total", *(f"{count:,}" for count in simulation.after.values()), f"{simulation.applications:,}")
    print_tables(table)
    total = max(simulation.applications, 1)
    typer.echo(
        f"{simulation.flipped:,} of {simulation.applications:,} decisions would change, {simulation.stricter:,} to a "
        f"stricter label; approval rate {simulation.after['APPROVED'] / total:.1%} instead of "
        f"{simulation.before['APPROVED'] / total:.1%}"
    )
    for rule, counts in simulation.by_rule.items():
        typer.echo(f"rule {rule}: decides {counts['applications']:,}, changes {counts['flipped']:,}")
    if simulation.missing or simulation.invalid:
        typer.echo(f"left out: {simulation.missing:,} deleted by retention, {simulation.invalid:,} not in the contract")
    if simulation.default_rate_after is not None:
        typer.echo(f"expected default rate of APPROVED: {simulation.default_rate_after:.1%}")
    typer.echo(simulation.calibration)
