"""librdkafka's own mock cluster with the requests that it fails on demand, which Python's client does not offer."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from typing import Final

PRODUCE: Final = 0
"""The API key of a request to write."""
_PRODUCER: Final = 0
_BROKER: Final = 1


class MockCluster:
    """One broker in this process.

    Attributes:
        servers: its bootstrap.servers.
    """

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        self._library, self._handle = library, handle
        self.servers: str = library.rd_kafka_mock_cluster_bootstraps(handle).decode()

    def create_topic(self, name: str) -> None:
        """Creates a topic of one partition."""
        self._call("rd_kafka_mock_topic_create", name.encode(), 1, 1)

    def delay(self, milliseconds: int) -> None:
        """Makes the broker answer so much later."""
        self._call("rd_kafka_mock_broker_set_rtt", _BROKER, milliseconds)

    def refuse_next(self, api_key: int, error: int) -> None:
        """Refuses the next request of a kind with an error, without doing what it asks for."""
        self._library.rd_kafka_mock_push_request_errors(ctypes.c_void_p(self._handle), api_key, 1, error)

    def _call(self, name: str, *arguments: object) -> None:
        failed = getattr(self._library, name)(ctypes.c_void_p(self._handle), *arguments)
        assert failed == 0, f"{name} fails with {failed}"


@contextmanager
def mock_cluster() -> Iterator[MockCluster]:
    """A cluster that is gone at the end."""
    (path,) = (file.locate() for file in files("confluent-kafka") or () if file.name.startswith("librdkafka-"))
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    reason = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", reason, len(reason))
    client = library.rd_kafka_new(_PRODUCER, configuration, reason, len(reason))
    assert client, reason.value.decode()
    cluster = library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), 1)
    try:
        yield MockCluster(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(ctypes.c_void_p(client))
