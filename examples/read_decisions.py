"""Keeps a table of decisions, with a view of the current one on each application; it may be stopped at any moment.

    python examples/read_decisions.py localhost:9092 decisions.sqlite
    python examples/read_decisions.py localhost:9092 decisions.sqlite --reviews credit.reviews

The second command also keeps a table of reviews, with a view of the decisions of record. The program inserts the
records that it has read, then commits their offsets. If it is killed between the two, it reads the same records again,
which does not change the tables. Records that are neither decisions nor reviews are skipped and reported, and so are
batches of records that cannot be read.
"""

import argparse
import signal
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.records import Malformed, read_decision, timestamp_ms
from schemas.review import read_review
from schemas.unreadable import SEARCH_PROPERTIES, UNREADABLE, end_of_batch, passed_batch

FOLDER = Path(__file__).parent
CREATE_TABLES = [(FOLDER / name).read_text(encoding="utf-8") for name in ("decisions.sql", "reviews.sql")]
RECORD_DECISION = (FOLDER / "record_decision.sql").read_text(encoding="utf-8")
RECORD_REVIEW = (FOLDER / "record_review.sql").read_text(encoding="utf-8")


def main() -> None:
    """Reads until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers")
    parser.add_argument("database", help="an SQLite file")
    parser.add_argument("--topic", default="credit.decisions")
    parser.add_argument("--reviews", metavar="TOPIC", help="the topic of reviews, to read it too")
    parser.add_argument("--group", default="decisions-table")
    asked = parser.parse_args()
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    config: dict[str, str | bool] = {
        "bootstrap.servers": asked.servers,
        "group.id": asked.group,
        "isolation.level": "read_committed",  # skips decisions of aborted transactions
        "auto.offset.reset": "earliest",  # a new group starts with the first decision
        "enable.auto.commit": False,  # committed after the table is updated
        "check.crcs": True,  # a corrupt record is reported, and not entered
    }
    with closing(sqlite3.connect(asked.database)) as database:
        database.executescript("".join(CREATE_TABLES))
        while not stopping:
            with closing(Consumer(config)) as consumer:
                consumer.subscribe([asked.topic] if asked.reviews is None else [asked.topic, asked.reviews])
                failed = None
                while not stopping and failed is None:
                    messages = consumer.consume(1_000, 0.2)
                    enter(database, [message for message in messages if message.error() is None], asked.reviews)
                    failed = next((message for message in messages if message.error() is not None), None)
                    # Both commits are asynchronous: if one fails, the same records are read again.
                    if failed is not None:  # this consumer does not get past the batch: the next one begins after it
                        consumer.commit(offsets=[after_batch(config, failed)])
                    elif messages:
                        consumer.commit()


def enter(database: sqlite3.Connection, messages: Iterable[Message], reviews_topic: str | None) -> None:
    """Enters decisions and reviews: all of them, or none."""
    decisions: list[dict[str, object]] = []
    reviews: list[dict[str, object]] = []
    for message in messages:
        is_review = message.topic() == reviews_topic
        row = row_of_review(message) if is_review else row_of_decision(message)
        if row is not None:
            (reviews if is_review else decisions).append(row)
    with database:
        database.executemany(RECORD_DECISION, decisions)
        database.executemany(RECORD_REVIEW, reviews)


def after_batch(config: dict[str, str | bool], message: Message) -> TopicPartition:
    """Finds and reports the end of a batch of records that is corrupt, or too large once decompressed.

    Args:
        config: the properties of the reader.
        message: what the reader's consumer returned in place of the batch's records.

    Raises:
        KafkaException: it is another error.
        TimeoutError: the brokers do not answer.
    """
    error, topic, partition, first = message.error(), message.topic(), message.partition(), message.offset()
    if error is None or error.code() not in UNREADABLE or topic is None or partition is None or first is None:
        raise KafkaException(error)
    with closing(Consumer({**config, **SEARCH_PROPERTIES})) as consumer:

        def begin_at(offset: int) -> None:
            consumer.assign([TopicPartition(topic, partition, offset)])

        end = end_of_batch(topic, partition, first, begin_at, consumer.poll)
    sys.stderr.write(f"skipped {passed_batch(topic, partition, first, end, error)}\n")
    return TopicPartition(topic, partition, end)


def row_of_decision(message: Message) -> dict[str, object] | None:
    """A decision as a row; None if the record is not a decision."""
    decision = read_decision(message)
    if isinstance(decision, Malformed):
        sys.stderr.write(f"skipped {decision}\n")
        return None
    return {
        "written_partition": message.partition(),
        "written_offset": message.offset(),
        "written_at": timestamp_ms(message),
        "application_id": decision.application_id,
        "decision_id": decision.decision_id,
        "decision": decision.decision,
        "probability_of_default": decision.probability_of_default,
        "bundle": str(decision.bundle),
        "source_topic": decision.source_topic,
        "source_partition": decision.source_partition,
        "source_offset": decision.source_offset,
        "supersedes": decision.supersedes,
        "replay_id": decision.replay_id,
        "reasons": " ".join(decision.reasons),
    }


def row_of_review(message: Message) -> dict[str, object] | None:
    """A review as a row; None if the record is not a review."""
    review = read_review(message)
    if isinstance(review, Malformed):
        sys.stderr.write(f"skipped {review}\n")
        return None
    return {
        "written_offset": message.offset(),
        "review_id": review.review_id,
        "application_id": review.application_id,
        "decision_id": review.decision_id,
        "label": review.label,
        "reason": review.reason,
        "comment": review.comment or "",
        "reviewer": review.reviewer,
        "reviewed_at": review.at.isoformat(),
        "supersedes": review.supersedes or "",
        "needs_second": review.needs_second,
    }


if __name__ == "__main__":
    main()
