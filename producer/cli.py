"""The `producer` command: sends applications, and shows their decisions."""

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.errors import MisuseError, PublisherError
from producer.options import (
    ApplicationsOption,
    ContractOption,
    DeadLettersOption,
    DecisionsOption,
    ForOption,
    IdOption,
    InvalidOption,
    JsonOption,
    KafkaOption,
    LastOption,
    OnlyOption,
    PrefixOption,
    ProfileOption,
    RateOption,
    SeedOption,
    ServersOption,
    TimeoutSOption,
    VersionOption,
    read_assignments,
)
from producer.summary import Skipped, show_decision, show_load, show_published
from schemas.command_line import PlainlyWorded, is_for_people, make_plain
from schemas.printable import printable, printable_lines
from schemas.surroundings import explain_fault, standard_streams

if TYPE_CHECKING:
    from rich.progress import Progress

    from producer.settings import Settings
    from schemas.contract import Contract

app = typer.Typer(
    name="producer",
    cls=PlainlyWorded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",  # unlike "rich", wraps text at the width of the terminal
    help="""Send credit applications to Kafka, and read their decisions.

    `producer try age=25` sends one application and shows its decision, `producer publish FILE` sends a file,
    `producer load` sends generated applications at a given rate, `producer watch` follows the decisions.

    Brokers and topics come from, highest precedence first: flags; the environment variables
    SCORER_BOOTSTRAP_SERVERS, SCORER_APPLICATIONS_TOPIC, SCORER_DECISIONS_TOPIC, SCORER_DEAD_LETTERS_TOPIC,
    SCORER_DEPLOYMENTS_TOPIC and SCORER_KAFKA__SECURITY_PROTOCOL (for security.protocol, and so on for any librdkafka
    property); scorer.toml in the current folder. A property whose name ends in .file, such as sasl.password.file, names
    a file with the value.

    The contract of the applications is that of the deployed bundle, from the deployment history on Kafka, or that of
    --contract FILE; before the first deployment it is credit-application, which is shipped.

    Exit codes: 0 success, 1 failure, 2 usage error.
    """,
)

# How long an interrupted command waits for outstanding acknowledgements.
_INTERRUPTED_WAIT_S: Final = 5.0
# A record and the mark of its transaction; a transaction often has several records.
_OFFSETS_PER_RESULT: Final = 2


def main() -> None:
    """Runs the command line. Exit codes: 0 success, 1 failure, 2 usage error, 141 standard output was closed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops a command like Ctrl-C
    with standard_streams("producer"):
        try:
            command = typer.main.get_command(app)
            if not is_for_people():
                make_plain(command)
            command(prog_name="producer")
        except PublisherError as error:
            sys.stderr.write(f"producer: {printable_lines(str(error))}\n")
            sys.exit(error.exit_code)
        except (OSError, RuntimeError) as error:
            fault = explain_fault(error)
            if fault is None:
                raise
            sys.stderr.write(f"producer: {printable_lines(fault)}\n")
            sys.exit(1)


@app.callback()
def root(version: VersionOption = False) -> None:
    """Takes the options that come before a command."""
    del version


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A .csv, .jsonl, .ndjson or .json file; - is stdin.")],
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Send every row unchecked, to see what the scorer rejects.")
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="Header to add to every record; may be repeated."),
    ] = None,
    contract: ContractOption = None,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a file of applications, and validate each against the contract first.

    CSV has a header line with the contract's fields, in any order and letter case; values may be written as the
    contract's codes for files. JSON lines hold one application each. A row without an id gets one from the file's name,
    the line number and a digest of the row. Invalid rows are not sent; they are listed with the fields and rules, and
    the exit code is 1.

    Examples:
    ```
    producer publish applications.csv
    zcat applications.jsonl.gz | producer publish - --json
    producer publish broken.jsonl --as-is
    ```
    """
    settings = _settings(bootstrap_servers, kafka, applications_topic=applications_topic)
    headers = read_assignments("--header", header, "traceparent=00-…")

    from producer.client import ApplicationPublisher
    from producer.files import count_lines, open_rows
    from producer.publish import publish_rows
    from schemas.rows import Hints

    hints = Hints()
    with _contract_of(contract, settings) as own_contract:
        rows = open_rows(file, own_contract, hints)

    with ApplicationPublisher(settings, headers, own_contract) as publisher:
        with _progress() as progress:
            followed = progress.track(
                rows, total=None if progress.disable else count_lines(file), description="publishing"
            )
            report = publish_rows(publisher, iter(followed), hints, as_is=as_is)
            publisher.wait_for_delivery(_INTERRUPTED_WAIT_S if report.interrupted else None)
        show_published(report, publisher, settings.applications_topic, as_json=as_json)
        if report.interrupted:
            raise typer.Exit(130)
    if report.invalid or report.read_error:
        raise typer.Exit(1)


