"""Keeps a table of what was decided on each application: a reader of decisions that may be stopped at any moment.

    python examples/read_decisions.py localhost:9092 decisions.sqlite

It enters what it has read, then commits how far it has come. If it is killed between the two, it reads the same again,
and the table stays as it is: `record_decision.sql` sees to that, and to corrections.
"""

import argparse
import json
import signal
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message

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
            "isolation.level": "read_committed",  # what an aborted transaction wrote was never decided
            "auto.offset.reset": "earliest",  # a new group begins with the first decision
            "enable.auto.commit": False,  # the table first
        }
    )
    with closing(sqlite3.connect(asked.database)) as database, closing(consumer):
        database.executescript(CREATE_TABLE)
        consumer.subscribe([asked.topic])
        while not stopping:
            messages = consumer.consume(1_000, 0.2)
            if messages:
                enter(database, messages)
                consumer.commit()  # does not wait: should it fail, the same is read again


def enter(database: sqlite3.Connection, messages: Iterable[Message]) -> None:
    """Enters decisions in the order in which they were read: all of them, or none."""
    with database:
        database.executemany(RECORD_DECISION, map(row_of, messages))


def row_of(message: Message) -> dict[str, object]:
    """A decision as a row."""
    error = message.error()
    if error is not None:
        raise KafkaException(error)
    decision = json.loads(message.value() or b"")
    headers = dict(message.headers() or ())
    bundle = decision["bundle"]
    return {
        "application_id": decision["application_id"],
        "decision_id": decision["decision_id"],
        "decision": decision["decision"],
        "probability_of_default": decision["probability_of_default"],
        "bundle": f"{bundle['name']}:{bundle['version']}@{bundle['digest']}",
        "source_offset": decision["source"]["offset"],
        "written_offset": message.offset(),
        "supersedes": text(headers.get("supersedes")),
        "replay_id": text(headers.get("replay-id")),
    }


def text(header: str | bytes | None) -> str:
    """A header's value; empty where there is none."""
    return header.decode() if isinstance(header, bytes) else header or ""


if __name__ == "__main__":
    main()
