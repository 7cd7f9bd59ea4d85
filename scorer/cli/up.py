"""`scorer up` and `scorer broker`: run everything, or only a broker, on this machine."""

import hashlib
import json
import re
import shlex
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from schemas.durations import read_duration
from schemas.printable import printable_lines
from scorer.cli.completion import complete_reference
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, settings_of
from scorer.cli.tables import print_trimmed
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.settings import LoadedSettings
    from scorer.local.up import Plan, Up
    from scorer.settings import Settings

BrokerOption = Annotated[
    Literal["auto", "given", "docker", "java", "mock"],
    typer.Option(
        "--broker",
        help="auto: the broker in bootstrap_servers if it is set, otherwise the first of docker, java and mock that "
        "works here.",
    ),
]
KindArgument = Annotated[
    Literal["auto", "docker", "java", "mock"],
    typer.Argument(help="auto: the first of docker, java and mock that works here."),
]
PortOption = Annotated[int, typer.Option("--port", help="Port of the started broker; 0 chooses a free one.")]
PreferredPortOption = Annotated[
    int | None,
    typer.Option(
        "--port", help="Port of the started broker; 0 chooses a free one; default: 9092, or a free one if it is in use."
    ),
]


class BrokerChoice(NamedTuple):
    """The broker to use, and a note on the choice."""

    servers: str | None
    """The address of a running broker; None starts one."""
    note: str


BundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="REF",
        help="Pin the workers to this bundle; default: the champion.",
        autocompletion=complete_reference,
    ),
]


