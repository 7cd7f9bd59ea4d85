"""Faults of records: huge ones that compress well, odd timestamps, and backlogs of long ones."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from tests.chaos.faults.topics import SetConfig
from tests.chaos.history import Published
from tests.chaos.publisher import ID_HEADER, Load, producer_settings
from tests.chaos.scenario import Fault, Heal, nothing
from tests.chaos.stage import Stage
from tests.fakes import application

_FLUSH_S: Final = 60.0
_READY_S: Final = 120.0
_CAUGHT_UP_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class HugeRecords:
    """Records that are huge and compress to almost nothing stand among ordinary ones, each a dead letter to be."""

    sizes: tuple[tuple[str, int], ...]
    """Codec and bytes of each."""
    neighbours: int
    """Ordinary records around each of them."""

    def begin(self, stage: Stage) -> Heal:
        assert stage.scenario.load is not None
        for codec, size_bytes in self.sizes:
            stage.publish_now(self.neighbours // 2, stage.scenario.load)
            settings = {"compression.type": codec, "message.max.bytes": 100_000_000}
            left = publish_odd(stage, settings, partial(_huge, size_bytes), valid=False)
            stage.note(f"{size_bytes:,} bytes, {codec}: {'refused' if left else 'published'}")
            stage.publish_now(self.neighbours // 2, stage.scenario.load)
        return nothing


@dataclass(frozen=True, slots=True)
class OddTimestamps:
    """Valid applications whose timestamps are in seconds, in microseconds, or negative."""

    each: int

    def begin(self, stage: Stage) -> Heal:
        # By default brokers refuse what is more than an hour ahead.
        allow = SetConfig("applications", {"message.timestamp.after.max.ms": str(2**63 - 1)})
        allow.begin(stage)
        now_s = time.time()
        for name, timestamp in (
            ("seconds", int(now_s)),
            ("microseconds", int(now_s * 1e6)),
            ("one", 1),
            ("negative", -1_000),
            ("seconds before 1970", -int(now_s)),
        ):
            left = publish_odd(stage, {}, application, count=self.each, timestamp_ms=timestamp)
            stage.note(f"timestamps in {name} ({timestamp}): {self.each - left} of {self.each} taken by the brokers")
        return nothing


def _huge(size_bytes: int, _: str) -> bytes:
    return b"{%b}" % (b" " * (size_bytes - 2))


def publish_odd(
    stage: Stage,
    settings: Mapping[str, Any],
    value_of: Callable[[str], bytes],
    *,
    valid: bool = True,
    count: int = 1,
    timestamp_ms: int = 0,
) -> int:
    """Publishes records that the publisher does not make; returns how many the brokers refused.

    Args:
        stage: where to.
        settings: of the producer, besides the publisher's.
        value_of: given the application's id, the record's value.
        valid: whether these are valid applications.
        count: how many to publish.
        timestamp_ms: of each; 0 is the present.
    """
    producer = Producer(producer_settings(stage.cluster.direct) | dict(settings))
    refused: list[KafkaError] = []

    def confirm(number: int, key: str, sent_s: float, error: KafkaError | None, message: Message) -> None:
        partition, offset, now = message.partition() or 0, message.offset() or 0, stage.recorder.now()
        if error is not None:
            refused.append(error)
            return
        stage.recorder.write(Published(number, key, partition, offset, sent_s, now, valid))
        stage.ledger.acked(number, partition, offset)

    base = stage.ledger.open_page()
    for index in range(count):
        application_id = f"{base}-{index}"
        producer.produce(
            stage.names.applications,
            value_of(application_id),
            application_id,
            headers=[(ID_HEADER, application_id)],
            timestamp=timestamp_ms,
            on_delivery=partial(confirm, base + index, application_id, stage.recorder.now()),
        )
    producer.flush(_FLUSH_S)
    return len(refused) + len(producer)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records stand in the topic before the first worker starts; another fault may happen while they are decided."""

    count: int
    load: Load
    during: Fault | None = None
    after_s: float = 4.0
    hold_s: float = 0.0

    def begin(self, stage: Stage) -> Heal:
        began_at = time.monotonic()
        stage.publish_now(self.count, self.load)
        stage.note(f"backlog of {self.count:,} records published in {time.monotonic() - began_at:.0f} s")
        for _ in range(stage.scenario.workers.count):
            stage.add_worker()
        stage.wait_for(lambda: any(worker.progressed_at_s > 0 for worker in stage.workers), _READY_S)
        if self.during is not None:
            stage.sleep(self.after_s)
            heal = self.during.begin(stage)
            stage.sleep(self.hold_s)
            heal()
        return nothing


@dataclass(frozen=True, slots=True)
class BacklogDecided:
    """As Backlog, and over only when everything is decided."""

    backlog: Backlog

    def begin(self, stage: Stage) -> Heal:
        self.backlog.begin(stage)
        began_at = time.monotonic()
        stage.wait_for(lambda: stage.ledger.undecided() == 0, _CAUGHT_UP_S)
        stage.note(f"caught up after {time.monotonic() - began_at:.0f} s more")
        return nothing
