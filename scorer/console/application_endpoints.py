"""The endpoints about one application: its history, and on request its values."""

import json
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.decision import BundleReference
from scorer.console.applications import History, read_value
from scorer.console.bundle_texts import BundleTexts
from scorer.console.guard import Sessions, session_of
from scorer.console.requests import client_of, position_of, read_body
from scorer.errors import MisuseError
from scorer.logs import APPLICATION_SHOWN, log
from scorer.operate.review_queue import ReviewQueue
from scorer.settings import Settings

_BODY_BYTES_MAX: Final = 65_536


class ApplicationEndpoints:
    """The endpoints, one method each. Ids are in bodies and never in URLs, which proxies write into their logs."""

    def __init__(
        self, settings: Settings, sessions: Sessions | None, queue: ReviewQueue | None, texts: BundleTexts
    ) -> None:
        """Connects on request.

        Args:
            settings: the topics.
            sessions: the open sessions; None if no login is required.
            queue: the waiting decisions, which learn from every history that is read; None if reviews are off.
            texts: the sentences of reasons.
        """
        self._settings = settings
        self._sessions = sessions
        self._queue = queue
        self._texts = texts

    async def history(self, request: Request) -> JSONResponse:
        """The history of one application, without its values, and whether this session may review its decision."""
        application_id = _parse_id(await read_body(request, _BODY_BYTES_MAX))
        history = await run_in_threadpool(History, self._settings, application_id)
        if self._queue is not None:
            self._queue.add_decisions(history.decisions)
        content = await run_in_threadpool(history.as_json, self._texts)
        reviewer = self._sessions.reviewer(session_of(request.headers)) if self._sessions else None
        return JSONResponse({**content, "may_review": self._queue is not None and reviewer is not None})

    async def reasons(self, request: Request) -> JSONResponse:
        """The sentences of a bundle's reasons by code, for the decision of a try; the query names the bundle."""
        text = await run_in_threadpool(self._texts.of, _parse_bundle(request.query_params))
        return JSONResponse(dict(text.sentences))

    async def policy(self, request: Request) -> JSONResponse:
        """The thresholds of a bundle, for the scale of probabilities; the query names the bundle."""
        text = await run_in_threadpool(self._texts.of, _parse_bundle(request.query_params))
        return JSONResponse(text.policy_as_json())

    async def value(self, request: Request) -> JSONResponse:
        """The value of an application's record. The access is logged, the value is not."""
        position = position_of(request)
        content = await run_in_threadpool(read_value, self._settings, position)
        log(APPLICATION_SHOWN, client=client_of(request), partition=position.partition, offset=position.offset)
        return JSONResponse(content)


def _parse_bundle(parameters: Mapping[str, str]) -> BundleReference:
    """Parses the name, version and digest of a bundle.

    Raises:
        MisuseError: they are not a reference.
    """
    try:
        return BundleReference.model_validate(dict(parameters))
    except ValidationError:
        raise MisuseError("name a bundle by name, version and digest") from None


def _parse_id(body: bytes) -> str:
    """Parses the id that a page sent.

    Raises:
        MisuseError: it is not an id.
    """
    try:
        body_json = json.loads(body)
    except (ValueError, RecursionError):
        body_json = None
    application_id = body_json.get("application_id") if isinstance(body_json, dict) else None
    if not isinstance(application_id, str) or not application_id:
        raise MisuseError("write the application's id")
    try:
        application_id.encode()
    except UnicodeEncodeError:
        raise MisuseError("the application's id has an unpaired surrogate, which is not valid JSON") from None
    return application_id
