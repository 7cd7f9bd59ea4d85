"""The librdkafka settings in one place, each with its reason."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from confluent_kafka import Consumer, KafkaException

from schemas.lossless import LOSSLESS
from scorer.errors import SettingsError
from scorer.log_lines import LIBRDKAFKA_LOGGER
from scorer.settings import POLL_INTERVAL_MS, Settings
from scorer.stream.rights import transactional_prefix
from scorer.watchdog import Limits

# Compression ratio up to which `fetch_memory_mb` holds: brokers limit responses by their compressed size.
_COMPRESSION_MAX: Final = 100
# Maximum size of a decompressed batch; a larger one is unreadable (zstd only: with the other codecs, librdkafka
# decompresses batches of any size).
_DECOMPRESSED_BYTES_MAX: Final = 67_108_864
BATCH_BYTES: Final = 1_000_000
"""The largest batch that a producer sends to a partition, uncompressed: librdkafka's own default."""
# How long a transaction that a dead worker left open blocks read_committed readers.
_TRANSACTION_TIMEOUT_MS: Final = 30_000
# At-least-once: a delivery that is not acknowledged by then fails, and its records are polled again.
_MESSAGE_TIMEOUT_MS: Final = 60_000
# In addition to a delivery's own timeout: for the calls in progress, of 5 s each, and the abort.
_DELIVERY_MARGIN_S: Final = 15.0
# In addition to the shutdown timeout: for the last call in progress. Supervisors grant 30 s by default, and the
# shutdown timeout is 25 s.
_SHUTDOWN_MARGIN_S: Final = 3.0
# For the start, after a broker has answered: topics, offsets, a transaction that an earlier process left open.
_START_MARGIN_S: Final = 90.0
# Interval of the clients' statistics: short enough for readiness, long enough to cost nothing.
_STATISTICS_MS: Final = "5000"


def client_config(settings: Settings) -> dict[str, Any]:
    """Returns the properties that all clients share, each with its reason."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.instance_id or settings.group_id,
        # By default a broker that is missing in the metadata, as during its restart, is dropped; sending a
        # transaction's offsets can then wait for it forever, despite the timeout (librdkafka 2.10 to 2.16).
        "metadata.recovery.strategy": "none",
        # New partitions, and partitions that moved, are found within this time; by default five minutes.
        "topic.metadata.refresh.interval.ms": "10000",
        # After an outage, a connection is retried within this time; by default ten seconds.
        "reconnect.backoff.max.ms": "2000",
        # librdkafka logs through Python's logging instead of directly to stderr.
        "logger": logging.getLogger(LIBRDKAFKA_LOGGER),
        **settings.kafka,
    }


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Returns the consumer's properties, each with its reason."""
    config: dict[str, Any] = {
        # Cooperative: a worker that joins or leaves moves only the partitions it must; the others keep working. Not
        # with an instance id: a cooperative rebalance takes two rounds. A static member that restarts between them gets
        # what the first round left it, the second round is skipped, and what it gave up stays unassigned permanently.
        "partition.assignment.strategy": "range" if settings.instance_id else "cooperative-sticky",
        # How long a killed worker's partitions wait for another worker; librdkafka's 45 s is long for a loan.
        "session.timeout.ms": "20000",
        "heartbeat.interval.ms": "3000",
        # A worker that does not poll for this long loses its partitions, and a rebalance waits this long for a worker
        # that hangs. By default five minutes.
        "max.poll.interval.ms": str(POLL_INTERVAL_MS),
        # By default an empty queue waits a second before it fetches again.
        "fetch.queue.backoff.ms": "5",
        **bounded_fetch(settings),
        # State of the connections to brokers, for readiness and the metrics.
        "statistics.interval.ms": _STATISTICS_MS,
        **client_config(settings),
        "group.id": settings.group_id,
        # Offsets are committed with the results, only by `publish`.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # The assignment callback sets the start offsets; an expired offset is an error and never a silent jump.
        "auto.offset.reset": "error",
        # Applications of aborted transactions do not count as sent; and unstable offsets must not be read (KIP-447).
        "isolation.level": "read_committed",
        # The event at the end of a partition has the position after transaction markers.
        "enable.partition.eof": True,
        # A corrupt record must not be decided. By default checksums are not verified.
        "check.crcs": True,
    }
    if settings.instance_id:
        config["group.instance.id"] = settings.instance_id
    if _broker_assigns(config):
        for name in ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"):
            config.pop(name)  # with KIP-848 the broker sets these, and the client rejects them
    return _without(config, PRODUCER_ONLY)


