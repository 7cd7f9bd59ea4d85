"""The `producer` command: applications onto the topic, decisions back to the terminal."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.errors import MisuseError, PublisherError
from producer.settings import Settings, load_settings
from schemas.durations import read_duration
from schemas.printable import printable, printable_lines
from schemas.surroundings import explain_fault, standard_streams
from schemas.text import find_text_fault, is_utf8

if TYPE_CHECKING:
    from rich.progress import Progress

    from producer.client import ApplicationPublisher
    from producer.load import LoadReport
    from producer.publish import PublishReport
    from schemas.rows import Hints, Row

app = typer.Typer(
    name="producer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # unlike "rich", it flows to the width of the terminal
    help="""Credit applications onto Kafka, and their decisions back to the terminal.

    `producer try age=25` asks for one decision, `producer publish FILE` sends a file,
    `producer load` makes applications up and sends them at a rate, `producer watch` follows
    what is decided.

    Brokers and topics come from scorer.toml in the current folder, over that from SCORER_BOOTSTRAP_SERVERS,
    SCORER_APPLICATIONS_TOPIC, SCORER_DECISIONS_TOPIC, SCORER_DEAD_LETTERS_TOPIC and
    SCORER_KAFKA__SECURITY_PROTOCOL (for security.protocol, and so on for any librdkafka property), and over those
    from flags. A property whose name ends in .file, such as sasl.password.file, names a file with the value.

    Exit codes: 0 done, 1 failed, 2 misuse.
    """,
)

ServersOption = Annotated[
    str | None, typer.Option("--bootstrap-servers", "-b", metavar="HOST:PORT", help="Where the Kafka brokers are.")
]
KafkaOption = Annotated[
    list[str] | None,
    typer.Option("--kafka", "-k", metavar="PROPERTY=VALUE", help="Any librdkafka property; may be repeated."),
]
ApplicationsOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Where applications go.")]
DecisionsOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Where decisions come from.")]
DeadLettersOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Where rejected applications come from.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For scripts: print JSON.")]

# How long an interrupted command waits for acknowledgements that are under way.
_DRAIN_INTERRUPTED_S: Final = 5.0
# How long `watch` sleeps in librdkafka before it looks for Ctrl-C.
_WATCH_SLICE_S: Final = 0.2


def parse_duration(text: str) -> float:
    """Reads a duration; returns seconds."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text[:40]}' {error}") from None


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 misuse, 141 the reader of standard output left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends a command as Ctrl-C does
    with standard_streams("producer"):
        try:
            app()
        except PublisherError as error:
            sys.stderr.write(f"producer: {printable_lines(str(error))}\n")
            sys.exit(error.exit_code)
        except (OSError, RuntimeError) as error:
            fault = explain_fault(error)
            if fault is None:
                raise
            sys.stderr.write(f"producer: {printable_lines(fault)}\n")
            sys.exit(1)


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A .csv, .jsonl, .ndjson or .json file; - is stdin.")],
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Send every row unchecked: to see what the scorer rejects.")
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="A header of every record sent; may be repeated."),
    ] = None,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a file of applications, each checked against the contract first.

    CSV has a header line with the contract's fields, in any order and letter case; categories are names or the course's
    numbers, and 99999999 means missing. JSON lines hold one application each. A row without an application_id gets one
    made of the file's name, the line and a digest of the row. A row that the contract refuses is not sent; it is named
    with its fields and rules, and the exit code is 1.

    For example:

        producer publish applications.csv

        zcat applications.jsonl.gz | producer publish - --json

        producer publish broken.jsonl --as-is
    """
    settings = _settings(bootstrap_servers, kafka, applications_topic=applications_topic)
    headers = _assignments("--header", header, "traceparent=00-…")

    from producer.client import ApplicationPublisher
    from producer.publish import publish_rows
    from schemas.rows import Hints

    hints = Hints()
    rows = _open_rows(file, hints)

    with ApplicationPublisher(settings, headers) as publisher:
        with _progress() as progress:
            followed = progress.track(rows, total=_count_lines(file, progress), description="publishing")
            report = publish_rows(publisher, iter(followed), hints, as_is=as_is)
            publisher.drain(_DRAIN_INTERRUPTED_S if report.interrupted else None)
        _show_published(report, publisher, settings.applications_topic, as_json=as_json)
        if report.interrupted:
            raise typer.Exit(130)
    if report.refused or report.broken:
        raise typer.Exit(1)


@app.command()
def load(
    rate: Annotated[float, typer.Option("--rate", min=0.01, max=1_000_000, help="Applications a second.")] = 1_000,
    for_s: Annotated[
        float, typer.Option("--for", parser=parse_duration, metavar="DURATION", help="How long: 60s, 2m, 500ms.")
    ] = "60s",  # type: ignore[assignment]  # the parser reads the default, too
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same applicants.")] = 1,
    prefix: Annotated[
        str | None, typer.Option(help="Ids are PREFIX-0, PREFIX-1 and so on; otherwise every load has its own.")
    ] = None,
    bad: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="The share that the scorer must reject.")
    ] = 0,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make applications up and send them at a rate, whether or not the scorer keeps up.

    The applicants resemble the course's in their distributions and correlations, and none of them is real. A record's
    timestamp is the time when it was due, so that a latency measured from it counts every wait. With --bad 0.01 one in
    a hundred is unsound, in all the ways that the scorer tells apart. Ctrl-C or SIGTERM ends it with its summary.

    For example:

        producer load --rate 5000 --for 2m

        producer load --rate 200 --for 30s --bad 0.05 --json
    """
    settings = _settings(bootstrap_servers, kafka, applications_topic=applications_topic)

    import secrets

    from producer.client import ApplicationPublisher
    from producer.generator import generate_applications
    from producer.interrupt import interruptible
    from producer.load import LoadRun

    ids = prefix if prefix is not None else f"load-{secrets.token_hex(4)}-{seed}"
    try:
        records = generate_applications(seed, ids, bad)
    except ValueError as error:
        raise MisuseError(str(error)) from None
    with interruptible() as interrupted, ApplicationPublisher(settings) as publisher:
        run = LoadRun(publisher, records, rate, for_s)
        with _progress() as progress:
            task = progress.add_task("sending", total=run.total)
            report = run.run(interrupted, lambda: progress.update(task, completed=run.sent))
        _show_load(report, ids, rate, as_json=as_json)
        if report.acknowledged + report.failed < report.sent:
            raise typer.Exit(1)


