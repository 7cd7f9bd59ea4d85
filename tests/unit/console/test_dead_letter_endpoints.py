"""The requests about dead letters: who may requeue, and what a page may ask for."""

import asyncio
import json
from threading import Event
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from scorer.console import requeue_task
from scorer.console.dead_letter_endpoints import DeadLetterEndpoints, _parse
from scorer.console.guard import Sessions
from scorer.console.requeue_task import RequeueTask, Selection
from scorer.console.users import User
from scorer.errors import MisuseError
from scorer.operate.dead_letters import Requeued
from scorer.operate.reading import Skipped
from scorer.settings import Settings

ON = Settings(console_operators_file="operators")
CHOSEN: dict[str, Any] = {"code": "model_error", "ranges": [[0, 1, 4]]}
DORA, BEN, VIEWER = "d" * 20, "b" * 20, "v" * 20
WAIT_S = 30.0


def sessions() -> Sessions:
    """Those of a console with an operator and a reviewer."""
    return Sessions(VIEWER, {DORA: User("dora", may_requeue=True), BEN: User("ben", may_review=True)})


def ask(endpoints: DeadLetterEndpoints, session: str | None, body: object = CHOSEN) -> tuple[int, Any]:
    """Asks for a requeue; returns the status and the body, or the reason."""

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    headers = [(b"cookie", f"console={session}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers, "client": None}
    try:
        answer = asyncio.run(endpoints.requeue(Request(scope, receive)))
    except HTTPException as rejected:
        return rejected.status_code, rejected.detail
    return answer.status_code, json.loads(bytes(answer.body))


def test_off_unless_there_are_operators() -> None:
    """Without console_operators_file no user can requeue, and without a login neither."""
    task = RequeueTask(Settings(), lambda: False)
    with_reviewers = sessions()
    for settings, own in ((Settings(), with_reviewers), (ON, None), (Settings(), None)):
        status, why = ask(DeadLetterEndpoints(settings, own, task), with_reviewers.open(DORA))
        assert (status, "console_operators_file" in why) == (404, True)
    assert task.as_json() is None


def test_only_operators_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get 403, a second requeue gets 409 while the first one runs, and the name is that of the session."""
    go = Event()

    def requeue(*_: object) -> Requeued:
        assert go.wait(WAIT_S)
        return Requeued((), (), (), Skipped())

    monkeypatch.setattr(requeue_task, "requeue", requeue)
    own, task = sessions(), RequeueTask(ON, lambda: False)
    endpoints = DeadLetterEndpoints(ON, own, task)
    for session in (own.open(VIEWER), own.open(BEN), "unknown", ""):
        assert ask(endpoints, session)[0] == 403
    assert task.as_json() is None
    status, state = ask(endpoints, own.open(DORA))
    assert (status, state["operator"], state["has_ended"]) == (202, "dora", False)
    status, why = ask(endpoints, own.open(DORA))
    assert (status, why) == (409, "dora is requeueing dead letters: try again when that has ended")
    go.set()
    task.wait()
    assert ask(endpoints, own.open(DORA))[1]["number"] == 2


def test_what_a_page_may_ask_for() -> None:
    """A code and ranges of offsets; anything else is one message, which repeats nothing of it."""
    assert _parse(json.dumps(CHOSEN).encode()) == Selection(code="model_error", ranges=((0, 1, 4),))
    wrong: tuple[object, ...] = (
        {}, [], {"code": "model_error"}, {**CHOSEN, "actor": "ben"}, {**CHOSEN, "code": "marker"},
        {**CHOSEN, "code": 1}, {**CHOSEN, "ranges": []}, {**CHOSEN, "ranges": [[0, 1]]},
        {**CHOSEN, "ranges": [[0, -1, 4]]}, {**CHOSEN, "ranges": [[0, "1", 4]]}, {**CHOSEN, "ranges": [[0, 1.5, 4]]},
        {**CHOSEN, "ranges": [[0, 1, 2**63]]}, {**CHOSEN, "ranges": [[0, 1, 4]] * 1_001},
    )  # fmt: skip
    for body in wrong:
        with pytest.raises(MisuseError, match="which dead letters") as raised:
            _parse(json.dumps(body).encode())
        assert "marker" not in str(raised.value)
    with pytest.raises(MisuseError):
        _parse(b"\xff{")
