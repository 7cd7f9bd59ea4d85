"""A worker's bundles, as the deployment history says: loaded in the background, switched between batches."""

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Final, Protocol, get_args

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.rights import Operation
from scorer.bundle.engine import with_engine
from scorer.core.score import Bundle
from scorer.errors import BundleError, UnsignedError
from scorer.logs import BUNDLE_LOAD_FAILED, DEPLOYMENT_RECORD_IGNORED, log
from scorer.settings import Settings
from scorer.store.entry import Located
from scorer.store.store import BundleStore
from scorer.store.trust import locate_trusted, require_signed
from scorer.stream.history import HistoryReader, fold
from scorer.stream.history_record import Line
from scorer.stream.load_failure import LoadFailure
from scorer.stream.observer import Observer

# How long a poll of the history waits, and so the longest that a deployment or a shutdown goes unnoticed.
_WAIT_S: Final = 0.5
# Pause before a failed load is retried: the store may have been unavailable.
_RETRY_S: Final = 10.0


class Bundles(Protocol):
    """Provides the champion and the challenger of each batch."""

    def current(self) -> Bundle:
        """Returns the champion for the next batch. Raises BrokerError if the history can no longer be followed."""
        ...

    def challenger(self) -> Bundle | None:
        """Returns the challenger for the next batch; None if there is no challenger."""
        ...

    def refused(self) -> str:
        """Returns why the deployed champion could not be loaded; empty if it is loaded."""
        ...

    def start(self, observer: Observer) -> None:
        """Starts following the deployment history."""
        ...

    def close(self) -> None:
        """Stops following the deployment history."""
        ...


