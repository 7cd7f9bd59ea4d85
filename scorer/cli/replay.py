"""`scorer replay`: past applications decided again, with a report of what came out otherwise."""

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
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    broker_settings_of,
    moment_of,
    settings_of,
)
from scorer.cli.train import StoreOption
from scorer.cli.worker import DEFAULT_BUNDLE
from scorer.errors import MisuseError, ReplayError

if TYPE_CHECKING:
    from rich.progress import Progress

    from scorer.core.score import Bundle
    from scorer.replay.again import Verified
    from scorer.replay.asked import Asked, Selected
    from scorer.replay.decisions import Tell
    from scorer.replay.outcomes import Outcomes
    from scorer.replay.plan import Plan
    from scorer.replay.progress import Standing
    from scorer.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Decide past applications again: plan, run, status, report; and verify that decisions can be reproduced.",
)

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the plan.")]
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
        help="Published then or later, by the record's own timestamp: 2026-11-01T09:30:00, in UTC.",
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Published before then.")]
OffsetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--offsets", metavar="P:A-B", help="Of partition P the records from offset A up to B; may be repeated."
    ),
]
IdsOption = Annotated[
    Path | None, typer.Option("--ids", metavar="FILE", help="The applications with these ids, one per line.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only current decisions that were written then or later: quicker where the topic holds years.",
    ),
]
_parse_offsets = re.compile(r"(\d+):(\d+)-(\d+)").fullmatch
_RATE: Final = 10_000.0


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to keep the plan; a new folder.")],
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
            help="What decides again; otherwise what decides now.",
            autocompletion=complete_reference,
        ),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the applications to decide again, and keep them as a plan. Nothing is published.

    What is given must hold together: `--decided-by` with `--from` is what that bundle decided since then. The plan
    tells how many applications there are, who decided them, how many retention has taken, and how long a run takes.

    Examples:
    ```
    scorer replay plan bad-model --decided-by credit-risk:1.0.0
    scorer replay plan monday --from 2026-11-02 --to 2026-11-03 --with credit-risk:1.1.0
    ```
    """
    from scorer.bundle.store import BundleStore
    from scorer.replay.again import measure_rate
    from scorer.replay.asked import select
    from scorer.replay.plan import make_plan, write_plan
    from scorer.stream.listening import require_listening

    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    if folder.exists():
        raise MisuseError(f"{folder} is there already, and a plan is never written over: choose another")
    require_listening(settings)
    asked = _asked(settings, decided_by, (begin, end, since), offsets, ids)
    if asked.is_everything:
        raise MisuseError("say which applications: --decided-by, --from and --to, --offsets, or --ids")
    opened = BundleStore(settings.store).open(bundle or _deciding_now(settings))
    selected = select(settings, asked, partial(_bar, quiet=as_json))
    _print_undecided(selected, asked)
    with selected.noted(settings):
        made = make_plan(settings, selected.selection, opened.reference, str(asked))
    rate = measure_rate(settings, made.selection, opened)
    write_plan(made, folder)
    if as_json:
        typer.echo(json.dumps(_plan_as_json(made, rate) | selected.as_json(), indent=2))
        return
    for note in selected.notes(settings):
        typer.echo(note)
    _print_plan(made, rate, folder)


@app.command()
def run(
    folder: FolderArgument,
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", min=1, help="At most so many applications a second, here.")
    ] = _RATE,
    everything: Annotated[bool, typer.Option("--all", help="Publish decisions too that come out the same.")] = False,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Serve /metrics, /healthz, /readyz there; otherwise they are not served."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; write the report only.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
) -> None:
    """Decide a plan's applications again and publish what comes out otherwise, as corrections.

    Each correction is a decision with two more headers: `replay-id`, and `supersedes` with the id of the decision that
    it takes the place of. Killed or stopped, it goes on where it was when it is started again; started several times
    at once, the processes share the work. Nothing is lost or published twice.

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
    if _look(settings, planned).complete:
        typer.echo(f"replay {planned.replay_id} is complete: all {len(planned.selection):,} applications are done")
        return
    planned.require_fresh(datetime.now(UTC))
    log_to_stderr(settings.log_format, settings.log_level)
    stop, watchdog = Stop(), Watchdog(limits(settings).shutdown_s)
    watchdog.start()
    try:
        with _bar("deciding again") as tell:
            standing = replay(
                settings,
                planned,
                opened,
                ReplayOptions(rate, everything, http_port),
                lambda found: tell(found.done, found.total),
                stop,
                watchdog,
            )
    finally:
        watchdog.leave()
    _print_standing(planned, standing)
    if standing.complete:
        typer.echo(f"next: scorer replay report {folder}")


