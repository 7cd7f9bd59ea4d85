"""An open loop: publishes applications at a fixed rate, regardless of whether the system keeps up.

`python -m benchmarks.openloop SERVERS TOPIC PREFIX RATE SECONDS` prints its start time, in seconds since 1970. The
application with number i was due i / RATE seconds later; a delay counts as latency, so that a pause cannot hide records
from the figures (coordinated omission).
"""

import sys
import time
from itertools import islice

from confluent_kafka import Producer

from benchmarks.applications import course_applications

_LEAD_S = 0.5
_STEP_S = 0.002


def main() -> None:
    """Publishes, waits until everything is delivered, and prints the start time."""
    servers, topic, prefix, rate, seconds = sys.argv[1:]
    count = int(float(rate) * float(seconds))
    records = [{"value": a.value, "key": a.key} for a in islice(course_applications(prefix), count)]
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",  # as our own publisher
        }
    )
    producer.list_topics(topic, timeout=10)
    began, sent = time.time() + _LEAD_S, 0
    while sent < count:
        due = min(int((time.time() - began) * float(rate)) + 1, count)
        if due > sent:
            assert producer.produce_batch(topic, records[sent:due]) == due - sent, "the queue was full"
            sent = due
        producer.poll(0)
        time.sleep(_STEP_S)
    producer.flush()
    print(began)


if __name__ == "__main__":
    main()