@app.command()
def load(
    rate: RateOption = 1_000,
    for_s: ForOption = "60s",  # type: ignore[assignment]  # the parser reads the default, too
    seed: SeedOption = 1,
    prefix: PrefixOption = None,
    invalid: InvalidOption = 0,
    contract: ContractOption = None,
    profile: ProfileOption = None,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send generated applications at a constant rate, whether or not the scorer keeps up.

    With --profile, they resemble the applications that a bundle was trained on, field by field. Without it, values are
    drawn uniformly from what the contract accepts, unknown and absent ones included; applicants of the contract
    credit-application resemble the course's data in their distributions and correlations. None is a real person.

    A record's timestamp is its scheduled time, so that a latency measured from it includes every delay. With
    --invalid 0.01 one in a hundred applications is invalid, covering every rejection code that a record can cause.
    Ctrl-C or SIGTERM stops the load and prints the summary.

    Examples:
    ```
    producer load --rate 5000 --for 2m
    producer load --rate 200 --for 30s --invalid 0.05 --json
    producer load --contract loan.schema.json --profile loan --for 10s
    ```
    """
    settings = _settings(bootstrap_servers, kafka, applications_topic=applications_topic)

    import secrets

    from producer.client import ApplicationPublisher
    from producer.files import read_profile
    from producer.generator import fit_prefix, generate_applications
    from producer.interrupt import interruptible
    from producer.load import LoadRun

    with _contract_of(contract, settings) as own_contract:
        ids = prefix if prefix is not None else fit_prefix(f"load-{secrets.token_hex(4)}-{seed}", own_contract)
        try:
            records = generate_applications(seed, ids, invalid, own_contract, read_profile(profile, own_contract))
        except ValueError as error:
            raise MisuseError(str(error)) from None
    with interruptible() as interrupted, ApplicationPublisher(settings, contract=own_contract) as publisher:
        run = LoadRun(publisher, records, rate, for_s)
        with _progress() as progress:
            task = progress.add_task("sending", total=run.total)
            report = run.run(interrupted, lambda: progress.update(task, completed=run.sent))
        show_load(report, ids, rate, as_json=as_json)
        if report.acknowledged + report.failed < report.sent:
            raise typer.Exit(1)


@app.command("try")
def try_application(
    assignments: Annotated[list[str] | None, typer.Argument(metavar="FIELD=VALUE", show_default=False)] = None,
    timeout_s: TimeoutSOption = "10s",  # type: ignore[assignment]  # the parser reads the default, too
    fields: Annotated[bool, typer.Option("--fields", help="List the fields and their values, and exit.")] = False,
    contract: ContractOption = None,
    bootstrap_servers: ServersOption = None,
    applications_topic: ApplicationsOption = None,
    decisions_topic: DecisionsOption = None,
    dead_letters_topic: DeadLettersOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one application and show its decision.

    Fields that are not given take the values of the contract's example, and are listed below the decision; optional
    fields that are a prohibited basis are not sent. --fields lists the fields of the deployed contract.

    Examples:
    ```
    producer try
    producer try age=25 job=partime seniority=0 income=null
    producer try --fields
    ```
    """
    from producer.deployed import find_contract
    from producer.trial import field_table, make_trial

    settings = _settings(
        bootstrap_servers,
        kafka,
        applications_topic=applications_topic,
        decisions_topic=decisions_topic,
        dead_letters_topic=dead_letters_topic,
    )
    if fields:
        known = find_contract(contract, settings)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        typer.echo(field_table(known.contract, width))
        _show(known.note)
        return
    with _contract_of(contract, settings) as own_contract:
        trial = make_trial(assignments or [], own_contract)

    from producer.client import ApplicationPublisher

    with ApplicationPublisher(settings, contract=own_contract) as publisher:
        start_s = time.monotonic()
        decision = publisher.decide(trial.application, timeout_s)
        waited_s = time.monotonic() - start_s
    show_decision(decision, trial.defaulted, waited_s, as_json=as_json)


@app.command()
def watch(
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest record instead of the newest.")
    ] = False,
    last: LastOption = 0,
    application_id: IdOption = "",
    only: OnlyOption = None,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Also show rejected applications.")] = False,
    bootstrap_servers: ServersOption = None,
    decisions_topic: DecisionsOption = None,
    dead_letters_topic: DeadLettersOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the decisions as they are committed, one per line, until Ctrl-C.

    A line shows the time, the application's id, the decision, the probability of default and the bundle; for a dead
    letter, the rejection code and the reason. With --last, the newest results are shown first; together with --id or
    --only, these are the newest ones that match, for which the topics are read from the beginning.

    Examples:
    ```
    producer watch --dead-letters
    producer watch --id try- --last 20
    producer watch --only REJECTED --last 5
    producer watch --from-beginning --json | jq -r .decision
    ```
    """
    if from_beginning and last:
        raise MisuseError("--from-beginning shows all results: omit --last")
    settings = _settings(
        bootstrap_servers, kafka, decisions_topic=decisions_topic, dead_letters_topic=dead_letters_topic
    )

    from rich.console import Console

    from producer.interrupt import interruptible
    from producer.show import result_json, result_line
    from producer.tail import TopicTail
    from producer.watch import Filter, Watch, topics_of

    console, skipped = Console(highlight=False, soft_wrap=True), Skipped()
    columns = console.width if console.is_terminal else None
    shown = Filter(application_id, only or "")
    watched = topics_of(settings, shown, dead_letters=dead_letters)
    start = {"from_beginning": from_beginning or bool(last and any(shown)), "until_end": bool(last)}
    newest = _OFFSETS_PER_RESULT * last
    with (
        interruptible() as interrupted,
        TopicTail(settings, watched, newest=newest, skip=skipped.add, **start) as tail,
    ):
        since = "the beginning" if from_beginning else f"the newest {last} results" if last else "now"
        typer.echo(f"watching {' and '.join(watched)} from {since} on; Ctrl-C stops", err=True)
        for result in Watch(tail, settings.dead_letters_topic, shown, skipped.add).results(last, interrupted):
            if as_json:
                typer.echo(result_json(*result))
            else:
                console.print(result_line(*result, columns))
    skipped.report()


def _settings(bootstrap_servers: str | None, kafka: Sequence[str] | None, **topics: str | None) -> "Settings":
    """The effective settings with these flags.

    Raises:
        MisuseError: a setting is invalid.
    """
    from producer.settings import load_settings

    properties = read_assignments("--kafka", kafka, "security.protocol=SSL")
    return load_settings({"bootstrap_servers": bootstrap_servers, **topics, "kafka": properties})


@contextmanager
def _contract_of(file: Path | None, settings: "Settings") -> Iterator["Contract"]:
    """The contract of a file, or else the deployed one, to check the call against.

    What is wrong with the call is reported first, then that no broker responds, then that the contract is not certain.

    Raises:
        MisuseError: the file is not a contract, or the call is wrong; this may be because of the contract.
        BrokerUnreachableError: no broker responds.
    """
    from producer.deployed import find_contract

    known = find_contract(file, settings)
    try:
        yield known.contract
    except MisuseError as error:
        raise MisuseError(f"{error}\n{known.note}" if known.error else str(error)) from None
    known.require_broker()
    _show(known.note)


def _show(note: str) -> None:
    if note:
        typer.echo(f"producer: {printable(note)}", err=True)


def _progress() -> "Progress":
    """A progress bar, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal)
