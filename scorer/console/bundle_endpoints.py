"""The endpoints of the bundles: their list, the page of one bundle, its review, and the difference of two."""

import asyncio
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from scorer.console.bundle_tasks import run_task
from scorer.console.bundles import diff_bundles, list_bundles, show_bundle
from scorer.console.live import Live
from scorer.console.pages import PAGES, render_in_frame
from scorer.console.requests import parse_index
from scorer.errors import BundleError, BundleNotFoundError, MisuseError
from scorer.settings import Settings
from scorer.store import DEFAULT_BUNDLE
from scorer.store.store import BundleStore
from scorer.stream.history import fold

_REVIEWS_MAX: Final = 100
_REFERENCE_CHARACTERS_MAX: Final = 300
(_PAGE,) = (page for page in PAGES if page.file == "bundles")


class BundleEndpoints:
    """The endpoints, one method each. They only read the store, one request at a time: it may be large or slow."""

    def __init__(self, settings: Settings, live: Live, *, may_log_out: bool) -> None:
        """Opens the store on request.

        Args:
            settings: the store.
            live: names the champion and the challenger.
            may_log_out: whether users have a session to end.
        """
        self._settings = settings
        self._live = live
        self._may_log_out = may_log_out
        self._reading = asyncio.Lock()
        self._reviewing = asyncio.Lock()
        self._reviews: dict[str, Any] = {}
        """By digest: a bundle never changes. Written by `review`."""

    async def newest(self, request: Request) -> JSONResponse:
        """A page of the list, from the index `first` on, and which bundles are champion and challenger."""
        first = parse_index(request.query_params.get("first", "0"))
        async with self._reading:
            listed = await run_in_threadpool(list_bundles, self._settings.store, first)
        return JSONResponse({**listed, **self._roles()})

    async def show(self, request: Request) -> HTMLResponse:
        """The page of one bundle."""
        reference = _reference(request, "bundle")
        values: dict[str, Any] = {"bundle": None, "fault": ""}
        status = 200
        try:
            async with self._reading:
                values["bundle"] = await run_in_threadpool(show_bundle, self._settings.store, reference)
        except (BundleError, MisuseError) as error:
            values["fault"] = str(error)
            status = 404 if isinstance(error, BundleNotFoundError) else 503
        text = render_in_frame(_PAGE, self._settings, may_log_out=self._may_log_out, template="bundle", **values)
        return HTMLResponse(text, status)

    async def diff(self, request: Request) -> JSONResponse:
        """The difference of two bundles, `before` and `after`."""
        references = _reference(request, "before"), _reference(request, "after")
        async with self._reading:
            return JSONResponse(await run_in_threadpool(diff_bundles, self._settings.store, *references))

    async def review(self, request: Request) -> JSONResponse:
        """The findings of a bundle's review; reviews run one at a time, because each one takes a core for seconds."""
        reference = _reference(request, "bundle")
        located = await run_in_threadpool(lambda: BundleStore(self._settings.store).locate(reference))
        digest = located.reference.digest
        async with self._reviewing:
            if digest not in self._reviews:
                result = await run_task("review", folder=str(located.folder))
                if len(self._reviews) >= _REVIEWS_MAX:
                    self._reviews.clear()
                self._reviews[digest] = result
            return JSONResponse(self._reviews[digest])

    def _roles(self) -> dict[str, str | None]:
        """The digests of champion and challenger, and before the first deployment the default bundle's reference."""
        group_state = self._live.group_state
        if group_state is None:
            return {"champion": None, "challenger": None, "default": None}
        state = fold(group_state.deployments)
        champion, challenger = state.current("champion"), state.current("challenger")
        return {
            "champion": champion.digest if champion else None,
            "challenger": challenger.digest if challenger else None,
            "default": None if champion else DEFAULT_BUNDLE,
        }


def _reference(request: Request, name: str) -> str:
    """The reference of a bundle in the query; what it means is up to the store, which never takes it for a path.

    Raises:
        HTTPException: it is missing or too long.
    """
    reference = request.query_params.get(name, "")
    if not 0 < len(reference) <= _REFERENCE_CHARACTERS_MAX:
        raise HTTPException(400, f"{name}: name a bundle, for example {DEFAULT_BUNDLE}")
    return reference
