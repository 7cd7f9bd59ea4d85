"""What a worker decides with, as the history says it: loaded beside what serves, taken over between two batches."""

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Final, Protocol, get_args

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.rights import Operation
from scorer.bundle.entry import Located
from scorer.bundle.store import BundleStore
from scorer.bundle.trust import locate_trusted, require_signed
from scorer.core.score import Bundle
from scorer.errors import BundleError, UnsignedError
from scorer.logs import BUNDLE_REFUSED, HISTORY_LINE_SKIPPED, log
from scorer.settings import Settings
from scorer.stream.deployments import HistoryReader, fold
from scorer.stream.line import Line
from scorer.stream.observer import Observer
from scorer.stream.refusal import Refusal

# How long a look at the history waits: a deployment is noticed within it, a stop too.
_WAIT_S: Final = 0.5
# What could not be loaded is tried again: the store may have been out of reach.
_RETRY_S: Final = 10.0


class Bundles(Protocol):
    """What decides, batch by batch, and what scores along."""

    def current(self) -> Bundle:
        """What decides the next batch. Raises BrokerError when that cannot be known any more."""
        ...

    def challenger(self) -> Bundle | None:
        """What scores the next batch along; None if nothing does."""
        ...

    def refused(self) -> str:
        """Why the deployed champion could not be loaded; empty if it decides."""
        ...

    def start(self, observer: Observer) -> None:
        """Begins to follow."""
        ...

    def close(self) -> None:
        """Stops following."""
        ...


