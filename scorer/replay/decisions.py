"""The decisions topic, read back: of each application the decision that stands."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import compress
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import astuple
from pydantic import ValidationError

from schemas.decision import BundleReference
from scorer.core.policy import OUTCOMES
from scorer.errors import ReplayError
from scorer.replay.selection import BUNDLES_MAX, DECIDED, Decided, Selection
from scorer.settings import Settings
from scorer.stream.reading import Bounds, TopicReader
from scorer.stream.worker import Record

Tell = Callable[[int, int], None]
"""Told how far a reading has come: so many records of so many."""


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int


class _Decision(msgspec.Struct, gc=False):
    """What counts of a decision; the decoder skips the rest. Of the bundles, which are few, only the bytes are kept."""

    application_id: str
    decision: str
    probability_of_default: float
    bundle: msgspec.Raw
    source: _Source


_decode: Final = msgspec.json.Decoder(_Decision).decode
_PLACES: Final[dict[str, int]] = {outcome: place for place, outcome in enumerate(OUTCOMES)}


class DecisionTable:
    """Decisions in the order in which they were read, by column."""

    def __init__(self, topic: str, ids: Collection[str] | None = None) -> None:
        """Begins empty.

        Args:
            topic: the applications topic; decisions on records of another are passed over.
            ids: the only applications that are wanted; None wants all.
        """
        self.ids_found: set[str] = set()
        """Those of the wanted ids that a decision names."""
        self._topic = topic
        self._ids = None if ids is None else frozenset(ids)
        self._bundles: dict[BundleReference, int] = {}
        self._places: dict[bytes, int] = {}
        """Of a bundle as a decision spells it."""
        self._rows: list[Decided] = []

    def add(self, messages: Sequence[Record]) -> None:
        """Takes in some decisions.

        Raises:
            ReplayError: one is none, or there are more bundles than a replay can number.
        """
        values = [message.value() or b"" for message in messages]
        try:
            decisions = [astuple(_decode(value)) for value in values]
            ids, outcomes, probabilities, bundles, sources = zip(*decisions, strict=True)
            rows = np.empty(len(values), dtype=DECIDED)
            rows["outcome"] = [_PLACES[outcome] for outcome in outcomes]
            rows["bundle"] = [self._place(bytes(bundle)) for bundle in bundles]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValidationError):
            raise ReplayError(f"{_first_undecodable(messages)} is no decision: what else writes there?") from None
        topics, rows["partition"], rows["offset"] = zip(*map(astuple, sources), strict=True)
        rows["probability"] = probabilities
        rows["fingerprint"] = [hash(value) for value in values]
        wanted = [topic == self._topic for topic in topics]
        if self._ids is not None:
            wanted = [of_topic and i in self._ids for of_topic, i in zip(wanted, ids, strict=True)]
            self.ids_found.update(compress(ids, wanted))
        self._rows.append(rows if all(wanted) else rows[wanted])

    def standing(self) -> Selection:
        """Of each application the decision that was added last."""
        rows = np.concatenate([np.empty(0, dtype=DECIDED), *self._rows])
        rows = rows[np.lexsort((rows["offset"], rows["partition"]))]  # stable: of one application as they were read
        last = np.ones(len(rows), dtype=np.bool_)
        last[:-1] = (np.diff(rows["partition"]) != 0) | (np.diff(rows["offset"]) != 0)
        return Selection(self._topic, tuple(self._bundles), rows[last])

    def _place(self, spelled: bytes) -> int:
        place = self._places.get(spelled)
        if place is None:
            bundle = BundleReference.model_validate_json(spelled)
            place = self._places[spelled] = self._bundles.setdefault(bundle, len(self._bundles))
        if place >= BUNDLES_MAX:
            raise ReplayError(f"more than {BUNDLES_MAX} bundles have decided; narrow what is read with --since")
        return place


def read_standing(
    settings: Settings,
    ids: Collection[str] | None = None,
    since: datetime | None = None,
    tell: Tell = lambda *_: None,
    ids_found: set[str] | None = None,
) -> Selection:
    """Reads the decisions topic as it is now: of each application the decision that stands.

    All decisions on one application are in one partition, because they have its key, and the last of them stands.

    Args:
        settings: the topics.
        ids: the only applications that are wanted; None wants all.
        since: decisions published before it are not read; None reads all that there are.
        tell: told how far the reading has come.
        ids_found: is given those of the ids that a decision names.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
        ReplayError: something in it is no decision.
    """
    table = DecisionTable(settings.applications_topic, ids)
    with closing(TopicReader(settings, settings.decisions_topic)) as reader:
        bounds = reader.bounds()
        if since is not None:
            first = reader.offsets_at(since)
            bounds = {p: (first[p], end) for p, (_, end) in bounds.items()}
        for messages in counted(reader.read(bounds), bounds, tell):
            table.add(messages)
    if ids_found is not None:
        ids_found.update(table.ids_found)
    return table.standing()


def counted(batches: Iterator[list[Record]], bounds: Bounds, tell: Tell) -> Iterator[list[Record]]:
    """The same batches; tells how far they have come."""
    done, total = 0, sum(end - first for first, end in bounds.values())
    for messages in batches:
        yield messages
        done += len(messages)
        tell(done, total)
    # Offsets, of which transaction markers take up some, so that the records are fewer.
    tell(total, total)


def _first_undecodable(messages: Sequence[Record]) -> str:
    for message in messages:
        try:
            decision = _decode(message.value() or b"")
            _PLACES[decision.decision]
            BundleReference.model_validate_json(bytes(decision.bundle))
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValidationError):
            return f"{message.topic()}[{message.partition()}]@{message.offset()}"
    raise AssertionError("one of them failed a moment ago")