class Pinned:
    """Always the same bundle, and no challenger; deployments are ignored."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def current(self) -> Bundle:
        """Returns the pinned bundle."""
        return self._bundle

    def challenger(self) -> None:
        """Returns None: there is no challenger."""

    def refused(self) -> str:
        """Returns an empty string: deployments are ignored."""
        return ""

    def start(self, observer: Observer) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


_SLOTS: Final[tuple[Slot, ...]] = get_args(Slot)


class Follower:
    """Follows the history in a background thread; the loop reads one reference per slot."""

    def __init__(self, settings: Settings, store: BundleStore, default: str) -> None:
        """Reads the history to its end and loads the champion, or the default if none was deployed.

        A challenger is loaded after `start`: nothing waits for it.

        Args:
            settings: the brokers and the topic of the history.
            store: the bundle store.
            default: the reference of the bundle that decides before the first deployment.

        Raises:
            BundleError: the champion cannot be loaded; no other bundle may decide instead.
            SettingsError, TopicsError, BrokerError: the history cannot be read.
        """
        self._store = store
        self._default = default
        self._engine = settings.engine
        self._shipped: set[BundleReference] = set()
        """The bundles that need no signature, because they are shipped with this package."""
        self._retry_at: dict[Slot, float] = {}
        """By slot whose bundle could not be loaded, when to retry."""
        self._replaced: dict[Slot, Bundle] = {}
        """By slot, its previous bundle: kept open, because rollbacks are urgent and the store may be unavailable."""
        self._load_failures: dict[Slot, LoadFailure] = {}
        """By slot, why the deployed bundle is not loaded. Written by the background thread."""
        self._stop = Event()
        self._following: Future[None] | None = None
        self._executor = ThreadPoolExecutor(1, "deployments")
        self._reader = HistoryReader(settings, Operation.READ, settings.broker_wait_s)
        try:
            self._lines = _without_contracts(self._reader.read_to_end())
            wanted = fold(self._lines).current("champion")
            self._default_decides = wanted is None
            located = self._locate(default if wanted is None else wanted)
            champion = with_engine(located.open(), self._engine)
            self._loaded: dict[Slot, Bundle] = {"champion": champion}
        except BaseException:
            self._reader.close()
            raise

    def current(self) -> Bundle:
        """Returns the champion for the next batch.

        Raises:
            BrokerError: the history can no longer be followed.
        """
        if self._following is not None and self._following.done():
            self._following.result()
        return self._loaded["champion"]

    def challenger(self) -> Bundle | None:
        """Returns the challenger for the next batch; None if there is no challenger."""
        return self._loaded.get("challenger")

    def refused(self) -> str:
        """Returns which deployed bundle could not be loaded, and why; empty if all are loaded.

        There is room for only one; the champion takes precedence.
        """
        failure = self._load_failures.get("champion") or self._load_failures.get("challenger")
        return "" if failure is None else failure.write()

    def start(self, observer: Observer) -> None:
        """Starts following, and reports the malformed records that were read so far."""
        _report_skipped(self._lines, observer)
        self._following = self._executor.submit(self._follow, observer)

    def close(self) -> None:
        """Stops following the deployment history."""
        self._stop.set()
        self._executor.shutdown()
        self._reader.close()

    def _follow(self, observer: Observer) -> None:
        self._catch_up("challenger", observer)
        while not self._stop.is_set():
            trust_changed = self._reader.begin_again()
            if trust_changed:
                self._require_trusted()
                self._lines = []
            lines = self._reader.read_to_end() if trust_changed else self._reader.next(_WAIT_S)
            _report_skipped(lines, observer)
            self._lines += _without_contracts(lines)
            for slot in _SLOTS:
                if lines or trust_changed or time.monotonic() >= self._retry_at.get(slot, math.inf):
                    self._catch_up(slot, observer)

    def _locate(self, wanted: BundleReference | str) -> Located:
        """Finds a bundle, and checks that it may be opened."""
        located = locate_trusted(self._store, wanted, self._reader.approvals.required_trust)
        if located.shipped:
            self._shipped.add(located.reference)
        return located

    def _require_trusted(self) -> None:
        """Checks that the loaded bundles are signed by keys that are now trusted.

        A deleted bundle keeps its signatures in the store. An unavailable store does not stop a worker.

        Raises:
            UnsignedError: the champion is not signed by such a key.
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
                log(BUNDLE_LOAD_FAILED, slot=slot, bundle=str(loaded.reference), error=str(error))

    def _catch_up(self, slot: Slot, observer: Observer) -> None:
        """Loads the current bundle of a slot, if it is not loaded already."""
        wanted = fold(self._lines).current(slot)
        try:
            self._load(slot, wanted)
        except Exception as error:
            if wanted is None:  # the deployed bundle is no longer valid, and no other may decide instead
                raise
            reason = str(error) if isinstance(error, BundleError) else repr(error)
            log(BUNDLE_LOAD_FAILED, slot=slot, bundle=str(wanted), error=reason)
            self._retry_at[slot] = time.monotonic() + _RETRY_S
            self._load_failures[slot] = LoadFailure(slot, str(wanted), reason)
            observer.refused(slot, wanted, reason)
        else:
            self._retry_at.pop(slot, None)
            self._load_failures.pop(slot, None)
            loaded = self._loaded.get(slot)
            observer.in_step(slot, None if loaded is None else loaded.reference)

    def _load(self, slot: Slot, wanted: BundleReference | None) -> None:
        loaded = self._loaded.get(slot)
        is_default = wanted is None
        if slot == "champion" and wanted is None:
            if self._default_decides:
                return
            wanted = self._locate(self._default).reference  # the deployed champion is no longer valid
        if wanted is None:
            self._loaded.pop(slot, None)
        elif loaded is None or wanted != loaded.reference:
            opened = self._replaced.get(slot)
            if opened is None or opened.reference != wanted:
                located = self._locate(wanted)
                located.open_in_child()  # a model that crashes its library must not end this process
                opened = with_engine(located.open(), self._engine)
            self._loaded[slot] = opened
            if loaded is not None:
                self._replaced[slot] = loaded
        if slot == "champion":
            self._default_decides = is_default


def _without_contracts(lines: list[Line]) -> list[Line]:
    """The lines that a worker keeps as long as it runs; contracts come with the bundles."""
    return [line.without_contract() for line in lines]


def _report_skipped(lines: list[Line], observer: Observer) -> None:
    for line in lines:
        if line.event is None:
            log(DEPLOYMENT_RECORD_IGNORED, offset=line.offset, error=line.fault)
            observer.skipped(line.offset)
