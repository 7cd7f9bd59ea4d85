"""The options of the `producer` command."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.durations import read_duration


def parse_duration(text: str) -> float:
    """Parses a duration, and returns it in seconds."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text[:40]}' {error}") from None


def print_version(is_given: bool) -> None:
    """Prints the version and exits, if the option is given."""
    if is_given:
        from importlib.metadata import version

        typer.echo(f"producer {version('streaming-credit-scorer')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version, and exit.")
]
ServersOption = Annotated[
    str | None, typer.Option("--bootstrap-servers", "-b", metavar="HOST:PORT", help="Kafka brokers, comma-separated.")
]
KafkaOption = Annotated[
    list[str] | None,
    typer.Option("--kafka", "-k", metavar="PROPERTY=VALUE", help="Any librdkafka property; may be repeated."),
]
ApplicationsOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Topic to publish applications to.")]
DecisionsOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Topic to read decisions from.")]
DeadLettersOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Topic to read dead letters from.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ContractOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Contract of the applications (default: that of the deployed bundle)."),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(metavar="BUNDLE|FILE", help="Resemble the data of a bundle: its folder, or a profile.json."),
]
RateOption = Annotated[float, typer.Option("--rate", min=0.01, max=1_000_000, help="Applications per second.")]
ForOption = Annotated[
    float,
    typer.Option("--for", parser=parse_duration, metavar="DURATION", help="Duration, for example 60s, 2m or 500ms."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Random seed; the same seed generates the same applications.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="Generate the ids PREFIX-0, PREFIX-1, …; default: a unique prefix per run.")
]
InvalidOption = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of invalid applications.")]
TimeoutSOption = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=parse_duration,
        metavar="DURATION",
        help="Time to wait for the decision, for example 10s.",
    ),
]
