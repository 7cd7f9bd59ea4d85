"""The librdkafka settings in one place, each with its reason."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from confluent_kafka import KafkaException

from scorer.errors import SettingsError
from scorer.logs import LIBRDKAFKA_LOGGER
from scorer.settings import POLL_INTERVAL_MS, Settings
from scorer.stream.rights import transactional_prefix
from scorer.watchdog import Limits

# How far records compress for which `fetch_memory_mb` holds: brokers limit answers by their compressed size.
_COMPRESSION_MAX: Final = 100
# No batch takes more once it is decompressed: one that would is unreadable (zstd; of the other codecs librdkafka
# decompresses whatever comes).
_DECOMPRESSED_BYTES_MAX: Final = 67_108_864
BATCH_BYTES: Final = 1_000_000
"""The largest batch that a producer sends to a partition, uncompressed: librdkafka's own default."""
# A transaction that its dead worker left open holds up read_committed readers for this long.
_TRANSACTION_TIMEOUT_MS: Final = 30_000
# At least once: a delivery that is not confirmed by then is given up, and its records are polled again.
_MESSAGE_TIMEOUT_MS: Final = 60_000
# After a delivery's own timeout: for the calls that were under way, of 5 s each, and the abort.
_DELIVERY_MARGIN_S: Final = 15.0
# After the time that a batch has: for the last call that was under way. Supervisors grant 30 s by default, and the
# time for a batch is 25 s.
_SHUTDOWN_MARGIN_S: Final = 3.0
# At start, after a broker has answered: topics, offsets, a transaction that an earlier process left open.
_START_MARGIN_S: Final = 90.0
# How often a client reports on itself: often enough for readiness, seldom enough to cost nothing.
_STATISTICS_MS: Final = "5000"


# Properties of a producer that loses and repeats nothing that it reports as written, each with its reason.
LOSSLESS: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    # librdkafka takes a batch that succeeds for the proof that the one before it was written. It was not where the
    # broker refused it and became the partition's leader in between: a new partition, or one that moves.
    "max.in.flight.requests.per.connection": 1,
}


