"""`scorer up` and `scorer broker`: everything, or just a broker, on this machine."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, settings_of
from scorer.errors import MisuseError

BrokerOption = Annotated[
    str,
    typer.Option(
        "--broker", help="auto takes the first there is: a given one, docker, java, mock. Or name one of them."
    ),
]
PortOption = Annotated[int, typer.Option("--port", help="Port of the broker started here; 0 takes a free one.")]


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many workers share the work.")] = 2,
    rate: Annotated[float, typer.Option(min=1, help="Applications a second, whether or not decisions come.")] = 2_000,
    load_for: Annotated[
        str | None, typer.Option("--for", metavar="60s", help="End after so long, with a summary; else at Ctrl-C.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Publish this file instead of made-up applications.")
    ] = None,
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of made-up applications that are invalid.")] = 0.01,
    partitions: Annotated[int, typer.Option(min=1, max=1_000, help="Of the topics, where they are created.")] = 6,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="REF",
            help="Pins what decides; otherwise what is deployed does.",
            autocompletion=complete_reference,
        ),
    ] = None,
    broker: BrokerOption = "auto",
    port: PortOption = 0,
    seed: Annotated[int, typer.Option(help="Of the made-up applications.")] = 1,
    console: Annotated[bool, typer.Option("--console/--no-console", help="Serve the console, too.")] = True,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run everything on this machine: a broker, the topics, workers, applications, and an audit of every outcome.

    The audit reads the topics as any read_committed reader would and counts: published, decided, rejected, lost,
    duplicated, and the seconds from an application's publishing to its decision's reading. Exit 1 if anything was lost
    or, with exactly-once delivery, duplicated.

    Examples:
    ```
    scorer up
    scorer up --workers 4 --rate 20000 --for 60s
    scorer up --data applications.csv
    ```
    """
    from rich.console import Console

    from scorer.local.up import Plan, Up
    from scorer.local.view import View, summary, summary_json

    loaded = settings_of(config, bootstrap_servers, assignments)
    if data is not None and not data.exists():
        raise MisuseError(f"--data {data}: there is no such file")
    is_given = loaded.origins["bootstrap_servers"] != "default" and broker in {"auto", "given"}
    plan = Plan(
        workers=workers,
        rate=rate,
        load_s=None if load_for is None else seconds_of(load_for),
        data=data,
        bad_share=bad,
        partitions=partitions,
        bundle=bundle,
        broker=broker,
        broker_port=port,
        servers=loaded.settings.bootstrap_servers if is_given else None,
        seed=seed,
        console=console,
    )
    terminal = Console(stderr=as_json)
    with Up(
        plan, loaded.settings, lambda line: terminal.print(line, markup=False, highlight=False, soft_wrap=True)
    ) as running:
        with View(terminal) as view:
            end = running.watch(view.show)
        failures = running.load_failures()
    if as_json:
        typer.echo(json.dumps(summary_json(end)))
    else:
        terminal.print(summary(end))
    if failures:
        typer.echo(f"the publisher says:\n{failures}", err=True)
    duplicates_matter = loaded.settings.delivery == "exactly-once"
    if failures or end.waiting or (end.duplicated and duplicates_matter):
        raise typer.Exit(1)


def broker(
    kind: Annotated[str, typer.Argument(help="auto, docker, java or mock.")] = "auto",
    port: PortOption = 9092,
) -> None:
    """Run a Kafka broker on this machine in the foreground, until Ctrl-C; its data are gone then.

    Examples:
    ```
    scorer broker
    scorer broker java --port 19092
    ```
    """
    from scorer.local.broker import start_broker

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with start_broker(kind, port=0 if kind == "mock" else port, say=lambda line: typer.echo(line, err=True)) as running:
        typer.echo(running.bootstrap_servers)
        typer.echo("Ctrl-C stops it. In another terminal:", err=True)
        typer.echo(f"  export SCORER_BOOTSTRAP_SERVERS={running.bootstrap_servers}", err=True)
        typer.echo("  scorer topics ensure && scorer worker", err=True)
        while not stopped:
            running.check()
            time.sleep(0.2)


def seconds_of(text: str) -> float:
    """A duration such as 60s, 2m, 500ms or 1h in seconds; without a unit it is seconds.

    Raises:
        MisuseError: it is no duration.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if not found:
        raise MisuseError(f"{text} is no duration: write 60s, 2m, 500ms or 1h")
    return float(found.group(1)) * {"ms": 0.001, "s": 1, "m": 60, "h": 3_600}[found.group(2) or "s"]