class Pinned:
    """Always the same bundle and no challenger, whatever is deployed."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def current(self) -> Bundle:
        """The one."""
        return self._bundle

    def challenger(self) -> None:
        """There is none."""

    def refused(self) -> str:
        """Nothing is: deployments are ignored."""
        return ""

    def start(self, observer: Observer) -> None:
        """There is nothing to follow."""

    def close(self) -> None:
        """There is nothing to stop."""


_SLOTS: Final[tuple[Slot, ...]] = get_args(Slot)


class Follower:
    """Follows the history in a thread beside the loop and hands over by one reference a slot."""

    def __init__(self, settings: Settings, store: BundleStore, default: str) -> None:
        """Reads the history to its end and loads the champion that it says, or the default where it says nothing.

        A challenger is loaded once following begins: nothing waits for it.

        Args:
            settings: where the history is.
            store: where bundles come from.
            default: the reference of the bundle that decides before the first deployment.

        Raises:
            BundleError: what the history says cannot be loaded here; nothing else may decide in its place.
            SettingsError, TopicsError, BrokerError: the history cannot be read.
        """
        self._store = store
        self._default = default
        self._shipped: set[BundleReference] = set()
        """The bundles that need no signature, because they came with this package."""
        self._retry_at: dict[Slot, float] = {}
        """By slot whose bundle could not be loaded, when to try again."""
        self._replaced: dict[Slot, Bundle] = {}
        """By slot, what was in it before: kept open, for a rollback is in a hurry and may find no store."""
        self._refusals: dict[Slot, Refusal] = {}
        """By slot, why what is deployed is not loaded. Written by the following thread."""
        self._stop = Event()
        self._following: Future[None] | None = None
        self._beside = ThreadPoolExecutor(1, "deployments")
        self._reader = HistoryReader(settings, Operation.READ)
        try:
            self._lines = self._reader.to_the_end()
            wanted = fold(self._lines).current("champion")
            self._default_decides = wanted is None
            champion = self._locate(default if wanted is None else wanted).open()
            self._loaded: dict[Slot, Bundle] = {"champion": champion}
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
        return self._loaded["champion"]

    def challenger(self) -> Bundle | None:
        """What scores the next batch along; None if nothing does."""
        return self._loaded.get("challenger")

    def refused(self) -> str:
        """Which deployed bundle could not be loaded, and why; empty if all are.

        There is room for one: that of the champion, which decides, comes first.
        """
        refusal = self._refusals.get("champion") or self._refusals.get("challenger")
        return "" if refusal is None else refusal.write()

    def start(self, observer: Observer) -> None:
        """Begins to follow, and tells of the lines so far that are no events."""
        _tell_skipped(self._lines, observer)
        self._following = self._beside.submit(self._follow, observer)

    def close(self) -> None:
        """Stops following."""
        self._stop.set()
        self._beside.shutdown()
        self._reader.close()

    def _follow(self, observer: Observer) -> None:
        self._catch_up("challenger", observer)
        while not self._stop.is_set():
            begins_again = self._reader.begin_again()
            if begins_again:
                self._require_trusted()
                self._lines = []
            lines = self._reader.to_the_end() if begins_again else self._reader.next(_WAIT_S)
            _tell_skipped(lines, observer)
            self._lines += lines
            for slot in _SLOTS:
                if lines or begins_again or time.monotonic() >= self._retry_at.get(slot, math.inf):
                    self._catch_up(slot, observer)

    def _locate(self, wanted: BundleReference | str) -> Located:
        """Finds a bundle, and makes sure that it may be opened."""
        located = locate_trusted(self._store, wanted, self._reader.approvals.required_trust)
        if located.shipped:
            self._shipped.add(located.reference)
        return located

    def _require_trusted(self) -> None:
        """Checks that the keys that are trusted now have signed the loaded bundles.

        A deleted bundle keeps its signatures in the store. A store that is out of reach stops no worker.

        Raises:
            UnsignedError: they have not signed the champion.
        """
        self._replaced.clear()
        trust = self._reader.approvals.required_trust
        for slot, loaded in list(self._loaded.items()):
            if trust is None or loaded.reference in self._shipped:
                continue
            try:
                require_signed(self._store, loaded.reference, trust)
            except UnsignedError:
                if slot == "champion":
                    raise
                del self._loaded[slot]
            except BundleError as error:
                log(BUNDLE_REFUSED, slot=slot, bundle=str(loaded.reference), error=str(error))

    def _catch_up(self, slot: Slot, observer: Observer) -> None:
        """Puts into a slot what the history says, if that is not what is in it."""
        wanted = fold(self._lines).current(slot)
        try:
            self._put(slot, wanted)
        except Exception as error:
            if wanted is None:  # neither what does not count any more, nor anything else, may decide in its place
                raise
            reason = str(error) if isinstance(error, BundleError) else repr(error)
            log(BUNDLE_REFUSED, slot=slot, bundle=str(wanted), error=reason)
            self._retry_at[slot] = time.monotonic() + _RETRY_S
            self._refusals[slot] = Refusal(slot, str(wanted), reason)
            observer.refused(slot, wanted, reason)
        else:
            self._retry_at.pop(slot, None)
            self._refusals.pop(slot, None)
            loaded = self._loaded.get(slot)
            observer.in_step(slot, None if loaded is None else loaded.reference)

    def _put(self, slot: Slot, wanted: BundleReference | None) -> None:
        loaded = self._loaded.get(slot)
        nothing_counts = wanted is None
        if slot == "champion" and wanted is None:
            if self._default_decides:
                return
            wanted = self._locate(self._default).reference  # what was deployed does not count any more
        if wanted is None:
            self._loaded.pop(slot, None)
        elif loaded is None or wanted != loaded.reference:
            replaced = self._replaced.get(slot)
            if replaced is None or replaced.reference != wanted:
                located = self._locate(wanted)
                located.try_to_open()  # a model that crashes its library must not end what serves
                replaced = located.open()
            self._loaded[slot] = replaced
            if loaded is not None:
                self._replaced[slot] = loaded
        if slot == "champion":
            self._default_decides = nothing_counts


def _tell_skipped(lines: list[Line], observer: Observer) -> None:
    for line in lines:
        if line.event is None:
            log(HISTORY_LINE_SKIPPED, offset=line.offset, error=line.fault)
            observer.skipped(line.offset)
