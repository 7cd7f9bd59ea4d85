"""The history of a run: what was published, decided, observed and done, as files that a checker reads afterwards.

Every entry has a time in seconds since the run began. The files are CSV, one per kind of entry, in the run's folder, so
that a run can be judged again, by other rules, long after its cluster is gone.
"""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, get_type_hints

import polars as pl

FAULT: Final = "fault"
HEALED: Final = "healed"
ACT: Final = "act"
NOTE: Final = "note"
ALL_PARTITIONS: Final = -1
UNKNOWN: Final = -1
TO_THE_END: Final = 2**62


class Published(NamedTuple):
    """A record that the brokers acknowledged."""

    number: int
    key: str
    partition: int
    offset: int
    """UNKNOWN where the first acknowledgement was lost: the one of the repetition does not say."""
    sent_s: float
    acked_s: float
    valid: bool


class Waiver(NamedTuple):
    """Records that the topic has lost, by the scenario's doing: whether they are decided does not matter."""

    at_s: float
    """Only what was acknowledged before."""
    partition: int
    """ALL_PARTITIONS for the whole topic."""
    first: int
    beyond: int
    """The first offset that is not waived any more; TO_THE_END for the rest of the partition."""

    def covers(self, partition: int, offset: int) -> bool:
        """Whether a record that was acknowledged before is among them."""
        return self.partition in {partition, ALL_PARTITIONS} and self.first <= offset < self.beyond


class Arrival(NamedTuple):
    """A decision or a dead letter in the hands of a read_committed reader, at the moment when it came."""

    kind: Literal["decision", "dead letter"]
    partition: int
    offset: int
    arrived_s: float


class Result(NamedTuple):
    """A decision or a dead letter as a second reader found it when all was over."""

    kind: Literal["decision", "dead letter"]
    partition: int
    offset: int
    number: int
    key: str
    source_partition: int
    source_offset: int


class Sample(NamedTuple):
    """What one worker said of itself, and what the system said of it."""

    at_s: float
    worker: int
    pid: int
    healthy: bool
    ready: bool
    partitions: str
    """Its assigned partitions, separated by spaces."""
    consumed: float
    """Records committed since the process began; below 0 where it did not answer."""
    rss_mb: float


class Offsets(NamedTuple):
    """Where the group stands in one partition of the applications topic, and where the partition ends."""

    at_s: float
    partition: int
    committed: int
    end: int


class Cause(StrEnum):
    """Who ended a worker's process."""

    ITSELF = "itself"
    KILLED = "SIGKILL of the scenario"
    STOPPED = "SIGTERM of the scenario"


class Exit(NamedTuple):
    """The end of a worker's process."""

    at_s: float
    worker: int
    pid: int
    code: int
    lived_s: float
    cause: Cause
    stopping_s: float
    """From the SIGTERM to the end; 0 where it had none."""
    reason: str
    """The last error that it logged."""
    last_lines: str


class Event(NamedTuple):
    """Something that the scenario did."""

    at_s: float
    kind: str
    """FAULT, HEALED, ACT (of an operator), or NOTE."""
    text: str


_KINDS: Final[dict[str, type[tuple[Any, ...]]]] = {
    "published": Published,
    "waivers": Waiver,
    "arrivals": Arrival,
    "results": Result,
    "samples": Sample,
    "offsets": Offsets,
    "exits": Exit,
    "events": Event,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


class Recorder:
    """Writes a history as it happens; any thread may call it.

    Attributes:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._began_at = time.monotonic()
        self._lock = Lock()
        self._closed = False
        self._files = {name: _path(folder, name).open("w", encoding="utf-8", newline="") for name in _KINDS}
        self._writers = {name: csv.writer(file, lineterminator="\n") for name, file in self._files.items()}
        for name, kind in _KINDS.items():
            self._writers[name].writerow(kind._fields)  # type: ignore[attr-defined]

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began_at

    def write(self, entry: Published | Waiver | Arrival | Result | Sample | Offsets | Exit | Event) -> None:
        """Adds an entry; one that comes after the run is over is dropped."""
        with self._lock:
            if self._closed:
                return
            self._writers[_NAMES[type(entry)]].writerow(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            for file in self._files.values():
                file.close()


@dataclass(frozen=True)
class History:
    """A run's history as it was recorded; each frame has the columns of the entry of its name."""

    published: pl.DataFrame
    arrivals: pl.DataFrame
    results: pl.DataFrame
    samples: pl.DataFrame
    offsets: pl.DataFrame
    waivers: tuple[Waiver, ...] = ()
    exits: tuple[Exit, ...] = ()
    events: tuple[Event, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what a Recorder wrote."""
        frames = {name: _read(folder, name) for name in _KINDS}
        waivers = tuple(Waiver(**row) for row in frames.pop("waivers").to_dicts())
        exits = tuple(Exit(**row | {"cause": Cause(row["cause"])}) for row in frames.pop("exits").to_dicts())
        events = tuple(Event(**row) for row in frames.pop("events").to_dicts())
        return cls(**frames, waivers=waivers, exits=exits, events=events)

    def faults(self) -> Iterator[tuple[float, float]]:
        """The times during which at least one fault was there: begin and healing."""
        depth, begin = 0, 0.0
        for event in self.events:
            if event.kind == FAULT:
                begin = event.at_s if depth == 0 else begin
                depth += 1
            elif event.kind == HEALED and depth:
                depth -= 1
                if depth == 0:
                    yield begin, event.at_s
        if depth:
            yield begin, float("inf")

    def healed_at_s(self) -> float | None:
        """When the last fault was healed, or an operator did what the workers asked for; None without either."""
        times = [event.at_s for event in self.events if event.kind in {HEALED, ACT}]
        return max(times, default=None)


def frame(name: str, *entries: tuple[Any, ...]) -> pl.DataFrame:
    """Entries of one kind as a frame, for histories that are made up in tests."""
    return pl.DataFrame(entries, schema=_schema(_KINDS[name]), orient="row")


def _read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(_path(folder, name), schema=_schema(_KINDS[name]), empty_string_is_null=False)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.csv"


def _schema(kind: type[tuple[Any, ...]]) -> dict[str, type[pl.DataType]]:
    types = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
    return {name: types.get(hint, pl.String) for name, hint in get_type_hints(kind).items()}
