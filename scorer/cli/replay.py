"""`scorer replay`: rescore past applications, and report which decisions changed."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.cli.champion import read_champion
from scorer.cli.completion import complete_reference
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    StoreOption,
    broker_settings_of,
    default_actor,
    require_actor,
    require_reason,
    settings_of,
)
from scorer.cli.progress_bar import progress_bar
from scorer.cli.replay_filters import (
    DecidedByOption,
    FromOption,
    IdsOption,
    OffsetsOption,
    SinceOption,
    ToOption,
    plan_command,
    read_filters,
)
from scorer.cli.replay_output import (
    RATE,
    plan_as_json,
    print_plan,
    print_progress,
    print_verified,
    verified_as_json,
    write_report,
)
from scorer.errors import MisuseError, ReplayError

if TYPE_CHECKING:
    from scorer.core.score import Bundle
    from scorer.replay.filters import Filters, Selected
    from scorer.replay.plan import Plan
    from scorer.replay.progress import Progress
    from scorer.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Rescore past applications (plan, run, status, report), and verify that decisions can be reproduced.",
)

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the plan.")]


BundleOption = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="REF",
        help="Bundle to rescore with (default: the champion).",
        autocompletion=complete_reference,
    ),
]


ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", callback=require_reason, help="Why the decisions are corrected; shown in the report."),
]
ActorOption = Annotated[
    str | None,
    typer.Option("--actor", callback=require_actor, help="Operator shown in the report (default: user@hostname)."),
]


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the plan.")],
    decided_by: DecidedByOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    offsets: OffsetsOption = None,
    ids: IdsOption = None,
    since: SinceOption = None,
    bundle: BundleOption = None,
    reason: ReasonOption = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Select the applications to rescore and save them as a plan. Nothing is published.

    Several filters are combined with AND: `--decided-by` with `--from` selects what that bundle decided since then. The
    plan shows the number of applications, the bundles that decided them, how many records retention has deleted, and
    the estimated duration of a run.

    Examples:
    ```
    scorer replay plan bad-model --decided-by credit-risk:1.0.0 --reason "declined everybody who rents"
    scorer replay plan monday --from 2026-11-02 --to 2026-11-03 --with credit-risk:1.1.1
    ```
    """
    from scorer.bundle.engine import with_engine
    from scorer.operate.listening import require_listening
    from scorer.replay.filters import select
    from scorer.replay.plan import Origin, make_plan, write_plan
    from scorer.replay.rescore import measure_rate
    from scorer.store.store import BundleStore

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    if folder.exists():
        raise MisuseError(f"{folder} already exists, and plans are never overwritten: choose another folder")
    require_listening(settings)
    times = (begin, end, since)
    filters = read_filters(settings, decided_by, times, offsets, ids)
    if filters.is_empty:
        raise MisuseError("which applications? Give --decided-by, --from and --to, --offsets, or --ids")
    opened = with_engine(BundleStore(settings.store).open(bundle or read_champion(settings)), settings.engine)
    selected = select(settings, filters, partial(progress_bar, quiet=as_json))
    _print_undecided(selected, filters)
    command = plan_command(folder, decided_by, times, offsets, ids, bundle)
    origin = Origin(folder.resolve().name, actor or default_actor(), reason or "", command)
    with selected.with_notes(settings):
        new_plan = make_plan(settings, selected.selection, opened.reference, str(filters), origin)
    rate = measure_rate(settings, new_plan.selection, opened)
    write_plan(new_plan, folder)
    if as_json:
        typer.echo(json.dumps(plan_as_json(new_plan, rate) | selected.as_json(), indent=2))
        return
    for note in selected.notes(settings):
        typer.echo(note)
    print_plan(new_plan, rate, folder)


HttpPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="Port for /metrics, /healthz and /readyz; default: not served."),
]


RateOption = Annotated[
    float, typer.Option("--rate", metavar="N", min=1, help="Limit of this process, in applications per second.")
]


PublishUnchangedOption = Annotated[bool, typer.Option("--all", help="Also publish decisions that did not change.")]


@app.command()
def run(
    folder: FolderArgument,
    rate: RateOption = RATE,
    publish_unchanged: PublishUnchangedOption = False,
    http_port: HttpPortOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; only write the report.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
) -> None:
    """Rescore a plan's applications and publish the decisions that changed, as corrections.

    Each correction is a decision with two more headers: `replay-id`, and `supersedes` with the id of the decision that
    it replaces. A run that was stopped or killed continues where it stopped when it is started again; several processes
    of one plan share the work. Nothing is lost or published twice.

    Examples:
    ```
    scorer replay run bad-model
    scorer replay run bad-model --dry-run
    ```
    """
    from scorer.logs import log_to_stderr
    from scorer.process import ReplayOptions, replay
    from scorer.replay.plan import read_plan
    from scorer.stop import Stop
    from scorer.stream.librdkafka import limits
    from scorer.watchdog import Watchdog

    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    planned.require_topics(settings)
    opened = _open_planned(settings, planned)
    if dry_run:
        _run_dry(settings, planned, opened, folder / "dry-run")
        return
    if _read_progress(settings, planned).complete:
        typer.echo(f"replay {planned.replay_id} is complete: all {len(planned.selection):,} applications are rescored")
        return
    planned.require_fresh(datetime.now(UTC))
    log_to_stderr(settings.log_format, settings.log_level)
    stop, watchdog = Stop(), Watchdog(limits(settings).shutdown_s)
    watchdog.start()
    try:
        with progress_bar("rescoring") as update:
            progress = replay(
                settings,
                planned,
                opened,
                ReplayOptions(rate, publish_unchanged, http_port),
                lambda current: update(current.done, current.total),
                stop,
                watchdog,
            )
    finally:
        watchdog.leave()
    print_progress(planned, progress)
    if progress.complete:
        typer.echo(f"next: scorer replay report {folder}")


