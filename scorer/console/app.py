"""The web application: pages, what they ask for, and the stream that keeps them up to date."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from schemas.records import Place
from schemas.rejection import MEANINGS
from scorer.console.guard import Guard, Sessions, WrongTokens, delete_session, session_of, set_session
from scorer.console.letters import newest_letters, reveal
from scorer.console.live import SERIES_POINTS_MAX, Live, Part
from scorer.console.look import keep_looking
from scorer.console.pages import PAGES, Assets, Page, render_login, render_page
from scorer.console.publish import TryPublisher, read_try
from scorer.console.streams import Streams
from scorer.console.tail import Sample, follow_outcomes
from scorer.console.waits import keep_measuring
from scorer.console.watch import keep_watching
from scorer.errors import DeadLetterError, MisuseError, ScorerError
from scorer.http.throttle import Throttle
from scorer.logs import DEAD_LETTER_SHOWN, TOKEN_REFUSED, log
from scorer.settings import Settings
from scorer.stream.line import Line

_TICK_S: Final = 1.0
_LOGIN_BYTES_MAX: Final = 4_096
_LOGIN_FIELDS_MAX: Final = 4
_WRONG_TOKEN_LOG_S: Final = 1.0
_RETRY_AFTER_S: Final = 10
_place_number = re.compile("[0-9]{1,18}").fullmatch  # a partition or an offset, within 64 bits


@dataclass(frozen=True, slots=True)
class Console:
    """What the answers are made of.

    Attributes:
        settings: the topics.
        sessions: who has shown the token; None where none is needed.
        stopping: whether the server is about to end, and the streams with it.
    """

    settings: Settings
    sessions: Sessions | None
    stopping: Callable[[], bool]


def make_app(console: Console) -> Starlette:
    """The application; its threads run from its start to its end.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    answers = _Answers(console)
    names = [name.strip() for name in console.settings.console_names.split(",") if name.strip()]
    app = Starlette(
        routes=[
            *(Route(page.path, answers.page(page)) for page in PAGES),
            Route("/asyncapi.yaml", answers.document),
            Route("/static/{name}", answers.static),
            Route("/login", answers.login, methods=["GET", "POST"]),
            Route("/logout", answers.logout, methods=["POST"]),
            Route("/api/live", answers.live),
            Route("/api/applications", answers.publish, methods=["POST"]),
            Route("/api/deployments", answers.deployments),
            Route("/api/dead-letters", answers.dead_letters),
            Route("/api/dead-letters/{partition}/{offset}/value", answers.value, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, names=names, sessions=console.sessions)],
        exception_handlers={ScorerError: _failed, HTTPException: _http_failed, Exception: _crashed},
        lifespan=answers.running,
    )
    app.router.redirect_slashes = False  # a redirect would name the scheme that a proxy spoke to the console
    return app