ForOption = Annotated[
    str | None, typer.Option("--for", metavar="60s", help="Publish for this long; default: until Ctrl-C.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="Publish this file instead of generated applications.")
]
GroupIdOption = Annotated[
    str | None,
    typer.Option(
        "--group-id",
        metavar="NAME",
        help="Consumer group of this run, and prefix of its topics (NAME.…), so that several runs can share a broker.",
    ),
]


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of workers.")] = 2,
    rate: Annotated[float, typer.Option(min=1, help="Applications per second, independent of decisions.")] = 50,
    load_for: ForOption = None,
    data: DataOption = None,
    invalid: Annotated[
        float, typer.Option(min=0, max=1, help="Share of generated applications that are invalid.")
    ] = 0.01,
    partitions: Annotated[int, typer.Option(min=1, max=1_000, help="Partitions for newly created topics.")] = 6,
    bundle: BundleOption = None,
    broker: BrokerOption = "auto",
    port: PreferredPortOption = None,
    group_id: GroupIdOption = None,
    seed: Annotated[int, typer.Option(help="Seed for the generated applications.")] = 1,
    console: Annotated[bool, typer.Option("--console/--no-console", help="Also serve the console.")] = True,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run everything on this machine: a broker, topics, workers, applications, and an audit of all results.

    The audit reads the topics with read_committed, and counts the applications of this run only: published, decided,
    rejected, lost and duplicated. It also measures the time from publishing an application to reading its decision.
    With --for, the run ends when every application has a result, or 15 s after the last result. A worker that exits is
    restarted, up to 5 times per minute. Exit 1 if anything was lost or, with exactly-once delivery, duplicated.

    The command fails if workers of the same group are already running: see --group-id.

    Examples:
    ```
    scorer up
    scorer up --rate 2000
    scorer up --workers 4 --rate 20000 --for 60s
    scorer up --data applications.csv
    scorer up --broker java --port 19092
    ```
    """
    from scorer.local.load import LoadPlan
    from scorer.local.up import Plan

    loaded = settings_of(config, bootstrap_servers, assignments, group_id=group_id)
    if data is not None and not data.exists():
        raise MisuseError(f"--data {data}: file not found")
    choice = choose_broker(loaded, broker, port)
    plan = Plan(
        workers=workers,
        load=LoadPlan(rate, None if load_for is None else _read_for(load_for), data, invalid, seed),
        partitions=partitions,
        bundle=bundle,
        broker=broker,
        broker_port=port,
        servers=choice.servers,
        console=console,
    )
    _run(plan, loaded, choice.note, as_json=as_json)


def _read_for(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise MisuseError(f"--for {text[:40]}: {error}") from None


def _run(plan: "Plan", loaded: "LoadedSettings[Settings]", note: str, *, as_json: bool) -> None:
    """Runs everything and shows the view; exit 1 if something was lost, duplicated or not published."""
    from rich.console import Console

    from scorer.cli.progress_bar import Steps
    from scorer.local.child import SHELL_SIGNAL_BASE
    from scorer.local.up import Interrupted, Up
    from scorer.local.view import View, summary, summary_json

    settings = with_own_topics(loaded)
    terminal = Console(stderr=as_json)
    view, steps = View(terminal), Steps(terminal)
    if note:
        steps.say(note)
    try:
        with steps, Up(plan, settings, steps.say, view.notify) as running:
            exports = _export_lines(loaded, running.settings)
            for line in exports and ["in another terminal:", *(f"  {line}" for line in exports)]:
                steps.say(line)
            steps.end()
            view.footer = _footer(running, exports)
            with view:
                end = running.watch(view.show)
            failures, notes = running.failures(end), running.notes()
    except Interrupted as interrupt:
        typer.echo("interrupted during startup; everything was stopped", err=True)
        raise typer.Exit(SHELL_SIGNAL_BASE + interrupt.signal) from None
    if as_json:
        typer.echo(json.dumps(summary_json(end)))
    else:
        print_trimmed(terminal, summary(end))
    for line in [*notes, *failures]:
        typer.echo(printable_lines(line), err=True)
    if failures or end.waiting or (end.duplicated and settings.delivery == "exactly-once"):
        raise typer.Exit(1)


def choose_broker(loaded: "LoadedSettings[Settings]", kind: str, port: int | None) -> BrokerChoice:
    """Which broker `scorer up` uses: an address that is set, unless --broker names a kind to start.

    Raises:
        MisuseError: flags contradict each other.
    """
    from scorer.local.broker import KINDS

    servers, origin = loaded.settings.bootstrap_servers, loaded.origins["bootstrap_servers"]
    if kind not in KINDS:
        raise MisuseError(f"--broker {kind}: choose one of {', '.join(KINDS)}")
    if origin == "default":
        if kind == "given":
            raise MisuseError("--broker given: set its address with --bootstrap-servers or SCORER_BOOTSTRAP_SERVERS")
        return BrokerChoice(None, "")
    if kind not in {"auto", "given"}:
        if origin == "flag":
            raise MisuseError(
                f"--broker {kind} starts a broker, but --bootstrap-servers names one: give only one of them"
            )
        return BrokerChoice(None, f"{servers} from {origin} is ignored, because of --broker {kind}")
    if port and (origin == "flag" or kind == "given"):
        raise MisuseError(
            f"--port {port} is for a broker that is started here, but {servers} is already running: omit --port or "
            "the address"
        )
    source = "--bootstrap-servers" if origin == "flag" else origin
    ignored = f"; --port {port} is ignored (--broker java or docker starts a broker there)" if port else ""
    return BrokerChoice(servers, f"using the broker at {servers} from {source}{ignored}")


def with_own_topics(loaded: "LoadedSettings[Settings]") -> "Settings":
    """Returns the settings, with topics of its own for a group that a flag names: no two groups share a topic."""
    settings = loaded.settings
    if loaded.origins["group_id"] != "flag":
        return settings
    prefix = re.sub(r"[^A-Za-z0-9._-]", "-", settings.group_id)
    if prefix != settings.group_id:  # team:1 is not team-1
        prefix += f"-{hashlib.sha256(settings.group_id.encode()).hexdigest()[:8]}"
    names = [name for name in type(settings).model_fields if name.endswith("_topic")]
    changes = {name: f"{prefix}.{getattr(settings, name)}" for name in names if loaded.origins[name] == "default"}
    return settings.model_copy(update=changes)


def _footer(running: "Up", exports: list[str]) -> list[str]:
    """How to stop the run, and where everything is: lines of the live view, most important first."""
    addresses = {"console": running.console_url, "logs": str(running.folder)}
    head = ["Ctrl-C: stop", *(f"{name}: {address}" for name, address in addresses.items() if address)]
    return ["   ".join(head), *exports[:1]]


def _export_lines(loaded: "LoadedSettings[Settings]", settings: "Settings") -> list[str]:
    """Lines for another terminal that set the settings of this run that would differ there."""
    names = ["bootstrap_servers", "group_id", *(n for n in type(settings).model_fields if n.endswith("_topic"))]
    return [
        f"export SCORER_{name.upper()}={shlex.quote(str(getattr(settings, name)))}"
        for name in names
        if loaded.origins[name] == "flag" or getattr(settings, name) != getattr(loaded.settings, name)
    ]


def broker(
    kind: KindArgument = "auto",
    port: PortOption = 9092,
) -> None:
    """Run a Kafka broker on this machine in the foreground until Ctrl-C. Its data is deleted when it stops.

    Examples:
    ```
    scorer broker
    scorer broker java --port 19092
    ```
    """
    from rich.console import Console

    from scorer.cli.progress_bar import Steps
    from scorer.local.broker import start_broker

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    steps = Steps(Console(stderr=True))
    with steps, start_broker(kind, port=0 if kind == "mock" else port, say=steps.say) as running:
        steps.end()
        typer.echo(running.bootstrap_servers)
        typer.echo("Ctrl-C stops it. In another terminal:", err=True)
        typer.echo(f"  export SCORER_BOOTSTRAP_SERVERS={running.bootstrap_servers}", err=True)
        typer.echo("  scorer topics ensure && scorer worker", err=True)
        while not stopped:
            running.check()
            time.sleep(0.2)