@app.command("try")
def try_application(
    assignments: Annotated[list[str] | None, typer.Argument(metavar="FIELD=VALUE", show_default=False)] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", parser=parse_duration, metavar="DURATION", help="How long to wait: 10s.")
    ] = "10s",  # type: ignore[assignment]  # the parser reads the default, too
    fields: Annotated[
        bool, typer.Option("--fields", help="List the fields and what they take, and do nothing.")
    ] = False,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    decisions_topic: DecisionsOption = None,
    dead_letters_topic: DeadLettersOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one application and show what is decided.

    Fields that are not given take the example's values from the contract, and are named in the answer.

    For example:

        producer try

        producer try age=25 job=partime seniority=0 income=null

        producer try --fields
    """
    from producer.trial import field_table, make_trial

    if fields:
        typer.echo(field_table())
        return
    settings = _settings(
        bootstrap_servers,
        kafka,
        applications_topic=applications_topic,
        decisions_topic=decisions_topic,
        dead_letters_topic=dead_letters_topic,
    )
    trial = make_trial(assignments or [])

    from rich.console import Console

    from producer.client import ApplicationPublisher
    from producer.show import decision_panel

    with ApplicationPublisher(settings) as publisher:
        start_s = time.monotonic()
        decision = publisher.decide(trial.application, timeout_s)
        waited_s = time.monotonic() - start_s
    if as_json:
        answer = {
            "decision": decision.model_dump(),
            "defaulted": trial.defaulted,
            "waited_ms": round(waited_s * 1_000, 1),
        }
        typer.echo(json.dumps(answer))
        return
    console = Console(highlight=False)
    console.print(decision_panel(decision, waited_s))
    if trial.defaulted:
        given = ", ".join(f"{name}={value}" for name, value in trial.defaulted.items())
        console.print(f"Not given, so as in the contract's example: {given}", style="dim", markup=False)


@app.command()
def watch(
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest, not from now.")
    ] = False,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Show what was rejected, too.")] = False,
    bootstrap_servers: ServersOption = None,
    decisions_topic: DecisionsOption = None,
    dead_letters_topic: DeadLettersOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the decisions as they are committed: a line each, until Ctrl-C.

    A line has the time, the application's id, the decision, the probability of default and the bundle; that of a dead
    letter has the code and the reason.

    For example:

        producer watch --dead-letters

        producer watch --from-beginning --json | jq -r .decision
    """
    settings = _settings(
        bootstrap_servers, kafka, decisions_topic=decisions_topic, dead_letters_topic=dead_letters_topic
    )

    from rich.console import Console

    from producer.interrupt import interruptible
    from producer.kafka import TopicTail
    from producer.outcomes import read_outcome
    from producer.show import outcome_json, outcome_line
    from schemas.records import Malformed, Mark, written_at

    console = Console(highlight=False, soft_wrap=True)
    skipped = 0
    topics = [settings.decisions_topic, *([settings.dead_letters_topic] if dead_letters else [])]
    with interruptible() as interrupted, TopicTail(settings, topics, from_beginning=from_beginning) as tail:
        since = "the beginning" if from_beginning else "now"
        typer.echo(f"watching {' and '.join(topics)} from {since} on; Ctrl-C ends", err=True)
        while not interrupted():
            message = tail.poll(_WATCH_SLICE_S)
            outcome = None if message is None else read_outcome(message, settings.dead_letters_topic)
            if message is None or outcome is None or isinstance(outcome, Mark):
                continue
            if isinstance(outcome, Malformed):
                skipped += 1
                typer.echo(printable(f"skipped: {outcome}"), err=True)
            elif as_json:
                typer.echo(outcome_json(outcome, written_at(message)))
            else:
                console.print(outcome_line(outcome, written_at(message)))
    if skipped:
        typer.echo(f"{skipped:,} records were skipped: they are neither decisions nor dead letters", err=True)