class _Answers:
    """One method for each thing that can be asked for."""

    def __init__(self, console: Console) -> None:
        self._settings = console.settings
        self._sessions = console.sessions
        self._stopping = console.stopping
        self._live = Live()
        self._streams = Streams()
        self._wrong_tokens = WrongTokens()
        self._wrong_token_lines = Throttle(_WRONG_TOKEN_LOG_S)
        self._assets = Assets()
        self._publisher = TryPublisher(console.settings)
        self._reading = asyncio.Lock()  # one list of dead letters at a time: each reads thousands of records
        self._body_bytes_max = 2 * console.settings.record_bytes_max  # one that is too large can be tried as well

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Runs what watches, from the server's start to its end."""
        loop, stop, sample = asyncio.get_running_loop(), Event(), Sample()
        self._live.on_outcome(lambda outcome: loop.call_soon_threadsafe(self._streams.tell, "outcome", outcome))
        settings, live = self._settings, self._live
        watches = {
            Part.OUTCOMES: lambda: follow_outcomes(settings, live, sample, stop),
            Part.STANDING: lambda: keep_looking(settings, live, stop),
            Part.WAITS: lambda: keep_measuring(settings, live, sample, stop),
        }
        threads = [
            Thread(target=keep_watching, args=(part, watch, settings, live, stop), name=part, daemon=True)
            for part, watch in watches.items()
        ]
        for thread in threads:
            thread.start()
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            stop.set()
            await asyncio.gather(*(asyncio.to_thread(thread.join, 2.0) for thread in threads))

    async def _tick(self) -> None:
        while True:
            self._streams.tell("tick", {"point": self._live.tick(time.time()), **self._live.state()})
            await asyncio.sleep(_TICK_S)

    # Pages

    def page(self, page: Page) -> Callable[[Request], Response]:
        """What answers with a page."""

        def answer(_: Request) -> Response:
            return _html(render_page(page, self._settings, may_log_out=self._sessions is not None))

        return answer

    async def static(self, request: Request) -> Response:
        """A file of the pages'."""
        found = self._assets.find(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    async def document(self, _: Request) -> Response:
        """The AsyncAPI document as it is generated."""
        return Response(self._assets.document, media_type="application/yaml")

    async def login(self, request: Request) -> Response:
        """Asks for the token, and opens a session for it."""
        if self._sessions is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return _html(render_login(""))
        body = (await _body(request, _LOGIN_BYTES_MAX)).decode("latin-1")
        try:
            form = parse_qs(body, max_num_fields=_LOGIN_FIELDS_MAX)
        except ValueError:
            raise HTTPException(400, f"more than {_LOGIN_FIELDS_MAX} fields; the login has one") from None
        session = self._sessions.open("".join(form.get("token", [])).strip())
        if session is None:
            suppressed = self._wrong_token_lines.due()
            if suppressed is not None:
                log(TOKEN_REFUSED, client=_client(request), suppressed=suppressed)
            if await self._wrong_tokens.pause():
                return _html(render_login("That is not the token."), 403)
            answer = _html(render_login("That is not the token. There were many wrong ones: wait a moment."), 429)
            answer.headers["Retry-After"] = str(_RETRY_AFTER_S)
            return answer
        opened = RedirectResponse("/", 303)
        set_session(opened, session, over_tls=request.headers.get("origin", "").startswith("https://"))
        return opened

    async def logout(self, request: Request) -> Response:
        """Ends the session."""
        if self._sessions is not None:
            self._sessions.close(session_of(request.headers))
        answer = RedirectResponse("/login", 303)
        delete_session(answer)
        return answer

    # What pages ask for

    async def live(self, request: Request) -> Response:
        """The stream: first the whole picture, then each second, and the outcome of each try as it comes."""
        whole = {
            "series": self._live.series(),
            "points_max": SERIES_POINTS_MAX,
            "outcomes": self._live.outcomes(),
            **self._live.state(),
        }
        session = session_of(request.headers)

        def ended() -> bool:
            return self._stopping() or (self._sessions is not None and not self._sessions.knows(session))

        events = self._streams.events(session or _client(request), whole, ended)
        return StreamingResponse(events, media_type="text/event-stream")

    async def publish(self, request: Request) -> Response:
        """Publishes a try; its outcome comes by the stream."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"error": "send the application as application/json"}, 415)
        application = read_try(await _body(request, self._body_bytes_max))
        if not self._live.following:
            why = self._live.state()["trouble"] or "the decisions' topic is being opened: try again in a moment"
            return JSONResponse({"error": f"nothing was published, for no outcome would be seen: {why}"}, 503)
        name = application["application_id"]
        self._live.expect(name)
        source = await run_in_threadpool(self._publisher.publish, application)
        return JSONResponse({"id": name, "source": source}, 202)

    async def deployments(self, _: Request) -> Response:
        """The history, newest first."""
        standing = self._live.standing
        if standing is None:
            return JSONResponse({"error": self._live.state()["trouble"] or "the history is being read"}, 503)
        return JSONResponse([_line(line) for line in reversed(standing.deployments)])

    async def dead_letters(self, _: Request) -> Response:
        """The newest dead letters, without what they hold, and how many there are of each code."""
        async with self._reading:
            found = await run_in_threadpool(newest_letters, self._settings)
        return JSONResponse({**found, "meanings": {code.value: meaning for code, meaning in MEANINGS.items()}})

    async def value(self, request: Request) -> Response:
        """What one dead letter holds. That somebody looked is logged, and not what was seen."""
        numbers = [request.path_params[name] for name in ("partition", "offset")]
        if not all(_place_number(number) for number in numbers):
            raise HTTPException(404)
        place = Place(*map(int, numbers))
        found = await run_in_threadpool(reveal, self._settings, place)
        log(DEAD_LETTER_SHOWN, client=_client(request), partition=place.partition, offset=place.offset)
        return JSONResponse(found)


def _client(request: Request) -> str:
    """The address that asks."""
    return request.client.host if request.client else ""


async def _body(request: Request, bytes_max: int) -> bytes:
    """The request's body, read no further than it may be long."""
    if int(request.headers.get("content-length", "0")) > bytes_max:  # h11 has checked that it is a number
        raise _too_long(bytes_max)
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > bytes_max:
            raise _too_long(bytes_max)
    return bytes(taken)


def _too_long(bytes_max: int) -> HTTPException:
    return HTTPException(413, f"at most {bytes_max:,} bytes are read here")


def _line(line: Line) -> dict[str, Any]:
    if line.event is None:
        return {"offset": line.offset, "fault": line.fault}
    return {"offset": line.offset, **line.event.model_dump(mode="json")}


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/html; charset=utf-8")


def _failed(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, ScorerError)
    status = 400 if isinstance(fault, MisuseError) else 404 if isinstance(fault, DeadLetterError) else 503
    return JSONResponse({"error": str(fault)}, status)


def _http_failed(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": fault.detail}, fault.status_code, headers=fault.headers)
    return PlainTextResponse(f"{fault.detail}\n", fault.status_code, headers=fault.headers)


def _crashed(request: Request, _: Exception) -> Response:
    """The response to an unexpected exception; the server logs where it was raised."""
    answer = _http_failed(request, HTTPException(500, "internal error; the console's log says where"))
    answer.headers["Cache-Control"] = "no-store"  # this response does not pass the guard
    return answer
