"""The librdkafka settings in one place, each with its reason."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaException

from scorer.errors import SettingsError
from scorer.logs import LIBRDKAFKA_LOGGER
from scorer.settings import Settings

# How often a client reports on itself: often enough for readiness, seldom enough to cost nothing.
_STATISTICS_MS: Final = "5000"


def client_config(settings: Settings) -> dict[str, Any]:
    """What every client here starts from."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.instance_id or settings.group_id,
        # By default a broker that metadata leave out, as they do while it restarts, is dropped; sending a transaction's
        # offsets can then wait for the dropped one for ever, past its time limit (librdkafka 2.10 to 2.16).
        "metadata.recovery.strategy": "none",
        # librdkafka's own lines go through Python's logging instead of straight to stderr.
        "logger": logging.getLogger(LIBRDKAFKA_LOGGER),
        **settings.kafka,
    }


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The consumer's settings, each with its reason."""
    config: dict[str, Any] = {
        # A worker that joins or leaves moves only the partitions it must; the others go on working. Not so with an
        # instance id: a cooperative move takes two rounds, a static member that restarts between them is given what
        # the first round left it, no second one follows, and what it had given up is nobody's for good.
        "partition.assignment.strategy": "range" if settings.instance_id else "cooperative-sticky",
        # A killed worker's partitions wait this long for others; librdkafka's 45 s is long for a loan.
        "session.timeout.ms": "20000",
        "heartbeat.interval.ms": "3000",
        # By default a drained queue waits a second before it fetches again.
        "fetch.queue.backoff.ms": "5",
        # Backlog held in memory, per worker. Batches are taken from it.
        "queued.max.messages.kbytes": "32768",
        # Where the worker stands with its brokers, for readiness and the metrics.
        "statistics.interval.ms": _STATISTICS_MS,
        **client_config(settings),
        "group.id": settings.group_id,
        # Offsets are committed with the decisions, by `publish`, and in no other way.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to start is said in the assignment callback; an offset that has expired is an error, never a jump.
        "auto.offset.reset": "error",
        # Applications of aborted transactions were never sent; and unstable offsets must not be read (KIP-447).
        "isolation.level": "read_committed",
        # The end of a partition tells the position behind transaction markers.
        "enable.partition.eof": True,
    }
    if settings.instance_id:
        config["group.instance.id"] = settings.instance_id
    if _broker_assigns(config):
        for name in ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"):
            config.pop(name)  # with KIP-848 these are the broker's to say, and refused here
    return _without(config, PRODUCER_ONLY)


def assigns_incrementally(config: Mapping[str, Any]) -> bool:
    """Whether a consumer with these settings is told of the partitions that come and go, or of all of them anew."""
    return _broker_assigns(config) or config["partition.assignment.strategy"] == "cooperative-sticky"


def _broker_assigns(config: Mapping[str, Any]) -> bool:
    return bool(config.get("group.protocol", "classic").lower() == "consumer")


def producer_config(settings: Settings) -> dict[str, Any]:
    """The producer's settings, each with its reason."""
    config: dict[str, Any] = {
        # Of one key's decisions, the same partition as Java publishers choose.
        "partitioner": "murmur2_random",
        # A transaction that its dead worker left open holds up read_committed readers for this long.
        "transaction.timeout.ms": "30000",
        # A transaction that begins right after another is told to wait a moment; 100 ms is long for it.
        "retry.backoff.ms": "1",
        # A batch is one flush: it never waits for company.
        "linger.ms": "5",
        # How long brokers take to answer, for the metrics.
        "statistics.interval.ms": _STATISTICS_MS,
        # A dead letter holds the whole record, however long; the topic's own limit decides.
        "message.max.bytes": "20000000",
        **client_config(settings),
        # One batch must fit, with room for another.
        "queue.buffering.max.messages": str(2 * settings.batch_records_max + 1_000),
        "queue.buffering.max.kbytes": "2097151",
        "enable.idempotence": True,
        "acks": "all",
        # A confirmed delivery is counted by `flush`; only a failed one needs a call back.
        "delivery.report.only.error": True,
    }
    if settings.delivery == "exactly-once":
        # Stable with a static instance: its next life ends what this one left open. Zombies are fenced by the group's
        # generation in any case (KIP-447).
        config["transactional.id"] = f"{settings.group_id}-{settings.instance_id or uuid.uuid4().hex}"
    else:
        config.pop("transaction.timeout.ms")
    return _without(config, CONSUMER_ONLY)


# Properties under [kafka] that only one of the two clients takes; librdkafka warns about them in the other.
CONSUMER_ONLY: Final = (
    "session.", "heartbeat.", "fetch.", "queued.", "max.poll.", "group.", "partition.assignment.", "check.crcs",
)  # fmt: skip
PRODUCER_ONLY: Final = (
    "transaction.", "linger.", "queue.buffering.", "batch.", "compression.", "message.timeout.", "partitioner",
    "sticky.",
)  # fmt: skip


def _without(config: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.startswith(prefixes)}


@contextmanager
def refuse_bad_config() -> Iterator[None]:
    """Turns librdkafka's refusal of a property into a SettingsError that names it."""
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"the settings under [kafka] are wrong: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the settings under [kafka] are wrong: {error}") from error
