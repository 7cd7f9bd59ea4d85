"""Starts the console: checks its address, then serves until SIGTERM or SIGINT."""

import ipaddress
import signal
from collections.abc import Callable
from typing import Final

from scorer.console.app import Console, make_app
from scorer.console.guard import HEADERS, Sessions
from scorer.console.token import read_token
from scorer.console.users import read_users
from scorer.errors import MisuseError
from scorer.http.address import Endpoint, bracketed, listen, unbracketed
from scorer.http.server import Server
from scorer.operate.latest import LatestFigures
from scorer.operate.review_queue import ReviewQueue
from scorer.settings import Settings

_SHUTDOWN_S: Final = 3


def serve(
    settings: Settings,
    say: Callable[[str], None],
    queue: ReviewQueue | None,
    metrics: Callable[[str], tuple[str, bytes]],
    latest: LatestFigures,
) -> None:
    """Serves the console until SIGTERM or SIGINT.

    Args:
        settings: the address, the tokens and the topics.
        say: called with the URL once the console accepts connections.
        queue: the decisions that wait for a review, empty; None if reviews are off.
        metrics: content type and body of /metrics, for the Accept header of a request.
        latest: receives the figures of the consumer group and of the cluster.

    Raises:
        MisuseError: the address cannot be bound, or is not loopback and no token is set; or a file of tokens cannot be
            used.
        SettingsError: a librdkafka property is wrong.
    """
    token = None if settings.console_token_file is None else read_token(settings.console_token_file)
    users = read_users(settings, token)
    if token is None and not users and not _is_loopback(settings.console_host):
        raise MisuseError(
            f"console_host {settings.console_host} can be reached from other machines, so the console needs a token: "
            "write a token of at least 16 characters to a file, and set console_token_file to its path"
        )
    sessions = Sessions(token, users) if token is not None or users else None
    console = Console(settings, sessions, lambda: server.should_exit, queue, metrics, latest)
    app = make_app(console)
    listeners = listen(
        Endpoint(settings.console_host, settings.console_port, "the console", "console_host", "console_port")
    )
    server = Server(app, listeners, shutdown_s=_SHUTDOWN_S, headers=list(HEADERS.items()), has_lifespan=True)
    # uvicorn raises the signal that stopped it again; a requested stop is not a failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    port = listeners[0].getsockname()[1]
    say(f"console http://{bracketed(settings.console_host)}:{port}/")
    server.run()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(unbracketed(host)).is_loopback
    except ValueError:
        return False
