"""Access control of the console: checks the host name, origin and session of each request."""

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scorer.console.users import User

_COOKIE: Final = "console"
_TLS_COOKIE: Final = "__Host-console"
"""Browsers accept this name only from this host and over TLS: no sibling domain and no plain HTTP can set it."""
SESSION_S: Final = 12 * 3_600
_SESSIONS_MAX: Final = 1_000
_WRONG_TOKEN_S: Final = 0.5
_WRONG_TOKENS_WAITING_MAX: Final = 20
"""Ten seconds of delays: more would take up connections, and browsers give up."""
_LOGIN_PATH: Final = "/login"
RUNBOOKS_PREFIX: Final = "/runbooks/"
"""The runbooks are the same in every installation: who follows the link of an alert needs no token."""
_OPEN_PREFIXES: Final = ("/static/", RUNBOOKS_PREFIX)
_API_PREFIX: Final = "/api/"
METRICS_PATH: Final = "/metrics"
"""Prometheus has neither a session nor a host name that browsers may use; its page has figures alone."""

HEADERS: Final = {  # of every response, including the server's own responses to malformed requests
    # Only the package's own files: no inline scripts or styles, no other origins, no framing.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not send the origin of the console's own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class _Session(NamedTuple):
    """An open session: when it ends, by the monotonic clock, and its user; None with the console's token."""

    ends_at: float
    user: User | None


class Sessions:
    """The sessions of users who logged in: random ids in cookies, valid until the console stops."""

    def __init__(self, token: str | None, users: Mapping[str, User] | None = None) -> None:
        """Accepts these tokens.

        Args:
            token: the console's token; None if only users with tokens of their own may log in.
            users: these users, by token.
        """
        self._users: list[tuple[bytes, User | None]] = [] if token is None else [(_digest(token), None)]
        self._users += [(_digest(one), user) for one, user in (users or {}).items()]
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def open(self, token: str) -> str | None:
        """Opens a session and returns its id, or None for a wrong token; the comparisons take constant time."""
        digest = _digest(token)
        users = [user for known, user in self._users if hmac.compare_digest(digest, known)]
        if not users:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = _Session(time.monotonic() + SESSION_S, users[0])
        while len(self._sessions) > _SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def is_open(self, session: str) -> bool:
        """Whether a session is open; ids are too long to be guessed one character at a time."""
        return self._find(session) is not None

    def reviewer(self, session: str) -> str | None:
        """The name of an open session's user; None if it may not review, or is not open."""
        user = self._user(session)
        return user.name if user and user.may_review else None

    def operator(self, session: str) -> str | None:
        """The name of an open session's user; None if it may not requeue, or is not open."""
        user = self._user(session)
        return user.name if user and user.may_requeue else None

    def close(self, session: str) -> None:
        """Ends a session."""
        self._sessions.pop(session, None)

    def _user(self, session: str) -> User | None:
        entry = self._find(session)
        return entry.user if entry else None

    def _find(self, session: str) -> _Session | None:
        entry = self._sessions.get(session)
        return entry if entry and entry.ends_at > time.monotonic() else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class WrongTokens:
    """Delays the responses to wrong tokens, one at a time over all clients.

    The right token is never delayed, so wrong ones cannot lock out its owner. The token's length makes guessing
    infeasible; the delay limits the log lines and connections that guesses cost.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def pause(self) -> bool:
        """Delays one response; returns False without a delay if too many responses are delayed already."""
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

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str], sessions: Sessions | None) -> None:
        """Creates the middleware.

        Args:
            app: the application to protect.
            allowed_hosts: the allowed host names, in addition to IP addresses and localhost.
            sessions: the open sessions; None if no login is required.
        """
        self._app = app
        self._allowed_hosts = frozenset({"localhost", *(name.lower() for name in allowed_hosts)})
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rejects a request, or passes it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        response = self._rejection_of(scope) or self._app
        await response(scope, receive, send_guarded)

    def _rejection_of(self, scope: Scope) -> Response | None:
        """The response to a request that is rejected; None if it may pass."""
        headers = Headers(scope=scope)
        return self._check_origin(scope, headers) or self._check_session(scope, headers)

    def _check_origin(self, scope: Scope, headers: Headers) -> Response | None:
        """Rejects requests with a foreign host name, or sent by a page of another origin."""
        path = scope["path"]
        if path != METRICS_PATH and not self._is_allowed_host(headers.get("host", "")):
            return _rejection(path, 400, "unknown host name: add it to console_allowed_hosts to allow it")
        if scope["method"] not in {"GET", "HEAD"} and not _is_same_origin(headers):
            return _rejection(
                path, 403, "cross-origin request rejected: only the console's own pages may change anything"
            )
        if path.startswith(_API_PREFIX) and headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _rejection(path, 403, "cross-origin request rejected: only the console's own pages may read the API")
        return None

    def _check_session(self, scope: Scope, headers: Headers) -> Response | None:
        """Rejects requests without a session, if a login is required."""
        path = scope["path"]
        if self._sessions is None or path in {_LOGIN_PATH, METRICS_PATH} or path.startswith(_OPEN_PREFIXES):
            return None
        if self._sessions.is_open(session_of(headers)):
            return None
        if path.startswith(_API_PREFIX) or scope["method"] not in {"GET", "HEAD"}:
            return _rejection(path, 401, "log in first: there is no session, or it has expired")
        return RedirectResponse(_LOGIN_PATH, 303)

    def _is_allowed_host(self, host: str) -> bool:
        """Whether a Host header is an IP address or an allowed name, as protection against DNS rebinding."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            _ = urlsplit(f"//{host}").port
        except ValueError:
            return False
        return name in self._allowed_hosts or _is_address(name)


def session_of(headers: Headers) -> str:
    """The session's id from the request's cookies; empty without one."""
    pairs = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
    values = {name: value for name, _, value in reversed(pairs)}
    return values.get(_TLS_COOKIE) or values.get(_COOKIE, "")


def set_session(response: Response, session: str, *, over_tls: bool) -> None:
    """Sets the session cookie, which scripts cannot read and other sites cannot send."""
    response.set_cookie(
        _TLS_COOKIE if over_tls else _COOKIE,
        session,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=over_tls,
    )


def delete_session(response: Response) -> None:
    """Deletes the session cookie."""
    response.delete_cookie(_COOKIE, httponly=True, samesite="strict")
    response.delete_cookie(_TLS_COOKIE, httponly=True, samesite="strict", secure=True)


def _is_same_origin(headers: Headers) -> bool:
    """Whether the request comes from a page of the console; browsers send an Origin with all but GET and HEAD."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:  # an unbalanced bracket
        return False
    return origin.scheme in {"http", "https"} and origin.netloc == headers.get("host")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _rejection(path: str, status: int, why: str) -> Response:
    if path.startswith(_API_PREFIX):
        return JSONResponse({"error": why}, status)
    return PlainTextResponse(f"{why}\n", status)