def bounded_fetch(settings: Settings) -> dict[str, str]:
    """Returns the properties that keep fetched records within `fetch_memory_mb`, each with its reason."""
    # Half for a response of the brokers, which is decompressed as a whole; a quarter for the queue that it goes into,
    # which is filled up to its limit and by one more response; the rest for the two batches in progress, see
    # `batch_bytes`.
    response_bytes = str(settings.fetch_memory_mb * 1_000_000 // (2 * _COMPRESSION_MAX))
    return {
        "queued.max.messages.kbytes": str(settings.fetch_memory_mb * 1_000 // 4),
        "fetch.max.bytes": response_bytes,
        "fetch.message.max.bytes": response_bytes,
        "message.max.bytes": response_bytes,  # in a consumer: the minimum of fetch.max.bytes
        "receive.message.max.bytes": str(_DECOMPRESSED_BYTES_MAX),
    }


def batch_bytes(settings: Settings) -> int:
    """Returns the size up to which a batch grows with a backlog, in bytes: an eighth of `fetch_memory_mb`."""
    return settings.fetch_memory_mb * 1_000_000 // 8


def open_reader(settings: Settings, options: Mapping[str, Any]) -> Consumer:
    """Returns a consumer that reads without joining the group, and commits nothing by itself.

    Args:
        settings: the brokers and the group.
        options: additional librdkafka properties.

    Raises:
        SettingsError: a librdkafka property is invalid.
    """
    config: dict[str, Any] = {
        **bounded_fetch(settings),
        **client_config(settings),
        "group.id": settings.group_id,  # librdkafka requires one, even to read without a group
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        **options,
    }
    with translate_config_errors():
        return Consumer(config)


def assigns_incrementally(config: Mapping[str, Any]) -> bool:
    """Whether rebalances of a consumer with these properties are incremental (cooperative), not eager."""
    return _broker_assigns(config) or config["partition.assignment.strategy"] == "cooperative-sticky"


def _broker_assigns(config: Mapping[str, Any]) -> bool:
    return bool(config.get("group.protocol", "classic").lower() == "consumer")


def producer_config(settings: Settings, batch_bytes_max: int = BATCH_BYTES) -> dict[str, Any]:
    """Returns the producer's properties, each with its reason.

    Args:
        settings: the brokers and the delivery guarantee.
        batch_bytes_max: maximum size of a batch that the output topics accept, in bytes.
    """
    config: dict[str, Any] = {
        # Chooses the same partition for a key as Java producers do.
        "partitioner": "murmur2_random",
        "transaction.timeout.ms": str(_TRANSACTION_TIMEOUT_MS),
        # A transaction that begins right after another one has to retry after this time; 100 ms is long for it.
        "retry.backoff.ms": "1",
        # Every batch is flushed, so no record waits for others.
        "linger.ms": "5",
        # Response times of brokers, for the metrics.
        "statistics.interval.ms": _STATISTICS_MS,
        # A dead letter is a copy of its record, up to 16 MB; the topic's own limit decides.
        "message.max.bytes": "20000000",
        # A dead letter whose record arrived compressed may fit only when it is compressed; and decisions take a fifth
        # of the disk space.
        "compression.type": "lz4",
        **client_config(settings),
        # A topic rejects a batch that is larger than its max.message.bytes, whatever is in it.
        "batch.size": str(min(batch_bytes_max, int(settings.kafka.get("batch.size", BATCH_BYTES)))),
        # The largest batch must fit, with room for another.
        "queue.buffering.max.messages": str(2 * settings.batch_records_max + 1_000),
        "queue.buffering.max.kbytes": "2097151",
        **LOSSLESS,
        # `flush` counts acknowledged deliveries; only a failed one needs a callback.
        "delivery.report.only.error": True,
    }
    if settings.delivery == "exactly-once":
        # Stable with an instance id: after a restart, the worker aborts a transaction that it left open. Zombies are
        # fenced by the group's generation in any case (KIP-447).
        config["transactional.id"] = transactional_id(settings)
    else:
        config.pop("transaction.timeout.ms")
        config.setdefault("message.timeout.ms", str(_MESSAGE_TIMEOUT_MS))
    return _without(config, CONSUMER_ONLY)


def transactional_id(settings: Settings) -> str:
    """Returns `group/instance`, each percent-encoded: it is unique across the workers of all groups.

    With a separator that both parts may contain, group `a` with instance `b-0` and group `a-b` with instance `0` would
    fence each other. A right on the prefix `group/` covers all workers of the group and no others.
    """
    return f"{transactional_prefix(settings)}{quote(settings.instance_id or uuid.uuid4().hex, safe='')}"


def limits(settings: Settings) -> Limits:
    """Returns the time limits of a worker's activities."""
    if settings.delivery == "exactly-once":
        delivery_ms = int(settings.kafka.get("transaction.timeout.ms", _TRANSACTION_TIMEOUT_MS))
    else:
        delivery_ms = int(settings.kafka.get("message.timeout.ms", _MESSAGE_TIMEOUT_MS))
    poll_s = int(settings.kafka.get("max.poll.interval.ms", POLL_INTERVAL_MS)) / 1_000
    delivery_s = delivery_ms / 1_000 + _DELIVERY_MARGIN_S
    return Limits(
        start_s=settings.broker_wait_s + _START_MARGIN_S,
        # After it the group has reassigned the partitions. A poll can wait for a delivery.
        poll_s=max(poll_s, delivery_s + _DELIVERY_MARGIN_S),
        delivery_s=delivery_s,
        shutdown_s=settings.shutdown_timeout_s + _SHUTDOWN_MARGIN_S,
    )


def stalled_after(settings: Settings) -> tuple[float, float]:
    """Returns the ages from which a poll and a delivery count as stalled, in seconds: before the process is ended."""
    poll_s = int(settings.kafka.get("max.poll.interval.ms", POLL_INTERVAL_MS)) / 2_000
    return poll_s, limits(settings).delivery_s - _DELIVERY_MARGIN_S


# Properties under [kafka] that only one of the two clients accepts; librdkafka warns about them in the other.
CONSUMER_ONLY: Final = (
    "session.", "heartbeat.", "fetch.", "receive.message.", "queued.", "max.poll.", "group.",
    "partition.assignment.", "check.crcs",
)  # fmt: skip
PRODUCER_ONLY: Final = (
    "transaction.", "linger.", "queue.buffering.", "batch.", "compression.", "message.timeout.", "partitioner",
    "sticky.",
)  # fmt: skip


def _without(config: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.startswith(prefixes)}


@contextmanager
def translate_config_errors() -> Iterator[None]:
    """Converts librdkafka's error about a property into a SettingsError that names it."""
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"invalid setting under [kafka]: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"invalid setting under [kafka]: {error}") from error
