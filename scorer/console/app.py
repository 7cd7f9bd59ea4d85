"""The console's web application: its pages, their API, and the event stream that keeps them up to date."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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

from scorer.console.application_endpoints import ApplicationEndpoints
from scorer.console.bundle_endpoints import BundleEndpoints
from scorer.console.bundle_texts import BundleTexts
from scorer.console.challenger_endpoints import ChallengerEndpoints
from scorer.console.cluster_polling import poll_cluster
from scorer.console.dead_letter_endpoints import DeadLetterEndpoints
from scorer.console.deployed import not_deployed
from scorer.console.examples import publishing_code
from scorer.console.guard import (
    METRICS_PATH,
    RUNBOOKS_PREFIX,
    Guard,
    Sessions,
    WrongTokens,
    delete_session,
    session_of,
    set_session,
)
from scorer.console.interface import render_document
from scorer.console.latency import measure_latency
from scorer.console.live import SERIES_POINTS_MAX, Live, Part
from scorer.console.pages import PAGES, Assets, Page, render, render_page
from scorer.console.polling import poll_group
from scorer.console.publish import RecordPublisher, make_try, parse_application
from scorer.console.requests import client_of, read_body
from scorer.console.requeue_task import RequeueTask
from scorer.console.review_endpoints import ReviewEndpoints
from scorer.console.review_follower import follow_reviews
from scorer.console.runbooks import Runbooks
from scorer.console.streams import Streams
from scorer.console.tail import Sample, follow_results
from scorer.console.watch import run_with_restarts
from scorer.errors import BundleNotFoundError, DeadLetterError, ExplanationError, MisuseError, ScorerError
from scorer.http.throttle import Throttle
from scorer.logs import WRONG_TOKEN, log
from scorer.operate.latest import LatestFigures
from scorer.operate.review_queue import ReviewQueue
from scorer.settings import Settings
from scorer.stream.history_record import Line

_TICK_S: Final = 1.0
_LOGIN_BYTES_MAX: Final = 4_096
_LOGIN_FIELDS_MAX: Final = 4
_WRONG_TOKEN_LOG_S: Final = 1.0
_RETRY_AFTER_S: Final = 10


@dataclass(frozen=True, slots=True)
class Console:
    """The configuration of the web application.

    Attributes:
        settings: the topics.
        sessions: the open sessions; None if no token is required.
        stopping: whether the server is shutting down, which ends the streams.
        queue: the decisions that wait for a review; None if reviews are off.
        metrics: content type and body of /metrics, for the Accept header of a request; None serves none.
        latest: receives the figures of the consumer group and of the cluster.
    """

    settings: Settings
    sessions: Sessions | None
    stopping: Callable[[], bool]
    queue: ReviewQueue | None = None
    metrics: Callable[[str], tuple[str, bytes]] | None = None
    latest: LatestFigures = field(default_factory=LatestFigures)


def make_app(console: Console) -> Starlette:
    """Builds the web application; its threads run from startup to shutdown.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    texts = BundleTexts(console.settings.store)
    applications = ApplicationEndpoints(console.settings, console.sessions, console.queue, texts)
    reviews = ReviewEndpoints(console.settings, console.sessions, console.queue, texts)
    live, runbooks, requeue_task = Live(), Runbooks(), RequeueTask(console.settings, console.stopping)
    endpoints = _Endpoints(console, reviews, requeue_task, live)
    letters = DeadLetterEndpoints(console.settings, console.sessions, requeue_task)
    challengers = ChallengerEndpoints(console.settings, live)
    bundles = BundleEndpoints(console.settings, live, may_log_out=console.sessions is not None)
    allowed_hosts = [name.strip() for name in console.settings.console_allowed_hosts.split(",") if name.strip()]
    app = Starlette(
        routes=[
            *(Route(page.path, endpoints.page(page)) for page in PAGES),
            Route("/bundles/show", bundles.show),
            Route("/asyncapi.yaml", endpoints.document),
            Route("/static/{name}", endpoints.static),
            Route(RUNBOOKS_PREFIX, runbooks.index),
            Route(RUNBOOKS_PREFIX + "{name}", runbooks.page),
            Route("/login", endpoints.login, methods=["GET", "POST"]),
            Route("/logout", endpoints.logout, methods=["POST"]),
            Route("/api/live", endpoints.live),
            Route("/api/applications", endpoints.publish, methods=["POST"]),
            Route("/api/code", endpoints.code, methods=["POST"]),
            Route("/api/reasons", applications.reasons),
            Route("/api/policy", applications.policy),
            Route("/api/deployments", endpoints.deployments),
            Route("/api/challenger", challengers.challenger),
            Route("/api/challenger/comparison", challengers.comparison),
            Route("/api/bundles", bundles.newest),
            Route("/api/bundles/diff", bundles.diff),
            Route("/api/bundles/review", bundles.review),
            Route("/api/dead-letters", letters.newest),
            Route("/api/dead-letters/requeue", letters.requeue, methods=["POST"]),
            Route("/api/dead-letters/{partition}/{offset}", letters.letter),
            Route("/api/dead-letters/{partition}/{offset}/value", letters.value, methods=["POST"]),
            Route("/api/applications/history", applications.history, methods=["POST"]),
            Route("/api/applications/{partition}/{offset}/value", applications.value, methods=["POST"]),
            Route("/api/reviews", reviews.waiting),
            Route("/api/reviews", reviews.review, methods=["POST"]),
            Route(METRICS_PATH, endpoints.metrics),
        ],
        middleware=[Middleware(Guard, allowed_hosts=allowed_hosts, sessions=console.sessions)],
        exception_handlers={ScorerError: _failed, HTTPException: _http_failed, Exception: _crashed},
        lifespan=endpoints.running,
    )
    app.router.redirect_slashes = False  # a redirect would name the scheme that a proxy spoke to the console
    return app


