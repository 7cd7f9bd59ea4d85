"""Options shared by several commands, and the settings that result from them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import scorer.store
from schemas.printable import has_controls, printable
from schemas.text import is_utf8
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.rows import Hints
    from schemas.settings import LoadedSettings
    from scorer.settings import Settings

DEFAULT_BUNDLE = scorer.store.DEFAULT_BUNDLE

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file; default: scorer.toml in the current folder, if it exists."
    ),
]
ServersOption = Annotated[
    str | None, typer.Option("--bootstrap-servers", "-b", metavar="HOST:PORT", help="Kafka brokers, comma-separated.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="NAME=VALUE", help="Override a setting, or kafka.PROPERTY=VALUE; may be repeated."
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="STORE", help="Bundle store: a folder or URL; default: the setting store."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def require_text(value: str | None) -> str | None:
    """Validates the text of an option that becomes part of a record or a file.

    Raises:
        BadParameter: it is not UTF-8, or has a control character, which a terminal that shows it would obey.
    """
    if value is not None and not is_utf8(value):
        raise typer.BadParameter("is not UTF-8")
    if value is not None and has_controls(value):
        raise typer.BadParameter("contains a control character or a line break: write it as one line of plain text")
    return value


def require_actor(value: str | None) -> str | None:
    """Validates an operator's name, which must also fit into a deployment event."""
    from schemas.deployment import ACTOR_CHARACTERS_MAX

    return _require_length(require_text(value), ACTOR_CHARACTERS_MAX)


def require_reason(value: str | None) -> str | None:
    """Validates a reason, which must also fit into a deployment event."""
    from schemas.deployment import REASON_CHARACTERS_MAX

    return _require_length(require_text(value), REASON_CHARACTERS_MAX)


def _require_length(value: str | None, characters_max: int) -> str | None:
    if value is not None and len(value) > characters_max:
        raise typer.BadParameter(f"has {len(value):,} characters; at most {characters_max:,} are allowed")
    return value


def require_texts(values: list[str] | None) -> list[str] | None:
    """Validates the texts of an option that may be repeated."""
    for value in values or ():
        require_text(value)
    return values


def settings_of(
    config: Path | None, bootstrap_servers: str | None, assignments: Iterable[str] | None, **flags: object
) -> "LoadedSettings[Settings]":
    """The effective settings with these options. Reports environment variables that were ignored.

    Raises:
        MisuseError: an assignment has no `=`.
        SettingsError: a setting is invalid.
    """
    from scorer.logs import SERVICE_LINKS_IGNORED, current_format, log

    loaded = read_settings(config, bootstrap_servers, assignments, **flags)
    if loaded.service_links and current_format():
        log(SERVICE_LINKS_IGNORED, variables=loaded.service_links)
    elif loaded.service_links:
        typer.echo(
            f"scorer: ignored {', '.join(loaded.service_links)}: Kubernetes sets them for a Service, and they are not "
            "settings. Set `enableServiceLinks: false` in the pod to omit them",
            err=True,
        )
    return loaded


def read_settings(
    config: Path | None, bootstrap_servers: str | None, assignments: Iterable[str] | None, **flags: object
) -> "LoadedSettings[Settings]":
    """The effective settings with these options.

    Raises:
        MisuseError: an assignment has no `=`.
        SettingsError: a setting is invalid.
    """
    from scorer.settings import load_settings

    flag_values: dict[str, object] = {"bootstrap_servers": bootstrap_servers, **flags}
    kafka: dict[str, str] = {}
    for assignment in assignments or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise MisuseError("--set: a value has no `=`; write NAME=VALUE, for example --set batch_records_max=1000")
        if name.startswith("kafka."):
            kafka[name.removeprefix("kafka.")] = value
        else:
            flag_values[name] = value
    return load_settings({**flag_values, "kafka": kafka}, file=config)


def broker_settings_of(
    config: Path | None, bootstrap_servers: str | None, assignments: Iterable[str] | None, **flags: object
) -> "Settings":
    """The effective settings for an interactive command, which fails at once if no broker is listening.

    Raises:
        MisuseError, SettingsError: as `settings_of`.
        BrokerError: every bootstrap address refuses connections or cannot be resolved.
    """
    from scorer.operate.listening import require_listening

    settings = settings_of(config, bootstrap_servers, assignments, **flags).settings
    require_listening(settings)
    return settings


def parse_time(option: str, text: str | None) -> datetime | None:
    """Parses the time given to an option; without a time zone it is UTC.

    Raises:
        MisuseError: it is not a time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MisuseError(f"{option} {text}: invalid time; write 2026-11-01 or 2026-11-01T09:30:00+01:00") from None


def default_actor() -> str:
    """The operator, as user@hostname; in a container the user may have only a numeric id."""
    import getpass
    import os
    import socket

    from schemas.deployment import ACTOR_CHARACTERS_MAX

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return printable(f"{user}@{socket.gethostname()}", ACTOR_CHARACTERS_MAX)


def show_hints(hints: "Hints") -> None:
    """Prints to standard error which parts of a file are ignored, and how to fix its invalid rows."""
    for hint in hints.texts():
        typer.echo(hint, err=True)
