"""`scorer replay`: rescore past applications, and report which decisions changed."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.printable import printable
from scorer.cli.completion import complete_reference
from scorer.cli.options import (
    DEFAULT_BUNDLE,
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    StoreOption,
    broker_settings_of,
    parse_time,
    settings_of,
)
from scorer.errors import MisuseError, ReplayError

if TYPE_CHECKING:
    from rich.progress import Progress

    from scorer.core.score import Bundle
    from scorer.replay.decisions import Tell
    from scorer.replay.filters import Asked, Selected
    from scorer.replay.plan import Plan
    from scorer.replay.progress import Standing
    from scorer.replay.rescore import Verified
    from scorer.replay.results import Outcomes
    from scorer.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Rescore past applications (plan, run, status, report), and verify that decisions can be reproduced.",
)

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the plan.")]
DecidedByOption = Annotated[
    str | None,
    typer.Option(
        "--decided-by",
        metavar="REF",
        help="Applications whose current decision was made by this bundle.",
        autocompletion=complete_reference,
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Only records with this timestamp or a later one: 2026-11-01T09:30:00, in UTC.",
    ),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only records with an earlier timestamp than this one.")
]
OffsetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--offsets", metavar="P:A-B", help="Records of partition P from offset A to B, B included; may be repeated."
    ),
]
IdsOption = Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="File of application ids, one per line.")]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Read decisions from this time on only; faster if the topic holds years of them.",
    ),
]
_parse_offsets = re.compile(r"(\d+):(\d+)-(\d+)").fullmatch
_RATE: Final = 10_000.0


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the plan.")],
    decided_by: DecidedByOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    offsets: OffsetsOption = None,
    ids: IdsOption = None,
    since: SinceOption = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="REF",
            help="Bundle to rescore with (default: the champion).",
            autocompletion=complete_reference,
        ),
    ] = None,
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
    scorer replay plan bad-model --decided-by credit-risk:1.0.0
    scorer replay plan monday --from 2026-11-02 --to 2026-11-03 --with credit-risk:1.1.0
    ```
    """
    from scorer.operate.listening import require_listening
    from scorer.replay.filters import select
    from scorer.replay.plan import make_plan, write_plan
    from scorer.replay.rescore import measure_rate
    from scorer.store.store import BundleStore

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    if folder.exists():
        raise MisuseError(f"{folder} already exists, and plans are never overwritten: choose another folder")
    require_listening(settings)
    filters = _read_filters(settings, decided_by, (begin, end, since), offsets, ids)
    if filters.is_everything:
        raise MisuseError("which applications? Give --decided-by, --from and --to, --offsets, or --ids")
    opened = BundleStore(settings.store).open(bundle or _champion(settings))
    selected = select(settings, filters, partial(_progress_bar, quiet=as_json))
    _print_undecided(selected, filters)
    with selected.noted(settings):
        new_plan = make_plan(settings, selected.selection, opened.reference, str(filters))
    rate = measure_rate(settings, new_plan.selection, opened)
    write_plan(new_plan, folder)
    if as_json:
        typer.echo(json.dumps(_plan_as_json(new_plan, rate) | selected.as_json(), indent=2))
        return
    for note in selected.notes(settings):
        typer.echo(note)
    _print_plan(new_plan, rate, folder)


