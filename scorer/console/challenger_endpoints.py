"""The endpoints of the challenger: which one is deployed, and how it would have decided the newest applications."""

import asyncio
import time
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.deployment import DeploymentEvent
from scorer.console.bundle_tasks import run_task
from scorer.console.live import Live
from scorer.errors import BrokerError, DeploymentError
from scorer.settings import Settings
from scorer.store import DEFAULT_BUNDLE
from scorer.stream.history import fold

SAMPLE: Final = 10_000
"""Newest applications that are compared, as `scorer challenger` does by default."""
_COMPARED_S: Final = 30.0
"""How long a comparison is shown again: it takes a core for some seconds, and several pages may be open."""


class _Slots(NamedTuple):
    """The deployed bundles: the champion's reference, and the event that deployed the challenger, if there is one."""

    champion: str
    challenger: DeploymentEvent | None


class ChallengerEndpoints:
    """The endpoints, one method each."""

    def __init__(self, settings: Settings, live: Live) -> None:
        """Connects on request.

        Args:
            settings: the topics and the store.
            live: has the deployment history.
        """
        self._settings = settings
        self._live = live
        self._comparing = asyncio.Lock()
        self._compared: tuple[float, tuple[str, str], dict[str, Any]] | None = None
        """When, by the monotonic clock, which bundles, and the result. Written by `comparison`, with the lock held."""

    async def challenger(self, _: Request) -> JSONResponse:
        """The champion, and the deployment of the challenger; null without a challenger."""
        slots = self._slots()
        challenger = slots.challenger and slots.challenger.model_dump(mode="json", exclude={"contract"})
        return JSONResponse({"champion": slots.champion, "challenger": challenger})

    async def comparison(self, _: Request) -> JSONResponse:
        """The comparison of the newest applications' decisions: counts and probabilities, nothing of an application."""
        slots = self._slots()
        if slots.challenger is None:
            raise DeploymentError("no challenger is deployed")
        pair = slots.champion, str(slots.challenger.bundle)
        async with self._comparing:
            if not self._is_recent(pair):
                settings = self._settings.model_dump(mode="json")
                result = await run_task(
                    "compare", settings=settings, champion=pair[0], challenger=pair[1], sample=SAMPLE
                )
                self._compared = time.monotonic(), pair, {**result, "at": time.time()}
            assert self._compared is not None, "it was just compared"
            return JSONResponse(self._compared[2])

    def _is_recent(self, pair: tuple[str, str]) -> bool:
        if self._compared is None:
            return False
        compared_at, compared, _ = self._compared
        return compared == pair and time.monotonic() - compared_at < _COMPARED_S

    def _slots(self) -> _Slots:
        """The deployed bundles.

        Raises:
            BrokerError: the history was not read yet.
        """
        group_state = self._live.group_state
        if group_state is None:
            raise BrokerError(
                self._live.state()["error"] or "still reading the deployment history: try again in a moment"
            )
        state = fold(group_state.deployments)
        event = state.last.get("challenger") if state.current("challenger") else None
        return _Slots(str(state.current("champion") or DEFAULT_BUNDLE), event)
