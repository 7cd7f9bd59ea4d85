"""What librdkafka itself does: faults of it that the code works around, so that a release without one is noticed."""

import subprocess
import sys
import textwrap

# librdkafka's own broker for tests, which its C interface starts; Python's client has no name for it.
_CALL = """
import ctypes, pathlib, sys
from confluent_kafka import Consumer, Producer, TopicPartition

loaded = pathlib.Path("/proc/self/maps").read_text().splitlines()
library = ctypes.CDLL(next(line.split()[-1] for line in loaded if "librdkafka" in line))
for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
    getattr(library, name).restype = ctypes.c_void_p
library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
client = library.rd_kafka_new(0, pointer(library.rd_kafka_conf_new()), None, 0)
cluster = pointer(library.rd_kafka_mock_cluster_new(pointer(client), 3))
servers = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
library.rd_kafka_mock_topic_create(cluster, text(b"t"), 1, 3)
library.rd_kafka_mock_coordinator_set(cluster, text(b"group"), text(b"g"), number(1))
library.rd_kafka_mock_coordinator_set(cluster, text(b"transaction"), text(b"x"), number(2))

consumer = Consumer({"bootstrap.servers": servers, "group.id": "g"})
producer = Producer({"bootstrap.servers": servers, "transactional.id": "x"})
producer.init_transactions(30)
producer.begin_transaction()
producer.produce("t", b"1")
producer.commit_transaction(30)
producer.begin_transaction()
if sys.argv[1] == "down":
    library.rd_kafka_mock_broker_set_down(cluster, number(1))
print("asking", flush=True)
producer.send_offsets_to_transaction([TopicPartition("t", 0, 1)], consumer.consumer_group_metadata(), 2.0)
print("answered", flush=True)
"""
_LIMIT_S = 2.0


def _ask(coordinator: str) -> tuple[bool, str]:
    """Whether `send_offsets_to_transaction` returned or raised long after its time limit, and what was printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_CALL), coordinator],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process:
        said = process.stdout.readline()
        try:
            process.wait(5 * _LIMIT_S)
            returned = True
        except subprocess.TimeoutExpired:
            returned = False
        process.kill()
        return returned, said + process.stdout.read()


def test_offsets_of_a_transaction_wait_without_a_limit() -> None:
    """With the group's coordinator away, the call does not return after its time limit (librdkafka#5456).

    Fails with the first librdkafka that returns: then `Watchdog` need not end a worker for this call any more, and the
    words about it in watchdog.py, kafka.py and delivery.py may go.
    """
    assert _ask("up") == (True, "asking\nanswered\n"), "the question itself is sound"
    assert _ask("down") == (False, "asking\n"), "librdkafka keeps the time limit: the workaround may go"
