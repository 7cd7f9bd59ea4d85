"""A client whose requests fail is released, with its threads: a console without a broker connects again and again."""

import gc
import socket
from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from scorer.errors import BrokerError
from scorer.settings import Settings, load_settings
from scorer.stream.admin import admin_client
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.reader import Reader
from scorer.stream.requests import metadata_of

pytestmark = pytest.mark.slow
_WAIT_S = 0.1


def _metadata(settings: Settings) -> None:
    metadata_of(admin_client(settings), settings, _WAIT_S)


def _reader(settings: Settings) -> None:
    Reader(settings, ["topic"], {}, _WAIT_S)


def _offsets(settings: Settings) -> None:
    with closing(CommittedOffsets(settings)) as offsets:
        offsets.read([TopicPartition("topic", 0)], _WAIT_S)


@pytest.mark.parametrize("request_of", [_metadata, _reader, _offsets])
def test_no_client_stays(request_of: Callable[[Settings], None]) -> None:
    """It stayed if another request failed while the exception of the first one was handled."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nothing listens there
        servers = f"127.0.0.1:{bound.getsockname()[1]}"
        settings = load_settings({"bootstrap_servers": servers}, environment={}).settings
        before = _clients()
        with pytest.raises(BrokerError, match="cannot connect to Kafka at"):
            request_of(settings)
        assert _clients() <= before


def _clients() -> set[int]:
    gc.collect()
    return {id(tracked) for tracked in gc.get_objects() if isinstance(tracked, AdminClient | Consumer | Producer)}