def _settings(bootstrap_servers: str | None, kafka: Sequence[str] | None, **topics: str | None) -> Settings:
    """The settings in force with these flags.

    Raises:
        MisuseError: a flag or scorer.toml is wrong.
    """
    properties = _assignments("--kafka", kafka, "security.protocol=SSL")
    return load_settings({"bootstrap_servers": bootstrap_servers, **topics}, properties)


def _assignments(option: str, given: Sequence[str] | None, example: str) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE, by name.

    Raises:
        MisuseError: one has no `=`.
    """
    found = {}
    for assignment in given or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise MisuseError(f"{option}: write NAME=VALUE, such as {option} {example}; one has no `=`")
        fault = find_text_fault(name) or ("" if is_utf8(value) else "is not UTF-8")
        if fault:
            raise MisuseError(f"{option}: a name or value {fault}")
        if name in found:
            raise MisuseError(f"{option} {name}: is given twice; leave one of them out")
        found[name] = value
    return found


def _open_rows(file: str, hints: "Hints") -> "Iterator[Row]":
    """The rows of a file, of which the first is read at once: a wrong file is told before a broker is asked.

    Raises:
        MisuseError: the file cannot be read as applications.
    """
    from schemas.files import read_applications
    from schemas.rows import ApplicationsFileError

    rows = read_applications(file, hints)
    try:
        first = next(rows, None)
    except ApplicationsFileError as error:
        raise MisuseError(str(error)) from None
    return rows if first is None else chain([first], rows)


def _progress() -> "Progress":
    """A progress bar on a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal)


def _count_lines(file: str, progress: "Progress") -> int | None:
    """How many lines the bar is long; None where nobody looks, or nobody can know before the end."""
    if progress.disable or not Path(file).is_file():
        return None
    with Path(file).open("rb") as lines:
        return sum(1 for _ in lines)


def _show_published(report: "PublishReport", publisher: "ApplicationPublisher", topic: str, *, as_json: bool) -> None:
    for line, faults in report.refusals:
        typer.echo(f"line {line} refused: {'; '.join(map(str, faults))}", err=True)
    if report.refused > len(report.refusals):
        typer.echo(f"… and {report.refused - len(report.refusals):,} more lines refused", err=True)
    for hint in report.hints.texts():
        typer.echo(hint, err=True)
    if report.broken:
        typer.echo(f"producer: {report.broken}; {publisher.sent:,} rows before that were sent", err=True)
    if as_json:
        told = {"topic": topic, "rows": report.rows, "sent": publisher.sent, "acknowledged": publisher.acknowledged}
        refusals = [{"line": line, "faults": [fault._asdict() for fault in faults]} for line, faults in report.refusals]
        told |= {"failed": publisher.failed, "refused": report.refused, "hints": report.hints.texts()}
        typer.echo(json.dumps({**told, "refusals": refusals, "interrupted": report.interrupted}))
        return
    typer.echo(
        f"{publisher.acknowledged:,} of {report.rows:,} applications acknowledged on {topic}; "
        f"{report.refused:,} refused, {publisher.sent - publisher.acknowledged:,} not delivered"
    )


def _show_load(report: "LoadReport", ids: str, rate: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ids": ids, "rate": rate, **asdict(report)}))
        return
    typer.echo(
        f"{'stopped: ' if report.stopped else ''}{report.sent:,} applications sent, "
        f"{report.rate_achieved:,.1f} a second ({rate:,g} asked), ids {ids}-0 to {ids}-{report.sent - 1}; "
        f"{report.bad:,} of them bad\n"
        f"{report.acknowledged:,} acknowledged, {report.failed:,} failed; "
        f"the latest left {report.lateness_max_ms:,.1f} ms after it was due"
    )
    if report.sent < report.scheduled:
        typer.echo(
            f"producer: the rate was not kept: {report.scheduled - report.sent:,} records were due and not sent; "
            "this machine or the broker is too slow for it",
            err=True,
        )