class _Endpoints:
    """The endpoints, one method each."""

    def __init__(self, console: Console, reviews: ReviewEndpoints, requeue_task: RequeueTask, live: Live) -> None:
        self._console = console
        self._reviews = reviews
        self._requeue_task = requeue_task
        self._settings = console.settings
        self._sessions = console.sessions
        self._stopping = console.stopping
        self._live = live
        self._streams = Streams()
        self._wrong_tokens = WrongTokens()
        self._wrong_token_lines = Throttle(_WRONG_TOKEN_LOG_S)
        self._assets = Assets()
        self._publisher = RecordPublisher(console.settings, console.settings.applications_topic, "the application")
        self._body_bytes_max = 2 * console.settings.record_bytes_max  # so that too large applications can be tried, too

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Runs the background threads from startup to shutdown."""
        loop, stop, sample = asyncio.get_running_loop(), Event(), Sample()
        self._live.on_result(lambda result: loop.call_soon_threadsafe(self._streams.send, "result", result))
        settings, live, latest = self._settings, self._live, self._console.latest
        watches = {
            Part.RESULTS: lambda: follow_results(settings, live, sample, stop),
            Part.GROUP: lambda: poll_group(settings, live, latest.group, stop),
            Part.LATENCY: lambda: measure_latency(settings, live, sample, stop),
            Part.BROKERS: lambda: poll_cluster(settings, live, latest.cluster, stop),
        }
        if (queue := self._console.queue) is not None:
            watches[Part.REVIEWS] = lambda: follow_reviews(settings, live, queue, stop)
        threads = [
            Thread(target=run_with_restarts, args=(part, watch, live, stop), name=part, daemon=True)
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
            joins = (asyncio.to_thread(thread.join, 2.0) for thread in threads)
            await asyncio.gather(asyncio.to_thread(self._requeue_task.wait), *joins)

    async def _tick(self) -> None:
        while True:
            self._streams.send("tick", {"point": self._live.tick(time.time()), **self._state()})
            await asyncio.sleep(_TICK_S)

    def _state(self) -> dict[str, Any]:
        return {**self._live.state(), "reviews": self._reviews.figures(), "requeue": self._requeue_task.as_json()}

    # Pages

    def page(self, page: Page) -> Callable[[Request], Response]:
        """The endpoint of a page."""

        def response(_: Request) -> Response:
            may_log_out = self._sessions is not None
            return _html(render_page(page, self._settings, self._live.deployed, may_log_out=may_log_out))

        return response

    async def static(self, request: Request) -> Response:
        """A static file."""
        asset = self._assets.find(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def document(self, _: Request) -> Response:
        """The AsyncAPI document of the deployed contract."""
        return Response(
            render_document((self._live.deployed or not_deployed()).contract), media_type="application/yaml"
        )

    async def login(self, request: Request) -> Response:
        """Shows the login page, and opens a session for the right token."""
        if self._sessions is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return _html(render("login", fault=""))
        body = (await read_body(request, _LOGIN_BYTES_MAX)).decode("latin-1")
        try:
            form = parse_qs(body, max_num_fields=_LOGIN_FIELDS_MAX)
        except ValueError:
            raise HTTPException(400, f"more than {_LOGIN_FIELDS_MAX} fields; the login form has one") from None
        session = self._sessions.open("".join(form.get("token", [])).strip())
        if session is None:
            suppressed = self._wrong_token_lines.due()
            if suppressed is not None:
                log(WRONG_TOKEN, client=client_of(request), suppressed=suppressed)
            if await self._wrong_tokens.pause():
                return _html(render("login", fault="Wrong token."), 403)
            response = _html(render("login", fault="Wrong token. Too many attempts: wait a moment."), 429)
            response.headers["Retry-After"] = str(_RETRY_AFTER_S)
            return response
        opened = RedirectResponse("/", 303)
        set_session(opened, session, over_tls=request.headers.get("origin", "").startswith("https://"))
        return opened

    async def logout(self, request: Request) -> Response:
        """Ends the session."""
        if self._sessions is not None:
            self._sessions.close(session_of(request.headers))
        response = RedirectResponse("/login", 303)
        delete_session(response)
        return response

    # API

    def metrics(self, request: Request) -> Response:
        """The metrics for Prometheus, which has no session: they contain figures alone."""
        if self._console.metrics is None:
            raise HTTPException(404)
        content_type, body = self._console.metrics(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def live(self, request: Request) -> Response:
        """The event stream: first the whole state, then updates every second, and the result of each try."""
        state = {
            "series": self._live.series(),
            "points_max": SERIES_POINTS_MAX,
            "results": self._live.results(),
            **self._state(),
        }
        session = session_of(request.headers)

        def ended() -> bool:
            return self._stopping() or (self._sessions is not None and not self._sessions.is_open(session))

        events = self._streams.events(session or client_of(request), state, ended)
        return StreamingResponse(events, media_type="text/event-stream")

    async def publish(self, request: Request) -> Response:
        """Publishes a try; its result arrives on the event stream.

        The query names the contract that the page was made for, by its sha256: the form of another one would be
        rejected field by field.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"error": "send the application as application/json"}, 415)
        application = parse_application(await read_body(request, self._body_bytes_max))
        deployed = self._live.deployed
        if deployed is None or not self._live.reads_results:
            error = self._live.state()["error"] or "still connecting to the topics: try again in a moment"
            return JSONResponse({"error": f"not published, because its result could not be shown: {error}"}, 503)
        contract = deployed.contract
        if request.query_params.get("contract", contract.sha256) != contract.sha256:
            error = f"not published: another contract is deployed now, {contract}; reload the page to see its form"
            return JSONResponse({"error": error}, 409)
        attempt = make_try(application, contract)
        self._live.expect_result(attempt.id)
        source = await run_in_threadpool(self._publisher.publish, attempt.id, attempt.value)
        return JSONResponse({"id": attempt.id, "source": source}, 202)

    async def code(self, request: Request) -> Response:
        """Code that publishes an application, by language. Nothing is published."""
        application = parse_application(await read_body(request, self._body_bytes_max))
        contract = (self._live.deployed or not_deployed()).contract
        return JSONResponse(publishing_code(self._settings, contract, application))

    async def deployments(self, _: Request) -> Response:
        """The deployment history, newest first."""
        group_state = self._live.group_state
        if group_state is None:
            return JSONResponse(
                {"error": self._live.state()["error"] or "still reading the deployment history: try again in a moment"},
                503,
            )
        return JSONResponse([_line_as_json(line) for line in reversed(group_state.deployments)])


def _line_as_json(line: Line) -> dict[str, Any]:
    if line.event is None:
        return {"offset": line.offset, "fault": line.fault}
    return {"offset": line.offset, **line.event.model_dump(mode="json", exclude={"contract"})}


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/html; charset=utf-8")


def _failed(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, ScorerError)
    is_missing = isinstance(fault, BundleNotFoundError | DeadLetterError | ExplanationError)
    return JSONResponse({"error": str(fault)}, 400 if isinstance(fault, MisuseError) else 404 if is_missing else 503)


def _http_failed(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": fault.detail}, fault.status_code, headers=fault.headers)
    return PlainTextResponse(f"{fault.detail}\n", fault.status_code, headers=fault.headers)


def _crashed(request: Request, _: Exception) -> Response:
    """The response to an unexpected exception; the server logs where it was raised."""
    response = _http_failed(request, HTTPException(500, "internal error; see the console's log"))
    response.headers["Cache-Control"] = "no-store"  # this response does not pass the guard
    return response
