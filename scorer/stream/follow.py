"""What a worker decides with, as the history says it: loaded beside what serves, taken over between two batches."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Final, Protocol

from schemas.decision import BundleReference
from scorer.bundle.store import BundleStore
from scorer.core.score import Bundle
from scorer.errors import BundleError
from scorer.settings import Settings
from scorer.stream.deployments import HistoryReader, Line, fold

log = logging.getLogger(__name__)

# How long a look at the history waits: a deployment is noticed within it, a stop too.
_WAIT_S: Final = 0.5
# What could not be loaded is tried again: the store may have been out of reach.
_RETRY_S: Final = 10.0


class FollowWatch:
    """What is told to whoever watches a follower; this one does not listen."""

    def refused(self, reference: BundleReference, reason: str) -> None:
        """A bundle that was deployed could not be loaded; what served goes on."""

    def in_step(self) -> None:
        """What the history says is what is loaded."""

    def skipped(self, offset: int) -> None:
        """A line of the history is no event and counts for nothing."""


class Bundles(Protocol):
    """What decides, batch by batch."""

    def current(self) -> Bundle:
        """What decides the next batch. Raises BrokerError when that cannot be known any more."""
        ...

    def start(self, watch: FollowWatch) -> None:
        """Begins to follow."""
        ...

    def close(self) -> None:
        """Stops following."""
        ...


class Pinned:
    """Always the same bundle, whatever is deployed."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def current(self) -> Bundle:
        """The one."""
        return self._bundle

    def start(self, watch: FollowWatch) -> None:
        """There is nothing to follow."""

    def close(self) -> None:
        """There is nothing to stop."""


class Follower:
    """Follows the history in a thread beside the loop and hands over by one reference."""

    def __init__(self, settings: Settings, store: BundleStore, default: str) -> None:
        """Reads the history to its end and loads what it says, or the default where it says nothing.

        Args:
            settings: where the history is.
            store: where bundles come from.
            default: the reference of the bundle that decides before the first deployment.

        Raises:
            BundleError: what the history says cannot be loaded here; nothing else may decide in its place.
            SettingsError, TopicsError, BrokerError: the history cannot be read.
        """
        self._store = store
        self._refused: BundleReference | None = None
        self._retry_at = 0.0
        self._stop = Event()
        self._following: Future[None] | None = None
        self._beside = ThreadPoolExecutor(1, "deployments")
        self._reader = HistoryReader(settings)
        try:
            self._lines = self._reader.to_the_end()
            wanted = self._wanted()
            self._bundle = store.open(default if wanted is None else str(wanted))
        except BaseException:
            self._reader.close()
            raise

    def current(self) -> Bundle:
        """What decides the next batch.

        Raises:
            BrokerError: the history cannot be followed any more.
        """
        if self._following is not None and self._following.done():
            self._following.result()
        return self._bundle

    def start(self, watch: FollowWatch) -> None:
        """Begins to follow, and tells of the lines so far that are no events."""
        _tell_skipped(self._lines, watch)
        self._following = self._beside.submit(self._follow, watch)

    def close(self) -> None:
        """Stops following."""
        self._stop.set()
        self._beside.shutdown()
        self._reader.close()

    def _follow(self, watch: FollowWatch) -> None:
        while not self._stop.is_set():
            lines = self._reader.next(_WAIT_S)
            _tell_skipped(lines, watch)
            self._lines += lines
            if lines or (self._refused is not None and time.monotonic() >= self._retry_at):
                self._catch_up(watch)

    def _wanted(self) -> BundleReference | None:
        return fold(self._lines).current("champion")

    def _catch_up(self, watch: FollowWatch) -> None:
        """Loads what the history says, if that is not what serves."""
        wanted = self._wanted()
        try:
            if wanted is not None and wanted != self._bundle.reference:
                self._bundle = self._store.open(str(wanted))
        except BundleError as error:
            assert wanted is not None, "only a bundle can be refused"
            log.warning("%s was deployed and cannot be loaded; %s goes on: %s", wanted, self._bundle.reference, error)
            self._refused, self._retry_at = wanted, time.monotonic() + _RETRY_S
            watch.refused(wanted, str(error))
        else:
            self._refused = None
            watch.in_step()


def _tell_skipped(lines: list[Line], watch: FollowWatch) -> None:
    for line in lines:
        if line.event is None:
            log.warning("deployments@%d is no event and counts for nothing: %s", line.offset, line.fault)
            watch.skipped(line.offset)
