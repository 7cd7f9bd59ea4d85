"""Keeps a table of decisions, with a view of the current one on each application; it may be stopped at any moment.

    python examples/read_decisions.py localhost:9092 decisions.sqlite

It inserts the records that it has read, then commits their offsets. If it is killed between the two, it reads the same
records again, which does not change the table. Records that are not decisions are skipped and reported.
"""

import argparse
import signal
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message

from schemas.records import Malformed, read_decision, timestamp_ms

CREATE_TABLE = Path(__file__).with_name("decisions.sql").read_text(encoding="utf-8")
RECORD_DECISION = Path(__file__).with_name("record_decision.sql").read_text(encoding="utf-8")


def main() -> None:
    """Reads until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers")
    parser.add_argument("database", help="an SQLite file")
    parser.add_argument("--topic", default="credit.decisions")
    parser.add_argument("--group", default="decisions-table")
    asked = parser.parse_args()
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": asked.servers,
            "group.id": asked.group,
            "isolation.level": "read_committed",  # skips decisions of aborted transactions
            "auto.offset.reset": "earliest",  # a new group starts with the first decision
            "enable.auto.commit": False,  # committed after the table is updated
        }
    )
    with closing(sqlite3.connect(asked.database)) as database, closing(consumer):
        database.executescript(CREATE_TABLE)
        consumer.subscribe([asked.topic])
        while not stopping:
            messages = consumer.consume(1_000, 0.2)
            if messages:
                enter(database, messages)
                consumer.commit()  # asynchronous: if it fails, the same records are read again


def enter(database: sqlite3.Connection, messages: Iterable[Message]) -> None:
    """Enters decisions: all of them, or none."""
    rows = [row for message in messages if (row := row_of(message)) is not None]
    with database:
        database.executemany(RECORD_DECISION, rows)


def row_of(message: Message) -> dict[str, object] | None:
    """A decision as a row; None if the record is not a decision."""
    error = message.error()
    if error is not None:
        raise KafkaException(error)
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
    }


if __name__ == "__main__":
    main()
