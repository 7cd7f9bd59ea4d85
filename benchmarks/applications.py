"""The applications of the benchmarks: some thousands are drawn, and repeated under other ids."""

import re
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import NamedTuple

from confluent_kafka import Producer

from producer.generator import generate_applications
from scorer.settings import Settings

# Enough that no cache holds them all, few enough to be drawn in a second.
_DISTINCT = 20_000
_BATCH = 10_000


class Application(NamedTuple):
    """An application for the input topic."""

    key: bytes
    value: bytes


class Source(NamedTuple):
    """An application with the interface of a record."""

    content: bytes
    number: int

    def topic(self) -> str:
        return "applications"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes:
        return self.content


def course_applications(prefix: str | None = None) -> Iterator[Application]:
    """Generates applications of the shipped contract, without end and the same ones each time.

    Args:
        prefix: prefix of the ids, which is followed by a hyphen and the number; default: the generator's.
    """
    drawn = islice(generate_applications(seed=1, prefix=prefix), _DISTINCT)
    return repeat(Application(record.key, record.value) for record in drawn)


def repeat(distinct: Iterable[Application]) -> Iterator[Application]:
    """Yields the applications, then the same ones again and again, without end.

    Args:
        distinct: applications whose ids, which are their keys, end in their numbers: 0, 1 and so on. From the second
            time on, the numbers continue.
    """
    parts = []
    for number, application in enumerate(distinct):
        prefix = re.sub(rb"[0-9]+$", b"", application.key)
        head, quoted, tail = application.value.partition(b'"%s"' % application.key)
        assert quoted, "an application has its key as its id"
        assert application.key == b"%s%d" % (prefix, number), "the ids end in the numbers"
        parts.append((prefix, head, tail))
        yield application
    numbers = count(len(parts))
    while True:
        for (prefix, head, tail), number in zip(parts, numbers, strict=False):
            key = b"%s%d" % (prefix, number)
            yield Application(key, b'%s"%s"%s' % (head, key, tail))


def as_records(applications: Iterable[Application], records: int) -> list[Source]:
    """Returns the first of the applications as records."""
    return [Source(application.value, number) for number, application in enumerate(islice(applications, records))]


def publish(settings: Settings, applications: Iterable[Application], records: int) -> None:
    """Publishes the first of the applications, and waits until all are delivered."""
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
    )
    values = ({"value": a.value, "key": a.key} for a in islice(applications, records))
    while batch := list(islice(values, _BATCH)):
        assert producer.produce_batch(settings.applications_topic, batch) == len(batch), "the queue was full"
        producer.flush()
