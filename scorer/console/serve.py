"""Serving the console: where it may be bound, what opens it, and its life from start to stop."""

import ipaddress
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from scorer.console.app import Console, make_app
from scorer.console.guard import Sessions
from scorer.errors import MisuseError
from scorer.settings import Settings

_TOKEN_CHARACTERS_MIN: Final = 16
_GRACE_S: Final = 3


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serves the console until SIGTERM or SIGINT.

    Args:
        settings: where to, what opens it, and the topics.
        say: told the address once it can be asked.

    Raises:
        MisuseError: the address cannot be bound, or others could come there and there is no token.
        SettingsError: a librdkafka property is wrong.
    """
    token = _read_token(settings)
    if token is None and not _is_loopback(settings.console_host):
        raise MisuseError(
            f"console_host {settings.console_host} can be reached from other machines, so the console needs a token: "
            "write one of 16 characters or more into a file and name the file in console_token_file"
        )
    with _bind(settings.console_host, settings.console_port) as bound:
        sessions = None if token is None else Sessions(token)
        console = Console(settings, sessions, stopping=lambda: server.should_exit)
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(console),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        # uvicorn raises the signal that ended it once more; being asked to stop is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        say(f"console http://{_spelt(settings.console_host)}:{bound.getsockname()[1]}/")
        server.run(sockets=[bound])


def _read_token(settings: Settings) -> str | None:
    if settings.console_token_file is None:
        return None
    try:
        token = Path(settings.console_token_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MisuseError(f"console_token_file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MisuseError("console_token_file cannot be read: it is not UTF-8") from None
    if len(token) < _TOKEN_CHARACTERS_MIN:
        raise MisuseError(
            f"console_token_file holds a token of {len(token)} characters, and {_TOKEN_CHARACTERS_MIN} are the least: "
            "`openssl rand -hex 16` makes one"
        )
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise MisuseError(f"console_host {host} is no address here: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # whoever comes from now on is answered, if a moment later
    except OSError as error:
        bound.close()
        raise MisuseError(
            f"{host}:{port} cannot be used for the console: {error.strerror}; set console_port to a free port, or to 0 "
            "to take any"
        ) from error
    return bound


def _spelt(host: str) -> str:
    return f"[{host}]" if ":" in host else host