@app.command()
def status(
    folder: FolderArgument,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a replay has come, whoever works on it."""
    from scorer.replay.plan import read_plan

    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    planned.require_topics(settings)
    standing = _look(settings, planned)
    if as_json:
        found = {"replay_id": planned.replay_id, "done": standing.done, "total": standing.total}
        typer.echo(json.dumps(found | {"complete": standing.complete}))
    else:
        _print_standing(planned, standing)


@app.command()
def report(
    folder: FolderArgument,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Where to write it; else FOLDER/report.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what a replay changed, for whom, and by how much.

    Writes report.html, a page that stands alone; report.json with all figures; and flips.csv, which names each
    application whose decision is another one now. It is made from what stands on the topics.
    Needs the package's extra "train".
    """
    from scorer.bundle.train import require_libraries
    from scorer.replay.outcomes import read_outcomes
    from scorer.replay.plan import read_plan

    require_libraries("matplotlib")
    planned = read_plan(folder)
    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    planned.require_topics(settings)
    opened = _open_planned(settings, planned)
    standing = _look(settings, planned)
    with _bar("reading the corrections", quiet=as_json) as tell:
        outcomes = read_outcomes(settings, planned, standing.offsets, tell)
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
    """Prove that decisions can be reproduced: decide again, each with the bundle that decided it, and compare bytes.

    Without options, all current decisions. Nothing is published. Exits with 1 if one differs, and if there was none
    to compare.

    Examples:
    ```
    scorer replay verify
    scorer replay verify --decided-by credit-risk:1.1.0 --from 2026-11-01
    ```
    """
    from scorer.bundle.store import BundleStore
    from scorer.process import collect_garbage_seldom
    from scorer.replay import again
    from scorer.replay.asked import select
    from scorer.replay.plan import without_expired

    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    collect_garbage_seldom()
    began_at = time.monotonic()
    asked = _asked(settings, decided_by, (begin, end, since), offsets, ids)
    selected = select(settings, asked, partial(_bar, quiet=as_json))
    _print_undecided(selected, asked)
    read_s = time.monotonic() - began_at
    existing = without_expired(settings, selected.selection)
    bundles = BundleStore(settings.store)
    with _bar("deciding again", quiet=as_json) as tell:
        verified = again.verify(settings, existing, lambda reference: bundles.open(str(reference)), tell)
    expired = len(selected.selection) - len(existing)
    if as_json:
        typer.echo(json.dumps(_verified_as_json(verified, expired, read_s) | selected.as_json()))
    else:
        for note in selected.notes(settings):
            typer.echo(note)
        if verified.decisions:
            _print_verified(verified, expired, read_s)
    if not verified.decisions:
        raise ReplayError(f"there is nothing to verify: no current decisions on {asked} that are still on their topic")
    if verified.different:
        examples = printable(", ".join(verified.first_different))
        raise ReplayError(
            f"{verified.different:,} decisions differ, such as those on {examples}: "
            "something else than the bundle that they name made them, or this machine computes otherwise (across "
            "processor architectures probabilities agree within 1e-6)"
        )


def _asked(
    settings: "Settings",
    decided_by: str | None,
    times: tuple[str | None, str | None, str | None],
    offsets: Sequence[str] | None,
    ids: Path | None,
) -> "Asked":
    """What the options ask for; `times` are --from, --to and --since."""
    from scorer.bundle.load import read_manifest
    from scorer.bundle.store import BundleStore
    from scorer.replay.asked import Asked
    from scorer.replay.ids import read_ids

    begin, end, since = map(moment_of, ("--from", "--to", "--since"), times)
    if begin and end and begin >= end:
        raise MisuseError(f"--from {times[0]} --to {times[1]}: nothing lies between; --to must be the later one")
    return Asked(
        None if decided_by is None else read_manifest(BundleStore(settings.store).find(decided_by)).reference,
        begin,
        end,
        [_read_offsets(text) for text in offsets or ()],
        None if ids is None else read_ids(ids),
        since,
    )


def _print_undecided(selected: "Selected", asked: "Asked") -> None:
    from scorer.replay.ids import describe_undecided

    if selected.ids_without_decision:
        typer.echo(describe_undecided(selected.ids_without_decision, len(asked.ids or ())), err=True)


def _read_offsets(text: str) -> tuple[int, int, int]:
    from schemas.records import OFFSET_MAX, PARTITION_MAX, UNKNOWN, parse_number

    parsed = _parse_offsets(text)
    numbers = map(parse_number, parsed.groups(), (PARTITION_MAX, OFFSET_MAX, OFFSET_MAX)) if parsed else (UNKNOWN,) * 3
    partition, first, last = numbers
    if UNKNOWN in {partition, first, last} or first > last:
        raise MisuseError(f"--offsets {text[:80]}: write PARTITION:FIRST-LAST, as in --offsets 3:1000-1999")
    return partition, first, last


def _deciding_now(settings: "Settings") -> str:
    from scorer.stream.deployments import fold, read_history

    current = fold(read_history(settings)).current("champion")
    return DEFAULT_BUNDLE if current is None else str(current)


def _open_planned(settings: "Settings", planned: "Plan") -> "Bundle":
    from scorer.bundle.store import BundleStore

    return BundleStore(settings.store).open(str(planned.bundle))


def _look(settings: "Settings", planned: "Plan") -> "Standing":
    from contextlib import closing

    from scorer.replay.progress import ProgressReader

    with closing(ProgressReader(settings, planned)) as progress:
        return progress.look()


def _run_dry(settings: "Settings", planned: "Plan", opened: "Bundle", folder: Path) -> None:
    from scorer.bundle.train import require_libraries
    from scorer.replay.again import decide_again
    from scorer.replay.outcomes import enter, nothing_yet

    require_libraries("matplotlib")
    outcomes = nothing_yet(planned, published=False)
    with _bar("deciding again") as tell:
        for _, places, scores in decide_again(settings, planned.selection, opened, tell):
            enter(outcomes, places, scores)
    _write_report((settings, planned, opened), outcomes, folder, as_json=False)


def _write_report(of: tuple["Settings", "Plan", "Bundle"], outcomes: "Outcomes", folder: Path, as_json: bool) -> None:
    from scorer.replay.findings import count
    from scorer.replay.page import render

    settings, planned, opened = of
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _bar("reading the applications", quiet=as_json) as tell:
            findings = count(settings, planned, outcomes, folder / "flips.csv", tell)
        (folder / "report.json").write_text(json.dumps(findings.as_json(), indent=2) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(render(findings, planned, outcomes, opened.policy), encoding="utf-8")
    except OSError as error:
        raise MisuseError(f"{folder}: the report cannot be written: {error.strerror}") from error
    if as_json:
        typer.echo(json.dumps(findings.as_json(), indent=2))
        return
    get, published = "would get", "nothing was published"
    if findings.published:
        get, published = "get", f"{findings.corrections:,} corrections were published"
    typer.echo(f"{findings.flipped:,} of {findings.again:,} applications {get} another decision; {published}")
    if outcomes.skipped.count:
        typer.echo(str(outcomes.skipped))
    typer.echo(f"the report is in {folder / 'report.html'}; report.json and flips.csv lie beside it")


def _plan_as_json(made: "Plan", rate: float) -> dict[str, object]:
    return {
        "replay_id": made.replay_id,
        "what": made.what,
        "applications": len(made.selection),
        "expired": made.expired,
        "decided_by": {str(bundle): n for bundle, n in made.selection.count_by_bundle().items()},
        "with": str(made.bundle),
        "partitions": {p: list(bounds) for p, bounds in made.selection.bounds().items()},
        "records_per_s": round(rate),
    }


def _print_plan(made: "Plan", rate: float, folder: Path) -> None:
    applications = len(made.selection)
    for bundle, n in made.selection.count_by_bundle().items():
        typer.echo(printable(f"{n:,} applications that {bundle.short} decided"))
    where = ", ".join(f"{p}: {first}–{end - 1}" for p, (first, end) in sorted(made.selection.bounds().items()))
    typer.echo(f"in {made.selection.topic}, by partition and offsets: {where}")
    if made.expired:
        typer.echo(f"{made.expired:,} more are gone: retention has taken them, and their decisions stand as they are")
    typer.echo(f"to be decided again by {made.bundle.short}")
    typer.echo(
        f"about {_duration(applications / min(rate, _RATE))} at {min(rate, _RATE):,.0f} a second, where --rate is not "
        f"given; one process here decides {rate:,.0f} a second at most"
    )
    typer.echo(f"the plan is in {folder}; next: scorer replay run {folder} (or with --dry-run first)")


def _verified_as_json(verified: "Verified", expired: int, read_s: float) -> dict[str, object]:
    return {
        "decisions": verified.decisions,
        "different": verified.different,
        "expired": expired,
        "examples": verified.first_different,
        "records_per_s": round(verified.decisions / (read_s + verified.seconds)),
    }


def _print_verified(verified: "Verified", expired: int, read_s: float) -> None:
    left_out = f"; {expired:,} were left out: retention has taken their applications" if expired else ""
    typer.echo(
        f"{verified.decisions:,} decisions read back in {read_s:,.1f} s and decided again in {verified.seconds:,.1f} s "
        f"({verified.decisions / (read_s + verified.seconds):,.0f} per second): {verified.different:,} differ{left_out}"
    )


def _print_standing(planned: "Plan", standing: "Standing") -> None:
    share = standing.done / standing.total
    typer.echo(
        f"replay {planned.replay_id}: {standing.done:,} of {standing.total:,} applications decided again "
        f"({share:.1%}){', complete' if standing.complete else '; `scorer replay run` goes on from there'}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def _bar(what: str, quiet: bool = False) -> Iterator["Tell"]:
    """A progress bar with the rate and the time left, on standard error; none where that is no terminal."""
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
        yield _Telling(progress, what)


class _Telling:
    """Moves a bar on."""

    def __init__(self, progress: "Progress", what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None, rate="")

    def __call__(self, done: int, total: int) -> None:
        """So many of so many."""
        speed = self._progress.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._progress.update(self._task, completed=done, total=total, rate=rate)
