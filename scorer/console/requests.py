"""Reads parts of a request: the client's address, the position of a record, an index, and the body within a limit."""

import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from schemas.records import Position

_is_position = re.compile("[0-9]{1,18}").fullmatch  # a partition or an offset, within 64 bits
_INDEX_CHARACTERS_MAX: Final = 9


def client_of(request: Request) -> str:
    """The client's address."""
    return request.client.host if request.client else ""


def position_of(request: Request) -> Position:
    """The partition and the offset in the path.

    Raises:
        HTTPException: they are not numbers.
    """
    numbers = [request.path_params[name] for name in ("partition", "offset")]
    if not all(_is_position(number) for number in numbers):
        raise HTTPException(404)
    return Position(*map(int, numbers))


def parse_index(text: str) -> int:
    """An index into a list, from 0 on.

    Raises:
        HTTPException: it is not a number.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > _INDEX_CHARACTERS_MAX:
        raise HTTPException(400, "first: an index into the list, from 0 on")
    return int(text)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The request's body.

    Args:
        request: the request.
        bytes_max: how many bytes are read at most.

    Raises:
        HTTPException: it is larger.
    """
    if int(request.headers.get("content-length", "0")) > bytes_max:  # h11 has checked that it is a number
        raise _too_large(bytes_max)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> HTTPException:
    return HTTPException(413, f"the request is too large: at most {bytes_max:,} bytes are read")