@app.command()
def status(
    folder: FolderArgument,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a replay, over all of its processes.

    Examples:
    ```
    scorer replay status bad-model
    scorer replay status bad-model --json | jq .done
    ```
    """
    from scorer.replay.plan import read_plan

    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    planned.require_topics(settings)
    progress = _read_progress(settings, planned)
    if as_json:
        report = {"replay_id": planned.replay_id, "done": progress.done, "total": progress.total}
        typer.echo(json.dumps(report | {"complete": progress.complete}))
    else:
        print_progress(planned, progress)


@app.command()
def report(
    folder: FolderArgument,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Output folder (default: FOLDER/report).")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what a replay changed, for whom, and by how much.

    Writes report.html, a self-contained page; report.json with all figures; and flips.csv, which lists each application
    whose decision changed. The report is computed from the records on the topics.
    Needs the package's extra "train".

    Examples:
    ```
    scorer replay report bad-model
    scorer replay report bad-model --output report-for-the-committee
    ```
    """
    from scorer.author.train import require_libraries
    from scorer.replay.plan import read_plan
    from scorer.replay.results import read_replay_results

    require_libraries("matplotlib")
    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    planned.require_topics(settings)
    opened = _open_planned(settings, planned)
    progress = _read_progress(settings, planned)
    with progress_bar("reading the corrections", quiet=as_json) as update:
        results = read_replay_results(settings, planned, progress.offsets, update)
    write_report((settings, planned, opened), results, output or folder / "report", as_json)


@app.command()
def verify(
    decided_by: DecidedByOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    offsets: OffsetsOption = None,
    ids: IdsOption = None,
    since: SinceOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify that decisions can be reproduced: rescore each with its own bundle and compare the bytes.

    Without options, all current decisions are verified. Nothing is published. Exits with 1 if a decision differs, or if
    no decision was found.

    Examples:
    ```
    scorer replay verify
    scorer replay verify --decided-by credit-risk:1.1.1 --from 2026-11-01
    ```
    """
    from scorer.process import reduce_garbage_collection
    from scorer.replay import rescore as rescoring
    from scorer.replay.filters import select
    from scorer.replay.plan import without_expired
    from scorer.store.store import BundleStore

    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    reduce_garbage_collection()
    began_at = time.monotonic()
    filters = read_filters(settings, decided_by, (begin, end, since), offsets, ids)
    selected = select(settings, filters, partial(progress_bar, quiet=as_json))
    _print_undecided(selected, filters)
    read_s = time.monotonic() - began_at
    existing = without_expired(settings, selected.selection)
    bundles = BundleStore(settings.store)
    with progress_bar("rescoring", quiet=as_json) as update:
        verified = rescoring.verify(settings, existing, lambda reference: bundles.open(str(reference)), update)
    expired = len(selected.selection) - len(existing)
    if as_json:
        typer.echo(json.dumps(verified_as_json(verified, expired, read_s) | selected.as_json()))
    else:
        for note in selected.notes(settings):
            typer.echo(note)
        if verified.decisions:
            print_verified(verified, expired, read_s)
    if not verified.decisions:
        raise ReplayError(f"nothing to verify: no current decisions for {filters} that are still on their topic")
    if verified.different:
        examples = printable(", ".join(verified.first_different))
        raise ReplayError(
            f"{verified.different:,} decisions differ, for example those for {examples}: "
            "they were not made by the bundle that they name, or this machine computes differently (across processor "
            "architectures, probabilities agree within 1e-6)"
        )


def _print_undecided(selected: "Selected", filters: "Filters") -> None:
    from scorer.replay.ids import describe_undecided

    if selected.ids_without_decision:
        typer.echo(describe_undecided(selected.ids_without_decision, len(filters.ids or ())), err=True)


def _open_planned(settings: "Settings", planned: "Plan") -> "Bundle":
    from scorer.bundle.engine import with_engine
    from scorer.store.store import BundleStore

    return with_engine(BundleStore(settings.store).open(str(planned.bundle)), settings.engine)


def _read_progress(settings: "Settings", planned: "Plan") -> "Progress":
    from contextlib import closing

    from scorer.replay.progress import ProgressReader

    with closing(ProgressReader(settings, planned)) as reader:
        return reader.read()


def _run_dry(settings: "Settings", planned: "Plan", opened: "Bundle", folder: Path) -> None:
    from scorer.author.train import require_libraries
    from scorer.replay.rescore import rescore
    from scorer.replay.results import add_scores, empty_results

    require_libraries("matplotlib")
    results = empty_results(planned, published=False)
    with progress_bar("rescoring") as update:
        for _, indices, scores in rescore(settings, planned.selection, opened, update):
            add_scores(results, indices, scores)
    write_report((settings, planned, opened), results, folder, as_json=False)
