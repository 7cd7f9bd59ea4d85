"""The options of the `producer` command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from producer.errors import MisuseError
from schemas.durations import read_duration
from schemas.text import find_text_fault, is_utf8


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


def read_assignments(option: str, arguments: Sequence[str] | None, example: str) -> dict[str, str]:
    """Parses the NAME=VALUE arguments of an option.

    Raises:
        MisuseError: one has no `=`.
    """
    values = {}
    for assignment in arguments or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise MisuseError(f"{option}: a value has no `=`; write NAME=VALUE, for example {option} {example}")
        fault = find_text_fault(name) or ("" if is_utf8(value) else "is not UTF-8")
        if fault:
            raise MisuseError(f"{option}: a name or value {fault}")
        if name in values:
            raise MisuseError(f"{option} {name}: given twice; remove one of them")
        values[name] = value
    return values


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
LastOption = Annotated[
    int, typer.Option("--last", min=0, max=100_000, metavar="N", help="Show the newest N results first.")
]
IdOption = Annotated[
    str, typer.Option("--id", metavar="TEXT", help="Only applications whose id is this text, or begins with it.")
]
OnlyOption = Annotated[
    Literal["APPROVED", "MAYBE", "DECLINED", "REJECTED"] | None,
    typer.Option("--only", case_sensitive=False, help="Only these results; REJECTED are dead letters."),
]
TimeoutSOption = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=parse_duration,
        metavar="DURATION",
        help="Time to wait for the decision, for example 10s.",
    ),
]