def client_config(settings: Settings) -> dict[str, Any]:
    """What every client here starts from."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.instance_id or settings.group_id,
        # By default a broker that metadata leave out, as they do while it restarts, is dropped; sending a transaction's
        # offsets can then wait for the dropped one for ever, past its time limit (librdkafka 2.10 to 2.16).
        "metadata.recovery.strategy": "none",
        # New partitions, and partitions that moved, are found within this time; by default five minutes.
        "topic.metadata.refresh.interval.ms": "10000",
        # After an outage a connection is tried again within this time; by default ten seconds.
        "reconnect.backoff.max.ms": "2000",
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
        # A worker that does not poll for so long loses its partitions; and a rebalance waits so long for one that
        # hangs. By default five minutes.
        "max.poll.interval.ms": str(POLL_INTERVAL_MS),
        # By default a drained queue waits a second before it fetches again.
        "fetch.queue.backoff.ms": "5",
        **bounded_fetch(settings),
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
        # A damaged record is not decided from its damaged bytes. By default checksums are not compared.
        "check.crcs": True,
    }
    if settings.instance_id:
        config["group.instance.id"] = settings.instance_id
    if _broker_assigns(config):
        for name in ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"):
            config.pop(name)  # with KIP-848 these are the broker's to say, and refused here
    return _without(config, PRODUCER_ONLY)


def bounded_fetch(settings: Settings) -> dict[str, str]:
    """What keeps fetched records within `fetch_memory_mb`, each with its reason."""
    # Half for an answer of the brokers, which is decompressed whole; a quarter for the queue that it goes into, which
    # is filled up to its limit and by one more answer; the rest for the two batches in hand.
    answer_bytes = str(settings.fetch_memory_mb * 1_000_000 // (2 * _COMPRESSION_MAX))
    return {
        "queued.max.messages.kbytes": str(settings.fetch_memory_mb * 1_000 // 4),
        "fetch.max.bytes": answer_bytes,
        "fetch.message.max.bytes": answer_bytes,
        "message.max.bytes": answer_bytes,  # of a consumer: the least that fetch.max.bytes may be
        "receive.message.max.bytes": str(_DECOMPRESSED_BYTES_MAX),
    }


def assigns_incrementally(config: Mapping[str, Any]) -> bool:
    """Whether a consumer with these settings is told of the partitions that come and go, or of all of them anew."""
    return _broker_assigns(config) or config["partition.assignment.strategy"] == "cooperative-sticky"


def _broker_assigns(config: Mapping[str, Any]) -> bool:
    return bool(config.get("group.protocol", "classic").lower() == "consumer")


def producer_config(settings: Settings, batch_bytes_max: int = BATCH_BYTES) -> dict[str, Any]:
    """The producer's settings, each with its reason.

    Args:
        settings: the brokers and how to deliver.
        batch_bytes_max: what the output topics take in one batch, in bytes.
    """
    config: dict[str, Any] = {
        # Of one key's decisions, the same partition as Java publishers choose.
        "partitioner": "murmur2_random",
        "transaction.timeout.ms": str(_TRANSACTION_TIMEOUT_MS),
        # A transaction that begins right after another is told to wait a moment; 100 ms is long for it.
        "retry.backoff.ms": "1",
        # A batch is one flush: it never waits for company.
        "linger.ms": "5",
        # How long brokers take to answer, for the metrics.
        "statistics.interval.ms": _STATISTICS_MS,
        # A dead letter is a copy of its record, up to 16 MB; the topic's own limit decides.
        "message.max.bytes": "20000000",
        # A dead letter that came in compressed may fit only when it is compressed; and decisions take a fifth of the
        # disk.
        "compression.type": "lz4",
        **client_config(settings),
        # A topic refuses a batch that is larger than its max.message.bytes, whatever is in it.
        "batch.size": str(min(batch_bytes_max, int(settings.kafka.get("batch.size", BATCH_BYTES)))),
        # One batch must fit, with room for another.
        "queue.buffering.max.messages": str(2 * settings.batch_records_max + 1_000),
        "queue.buffering.max.kbytes": "2097151",
        **LOSSLESS,
        # A confirmed delivery is counted by `flush`; only a failed one needs a call back.
        "delivery.report.only.error": True,
    }
    if settings.delivery == "exactly-once":
        # Stable with a static instance: its next life ends what this one left open. Zombies are fenced by the group's
        # generation in any case (KIP-447).
        config["transactional.id"] = transactional_id(settings)
    else:
        config.pop("transaction.timeout.ms")
        config.setdefault("message.timeout.ms", str(_MESSAGE_TIMEOUT_MS))
    return _without(config, CONSUMER_ONLY)


def transactional_id(settings: Settings) -> str:
    """`group/instance`, each percent-encoded: no two workers of any two groups have the same one.

    Joined by a character that both parts may hold, group `a` with instance `b-0` and group `a-b` with instance `0`
    would fence each other. A right on the prefix `group/` covers all workers of the group and no others.
    """
    return f"{transactional_prefix(settings)}{quote(settings.instance_id or uuid.uuid4().hex, safe='')}"


def limits(settings: Settings) -> Limits:
    """How long what a worker does may take, with these settings."""
    if settings.delivery == "exactly-once":
        delivery_ms = int(settings.kafka.get("transaction.timeout.ms", _TRANSACTION_TIMEOUT_MS))
    else:
        delivery_ms = int(settings.kafka.get("message.timeout.ms", _MESSAGE_TIMEOUT_MS))
    poll_s = int(settings.kafka.get("max.poll.interval.ms", POLL_INTERVAL_MS)) / 1_000
    delivery_s = delivery_ms / 1_000 + _DELIVERY_MARGIN_S
    return Limits(
        start_s=settings.broker_wait_s + _START_MARGIN_S,
        # Past it the group has given the partitions to others. A poll can wait for a delivery.
        poll_s=max(poll_s, delivery_s + _DELIVERY_MARGIN_S),
        delivery_s=delivery_s,
        shutdown_s=settings.drain_s + _SHUTDOWN_MARGIN_S,
    )


def stalled_after(settings: Settings) -> tuple[float, float]:
    """From what age on a poll and a delivery count as stalled, in seconds: earlier than the process is ended."""
    poll_s = int(settings.kafka.get("max.poll.interval.ms", POLL_INTERVAL_MS)) / 2_000
    return poll_s, limits(settings).delivery_s - _DELIVERY_MARGIN_S


# Properties under [kafka] that only one of the two clients takes; librdkafka warns about them in the other.
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
def refuse_bad_config() -> Iterator[None]:
    """Turns librdkafka's refusal of a property into a SettingsError that names it."""
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"the settings under [kafka] are wrong: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the settings under [kafka] are wrong: {error}") from error
