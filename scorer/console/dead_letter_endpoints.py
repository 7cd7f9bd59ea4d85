"""The endpoints of the dead letters: the newest ones in pages, one of them, its key and value, and their requeue."""

import asyncio
from typing import Final

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.records import OTHER_CODES
from schemas.rejection import RejectionCode
from scorer.console.dead_letters import newest_letters, read_letter, read_value
from scorer.console.guard import Sessions, session_of
from scorer.console.requests import client_of, parse_index, position_of, read_body
from scorer.console.requeue_task import RequeueTask, Selection
from scorer.errors import MisuseError
from scorer.logs import DEAD_LETTER_SHOWN, log
from scorer.settings import Settings

_CODES: Final = frozenset({*RejectionCode, OTHER_CODES})
_BODY_BYTES_MAX: Final = 65_536
"""A thousand ranges with the largest numbers are 53 kB."""


class DeadLetterEndpoints:
    """The endpoints, one method each. All users may read; only operators may requeue."""

    def __init__(self, settings: Settings, sessions: Sessions | None, task: RequeueTask) -> None:
        """Connects on request.

        Args:
            settings: the topics.
            sessions: the open sessions; None if no login is required, so that nobody may requeue.
            task: requeues in the background.
        """
        self._settings = settings
        self._sessions = sessions
        self._task = task
        self._reading = asyncio.Lock()  # one at a time: each list, and the mark of a letter, takes thousands of records

    async def newest(self, request: Request) -> JSONResponse:
        """A page of the newest dead letters from the index `first` on, of all codes or of `code`; without values."""
        code, first = request.query_params.get("code"), parse_index(request.query_params.get("first", "0"))
        if code is not None and code not in _CODES:
            raise HTTPException(400, "code: a rejection code, or other")
        async with self._reading:
            page = await run_in_threadpool(newest_letters, self._settings, code, first)
        return JSONResponse({**page, "may_requeue": self._operator(request) is not None})

    async def letter(self, request: Request) -> JSONResponse:
        """One dead letter, without its value."""
        position = position_of(request)
        async with self._reading:
            letter = await run_in_threadpool(read_letter, self._settings, position)
        return JSONResponse({**letter, "may_requeue": self._operator(request) is not None})

    async def value(self, request: Request) -> JSONResponse:
        """The key and the value of one dead letter. The access is logged, the contents are not."""
        position = position_of(request)
        content = await run_in_threadpool(read_value, self._settings, position)
        log(DEAD_LETTER_SHOWN, client=client_of(request), partition=position.partition, offset=position.offset)
        return JSONResponse(content)

    async def requeue(self, request: Request) -> JSONResponse:
        """Begins a requeue, which runs in the background: the event stream has its progress."""
        if self._sessions is None or self._settings.console_operators_file is None:
            raise HTTPException(404, "nobody may requeue here: console_operators_file names no operators")
        operator = self._operator(request)
        if operator is None:
            raise HTTPException(403, "only operators may requeue: log in with a token of console_operators_file")
        selection = _parse(await read_body(request, _BODY_BYTES_MAX))
        running = self._task.running
        if running is not None:
            raise HTTPException(409, f"{running.operator} is requeueing dead letters: try again when that has ended")
        self._task.start(selection, operator, client_of(request))
        return JSONResponse(self._task.as_json(), 202)

    def _operator(self, request: Request) -> str | None:
        """The operator of the request's session; None if it may not requeue."""
        return self._sessions.operator(session_of(request.headers)) if self._sessions else None


def _parse(body: bytes) -> Selection:
    """Parses what a page asks to requeue.

    Raises:
        MisuseError: it is invalid.
    """
    try:
        selection = Selection.model_validate_json(body)
    except ValidationError:
        selection = None
    if selection is None or selection.code not in _CODES:
        raise MisuseError("which dead letters? Send a code, and ranges of a partition, a first and a last offset")
    return selection
