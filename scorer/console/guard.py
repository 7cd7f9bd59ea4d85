"""Access control of the console: the host name of a request, the page it comes from, and the session."""

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_COOKIE: Final = "console"
_TLS_COOKIE: Final = "__Host-console"
"""Browsers accept this name only from this host and over TLS: no sibling domain and no plain HTTP can set it."""
SESSION_S: Final = 12 * 3_600
_SESSIONS_MAX: Final = 1_000
_WRONG_TOKEN_S: Final = 0.5
_WRONG_TOKENS_WAITING_MAX: Final = 20
"""Ten seconds of delays: more would take up connections, and browsers give up."""
_LOGIN_PATH: Final = "/login"
_OPEN_PREFIX: Final = "/static/"
_API_PREFIX: Final = "/api/"

HEADERS: Final = {  # of every answer, those included that the server itself gives to malformed requests
    # Nothing but what the package serves: no inline script or style, no other address, no frame around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, browsers leave out where our own forms come from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Sessions:
    """Who has shown the token: random names that a cookie holds, gone when the console ends."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._sessions: OrderedDict[str, float] = OrderedDict()

    def open(self, token: str) -> str | None:
        """A new session's name if this is the token; else None. It takes equally long for every wrong one."""
        if not hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._digest):
            return None
        name = secrets.token_urlsafe(32)
        self._sessions[name] = time.monotonic() + SESSION_S
        while len(self._sessions) > _SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return name

    def knows(self, name: str) -> bool:
        """Whether a session is open; the names are too long to be guessed one character at a time."""
        return self._sessions.get(name, 0.0) > time.monotonic()

    def close(self, name: str) -> None:
        """Ends a session."""
        self._sessions.pop(name, None)


class WrongTokens:
    """Delays the answers to wrong tokens: one at a time, from all clients together.

    The right token is never delayed, so wrong ones cannot lock its owner out. The token's length makes guessing
    hopeless; the delay limits what guesses cost in log lines and connections.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def pause(self) -> bool:
        """Delays one answer; returns False without a delay if too many answers are delayed already."""
        if self._waiting >= _WRONG_TOKENS_WAITING_MAX:
            return False
        self._waiting += 1
        try:
            async with self._lock:
                await asyncio.sleep(_WRONG_TOKEN_S)
        finally:
            self._waiting -= 1
        return True


class Guard:
    """ASGI middleware that rejects requests without the right host name, origin or session."""

    def __init__(self, app: ASGIApp, names: Collection[str], sessions: Sessions | None) -> None:
        """Prepares.

        Args:
            app: what is guarded.
            names: the host names, besides IP addresses and localhost, under which it may be asked for.
            sessions: who may see anything; None lets everybody who gets here.
        """
        self._app = app
        self._names = frozenset({"localhost", *(name.lower() for name in names)})
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not pass; None if it may."""
        headers = Headers(scope=scope)
        return self._misled(scope, headers) or self._unknown(scope, headers)

    def _misled(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuses what another page led the browser to."""
        path = scope["path"]
        if not self._is_ours(headers.get("host", "")):
            return _refuse(path, 400, "this console is not known under that name: console_names lists its names")
        if scope["method"] not in {"GET", "HEAD"} and not _is_same_origin(headers):
            return _refuse(path, 403, "this came from another page than the console's own, and changes nothing")
        if path.startswith(_API_PREFIX) and headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _refuse(path, 403, "this came from another page than the console's own, and tells it nothing")
        return None

    def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuses who has not shown the token, where one is needed."""
        path = scope["path"]
        if self._sessions is None or path == _LOGIN_PATH or path.startswith(_OPEN_PREFIX):
            return None
        if self._sessions.knows(session_of(headers)):
            return None
        if path.startswith(_API_PREFIX) or scope["method"] not in {"GET", "HEAD"}:
            return _refuse(path, 401, "log in first: the session has ended, or there was none")
        return RedirectResponse(_LOGIN_PATH, 303)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names an IP address or a name of ours: no foreign name can lead a browser here then."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            _ = urlsplit(f"//{host}").port
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def session_of(headers: Headers) -> str:
    """The session's name from the request's cookies; empty without one."""
    pairs = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
    values = {name: value for name, _, value in reversed(pairs)}
    return values.get(_TLS_COOKIE) or values.get(_COOKIE, "")


def set_session(answer: Response, session: str, *, over_tls: bool) -> None:
    """Sets a session's cookie, which no script can read and no other site can send."""
    answer.set_cookie(
        _TLS_COOKIE if over_tls else _COOKIE,
        session,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=over_tls,
    )


def delete_session(answer: Response) -> None:
    """Deletes a session's cookie."""
    answer.delete_cookie(_COOKIE, httponly=True, samesite="strict")
    answer.delete_cookie(_TLS_COOKIE, httponly=True, samesite="strict", secure=True)


def _is_same_origin(headers: Headers) -> bool:
    """Whether the page that sends this is one of ours; every browser says so of what is not merely read."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:  # a bracket without its counterpart
        return False
    return origin.scheme in {"http", "https"} and origin.netloc == headers.get("host")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse(path: str, status: int, why: str) -> Response:
    if path.startswith(_API_PREFIX):
        return JSONResponse({"error": why}, status)
    return PlainTextResponse(f"{why}\n", status)