@app.command()
def run(
    folder: FolderArgument,
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", min=1, help="Limit of this process, in applications per second.")
    ] = _RATE,
    everything: Annotated[bool, typer.Option("--all", help="Also publish decisions that did not change.")] = False,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Port for /metrics, /healthz and /readyz; default: not served."),
    ] = None,
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
        with _progress_bar("rescoring") as update:
            progress = replay(
                settings,
                planned,
                opened,
                ReplayOptions(rate, everything, http_port),
                lambda current: update(current.done, current.total),
                stop,
                watchdog,
            )
    finally:
        watchdog.leave()
    _print_progress(planned, progress)
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
    """Show the progress of a replay, over all of its processes."""
    from scorer.replay.plan import read_plan

    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    planned.require_topics(settings)
    progress = _read_progress(settings, planned)
    if as_json:
        report = {"replay_id": planned.replay_id, "done": progress.done, "total": progress.total}
        typer.echo(json.dumps(report | {"complete": progress.complete}))
    else:
        _print_progress(planned, progress)


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
    with _progress_bar("reading the corrections", quiet=as_json) as update:
        outcomes = read_replay_results(settings, planned, progress.offsets, update)
    _write_report((settings, planned, opened), outcomes, output or folder / "report", as_json)


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
    scorer replay verify --decided-by credit-risk:1.1.0 --from 2026-11-01
    ```
    """
    from scorer.process import reduce_garbage_collection
    from scorer.replay import rescore as again
    from scorer.replay.filters import select
    from scorer.replay.plan import without_expired
    from scorer.store.store import BundleStore

    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    reduce_garbage_collection()
    began_at = time.monotonic()
    filters = _read_filters(settings, decided_by, (begin, end, since), offsets, ids)
    selected = select(settings, filters, partial(_progress_bar, quiet=as_json))
    _print_undecided(selected, filters)
    read_s = time.monotonic() - began_at
    existing = without_expired(settings, selected.selection)
    bundles = BundleStore(settings.store)
    with _progress_bar("rescoring", quiet=as_json) as update:
        verified = again.verify(settings, existing, lambda reference: bundles.open(str(reference)), update)
    expired = len(selected.selection) - len(existing)
    if as_json:
        typer.echo(json.dumps(_verified_as_json(verified, expired, read_s) | selected.as_json()))
    else:
        for note in selected.notes(settings):
            typer.echo(note)
        if verified.decisions:
            _print_verified(verified, expired, read_s)
    if not verified.decisions:
        raise ReplayError(f"nothing to verify: no current decisions for {filters} that are still on their topic")
    if verified.different:
        examples = printable(", ".join(verified.first_different))
        raise ReplayError(
            f"{verified.different:,} decisions differ, for example those for {examples}: "
            "they were not made by the bundle that they name, or this machine computes differently (across processor "
            "architectures, probabilities agree within 1e-6)"
        )


def _read_filters(
    settings: "Settings",
    decided_by: str | None,
    times: tuple[str | None, str | None, str | None],
    offsets: Sequence[str] | None,
    ids: Path | None,
) -> "Asked":
    """The filters that the options give; `times` are --from, --to and --since."""
    from scorer.bundle.load import read_manifest
    from scorer.replay.filters import Asked
    from scorer.replay.ids import read_ids
    from scorer.store.store import BundleStore

    begin, end, since = map(parse_time, ("--from", "--to", "--since"), times)
    if begin and end and begin >= end:
        raise MisuseError(f"--from {times[0]} --to {times[1]}: the range is empty; --to must be later than --from")
    return Asked(
        None if decided_by is None else read_manifest(BundleStore(settings.store).find(decided_by)).reference,
        begin,
        end,
        [_read_offsets(text) for text in offsets or ()],
        None if ids is None else read_ids(ids),
        since,
    )


def _print_undecided(selected: "Selected", filters: "Asked") -> None:
    from scorer.replay.ids import describe_undecided

    if selected.ids_without_decision:
        typer.echo(describe_undecided(selected.ids_without_decision, len(filters.ids or ())), err=True)


def _read_offsets(text: str) -> tuple[int, int, int]:
    from schemas.records import OFFSET_MAX, PARTITION_MAX, UNKNOWN, parse_number

    parsed = _parse_offsets(text)
    numbers = map(parse_number, parsed.groups(), (PARTITION_MAX, OFFSET_MAX, OFFSET_MAX)) if parsed else (UNKNOWN,) * 3
    partition, first, last = numbers
    if UNKNOWN in {partition, first, last} or first > last:
        raise MisuseError(f"--offsets {text[:80]}: write PARTITION:FIRST-LAST, for example --offsets 3:1000-1999")
    return partition, first, last


def _champion(settings: "Settings") -> str:
    from scorer.operate.deployments import read_history
    from scorer.stream.history import fold

    champion = fold(read_history(settings)).current("champion")
    return DEFAULT_BUNDLE if champion is None else str(champion)


def _open_planned(settings: "Settings", planned: "Plan") -> "Bundle":
    from scorer.store.store import BundleStore

    return BundleStore(settings.store).open(str(planned.bundle))


def _read_progress(settings: "Settings", planned: "Plan") -> "Standing":
    from contextlib import closing

    from scorer.replay.progress import ProgressReader

    with closing(ProgressReader(settings, planned)) as reader:
        return reader.look()


def _run_dry(settings: "Settings", planned: "Plan", opened: "Bundle", folder: Path) -> None:
    from scorer.author.train import require_libraries
    from scorer.replay.rescore import rescore
    from scorer.replay.results import empty_results, enter

    require_libraries("matplotlib")
    outcomes = empty_results(planned, published=False)
    with _progress_bar("rescoring") as update:
        for _, indices, scores in rescore(settings, planned.selection, opened, update):
            enter(outcomes, indices, scores)
    _write_report((settings, planned, opened), outcomes, folder, as_json=False)


def _write_report(of: tuple["Settings", "Plan", "Bundle"], outcomes: "Outcomes", folder: Path, as_json: bool) -> None:
    from scorer.replay.findings import count
    from scorer.replay.page import render

    settings, planned, opened = of
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _progress_bar("reading the applications", quiet=as_json) as update:
            findings = count(settings, planned, outcomes, folder / "flips.csv", update)
        (folder / "report.json").write_text(json.dumps(findings.as_json(), indent=2) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(render(findings, planned, outcomes, opened.policy), encoding="utf-8")
    except OSError as error:
        raise MisuseError(f"{folder}: the report cannot be written: {error.strerror}") from error
    if as_json:
        typer.echo(json.dumps(findings.as_json(), indent=2))
        return
    change, published = "would change", "nothing was published"
    if findings.published:
        change, published = "changed", f"{findings.corrections:,} corrections were published"
    typer.echo(f"{findings.flipped:,} of {findings.again:,} decisions {change}; {published}")
    if outcomes.skipped.count:
        typer.echo(str(outcomes.skipped))
    typer.echo(f"wrote the report to {folder / 'report.html'}, with report.json and flips.csv in the same folder")


def _plan_as_json(new_plan: "Plan", rate: float) -> dict[str, object]:
    return {
        "replay_id": new_plan.replay_id,
        "what": new_plan.what,
        "applications": len(new_plan.selection),
        "expired": new_plan.expired,
        "decided_by": {str(bundle): n for bundle, n in new_plan.selection.count_by_bundle().items()},
        "with": str(new_plan.bundle),
        "partitions": {p: list(bounds) for p, bounds in new_plan.selection.bounds().items()},
        "records_per_s": round(rate),
    }


def _print_plan(new_plan: "Plan", rate: float, folder: Path) -> None:
    applications = len(new_plan.selection)
    for bundle, n in new_plan.selection.count_by_bundle().items():
        typer.echo(printable(f"{n:,} applications decided by {bundle.short}"))
    offsets = ", ".join(f"{p}: {first}–{end - 1}" for p, (first, end) in sorted(new_plan.selection.bounds().items()))
    typer.echo(f"topic {new_plan.selection.topic}, offsets by partition: {offsets}")
    if new_plan.expired:
        typer.echo(f"{new_plan.expired:,} more were deleted by retention; their decisions cannot be corrected")
    typer.echo(f"to be rescored with {new_plan.bundle.short}")
    typer.echo(
        f"estimated duration: {_duration(applications / min(rate, _RATE))} at {min(rate, _RATE):,.0f} per second, "
        f"without --rate; one process on this machine rescores at most {rate:,.0f} per second"
    )
    typer.echo(f"saved the plan to {folder}; next: scorer replay run {folder} (or with --dry-run first)")


def _verified_as_json(verified: "Verified", expired: int, read_s: float) -> dict[str, object]:
    return {
        "decisions": verified.decisions,
        "different": verified.different,
        "expired": expired,
        "examples": verified.first_different,
        "records_per_s": round(verified.decisions / (read_s + verified.seconds)),
    }


def _print_verified(verified: "Verified", expired: int, read_s: float) -> None:
    skipped = f"; {expired:,} were skipped, as retention has deleted their applications" if expired else ""
    typer.echo(
        f"{verified.decisions:,} decisions read in {read_s:,.1f} s and rescored in {verified.seconds:,.1f} s "
        f"({verified.decisions / (read_s + verified.seconds):,.0f} per second): {verified.different:,} differ{skipped}"
    )


def _print_progress(planned: "Plan", progress: "Standing") -> None:
    share = progress.done / progress.total
    typer.echo(
        f"replay {planned.replay_id}: {progress.done:,} of {progress.total:,} applications rescored "
        f"({share:.1%}){', complete' if progress.complete else '; `scorer replay run` continues'}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def _progress_bar(what: str, quiet: bool = False) -> Iterator["Tell"]:
    """A progress bar with the rate and the remaining time, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        yield _BarUpdate(progress, what)


class _BarUpdate:
    """Updates a progress bar."""

    def __init__(self, progress: "Progress", what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None, rate="")

    def __call__(self, done: int, total: int) -> None:
        """Shows that `done` of `total` are done."""
        speed = self._progress.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._progress.update(self._task, completed=done, total=total, rate=rate)
