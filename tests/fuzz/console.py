"""Requests to the console, in its own process and without a broker: as uvicorn would hand them over."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple
from unittest import mock
from urllib.parse import unquote

from hypothesis import strategies as st
from starlette.types import Message

from scorer.console import dead_letter_endpoints, guard
from scorer.console.app import Console, make_app
from scorer.console.guard import Sessions
from scorer.errors import DeadLetterError
from scorer.settings import Settings
from tests.fuzz.inputs import mutated, text

_TOKEN: Final = "0123456789abcdef" * 2
_COOKIE: Final = b"the session's cookie"
"""Stands for the cookie of a session that is open."""


class Request(NamedTuple):
    """A request after it was parsed."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes]


_visible: Final = st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127))
_values: Final = st.one_of(
    _visible,
    st.sampled_from([
        b"localhost", b"localhost:8765", b"evil.example", b"[::1", b"http://localhost", b"http://[bad", b"null",
        b"application/json", b"application/x-www-form-urlencoded", b"cross-site", b"same-origin", b"0", b"5",
        b"9" * 20, b"bytes=0-", b"*", b'"x"', b"console=a", b"; =;", _COOKIE, b"[v1.x]", b"localhost:99999",
    ]),
)  # fmt: skip
_names: Final = st.sampled_from([
    b"host", b"origin", b"cookie", b"content-type", b"sec-fetch-site", b"if-none-match", b"accept", b"x-forwarded-for",
    b"referer", b"last-event-id",
])  # fmt: skip
_paths: Final = st.one_of(
    st.sampled_from([
        b"/", b"/login", b"/logout", b"/asyncapi.yaml", b"/static/app.js", b"/static/..%2f..%2fapp.py", b"/static/%00",
        b"/api/live", b"/api/applications", b"/api/deployments", b"/api/dead-letters", b"/api/dead-letters/0/1/value",
        b"/api/dead-letters/requeue",
        b"/api/applications/history", b"/api/applications/0/1/value", b"/api/reviews", b"/metrics",
        b"/api/reasons", b"/api/policy", b"/api/code", b"/api/bundles", b"/api/bundles/diff", b"/api/challenger",
        b"/api/dead-letters/" + b"9" * 5_000 + b"/1/value", b"/api/dead-letters/-1/x/value", b"//evil.example", b"*",
    ]),
    mutated([b"/api/dead-letters/0/1/value", b"/static/app.js", b"/login"]).filter(lambda path: path.startswith(b"/")),
)  # fmt: skip
_BODIES: Final = [b"", b"token=" + _TOKEN.encode(), b"token=a&b=c&d=e&f=g&h=i", b'{"amount": 5}', b"[1]"]
_ordinary: Final = st.fixed_dictionaries({
    b"host": st.sampled_from([b"localhost", b"localhost:8765"]),
    b"origin": st.just(b"http://localhost:8765"),
    b"cookie": st.just(_COOKIE),
    b"content-type": st.sampled_from([b"application/json", b"application/x-www-form-urlencoded"]),
}).map(lambda headers: list(headers.items()))  # fmt: skip
REQUESTS: Final[st.SearchStrategy[Request]] = st.builds(
    Request,
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PROPFIND"]),
    path=_paths,
    query=st.one_of(st.just(b""), text.map(lambda it: it.encode("utf-8", "ignore"))),
    headers=st.builds(
        lambda ordinary, odd: [*odd, *ordinary],  # of two with one name, the first counts
        st.one_of(_ordinary, st.just([])),
        st.lists(st.tuples(_names, _values), max_size=4),
    ),
    chunks=st.lists(st.one_of(st.sampled_from(_BODIES), mutated(_BODIES)), max_size=3),
)


@cache
def _console() -> tuple[Any, bytes]:
    """The application, and the cookie of a session that is open."""
    sessions = Sessions(_TOKEN)
    session = sessions.open(_TOKEN)
    app = make_app(Console(Settings(), sessions, stopping=lambda: True))
    return app, f"console={session}".encode()


def ask(request: Request) -> None:
    """Asks the console; every response is whole, of a status that is meant, and safe to cache by nobody."""
    app, cookie = _console()
    headers = [(name, cookie if value == _COOKIE else value) for name, value in request.headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path.decode("latin-1")),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": "",
        "headers": [*headers, (b"content-length", str(sum(map(len, request.chunks))).encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8765),
        "state": {},
    }
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in request.chunks]
    messages += [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: Message) -> None:
        sent.append(message)

    async def converse() -> None:
        with _without_broker():
            await app(scope, receive, send)

    asyncio.run(converse())
    (start,) = (message for message in sent if message["type"] == "http.response.start")
    assert start["status"] in {200, 202, 303, 304, 400, 401, 403, 404, 405, 413, 415, 429, 503}
    answered = {name.lower(): value for name, value in start["headers"]}
    assert b"cache-control" in answered
    assert not any(byte in value for value in answered.values() for byte in (b"\r", b"\n", b"\0"))


@contextmanager
def _without_broker() -> Iterator[None]:
    """No pause after a wrong token, and no dead letters to read."""
    missing = mock.Mock(side_effect=DeadLetterError("there is none"))
    with (
        mock.patch.multiple(dead_letter_endpoints, newest_letters=missing, read_letter=missing, read_value=missing),
        mock.patch.object(guard, "_WRONG_TOKEN_S", 0),
    ):
        yield
