"""The endpoints of the dead letters: the newest ones in pages, one of them, and on request its key and value."""

import asyncio
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.records import OTHER_CODES
from schemas.rejection import RejectionCode
from scorer.console.dead_letters import newest_letters, read_letter, read_value
from scorer.console.requests import client_of, parse_index, position_of
from scorer.logs import DEAD_LETTER_SHOWN, log
from scorer.settings import Settings

_CODES: Final = frozenset({*RejectionCode, OTHER_CODES})


class DeadLetterEndpoints:
    """The endpoints, one method each. They only read: requeueing needs permissions that the console does not have."""

    def __init__(self, settings: Settings) -> None:
        """Connects on request."""
        self._settings = settings
        self._reading = asyncio.Lock()  # one list at a time: each request reads thousands of records

    async def newest(self, request: Request) -> JSONResponse:
        """A page of the newest dead letters from the index `first` on, of all codes or of `code`; without values."""
        code, first = request.query_params.get("code"), parse_index(request.query_params.get("first", "0"))
        if code is not None and code not in _CODES:
            raise HTTPException(400, "code: a rejection code, or other")
        async with self._reading:
            return JSONResponse(await run_in_threadpool(newest_letters, self._settings, code, first))

    async def letter(self, request: Request) -> JSONResponse:
        """One dead letter, without its value."""
        return JSONResponse(await run_in_threadpool(read_letter, self._settings, position_of(request)))

    async def value(self, request: Request) -> JSONResponse:
        """The key and the value of one dead letter. The access is logged, the contents are not."""
        position = position_of(request)
        content = await run_in_threadpool(read_value, self._settings, position)
        log(DEAD_LETTER_SHOWN, client=client_of(request), partition=position.partition, offset=position.offset)
        return JSONResponse(content)
