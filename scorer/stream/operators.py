"""Writing as an operator: who writes the same shares a transactional id, so that a later one fences an earlier one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from scorer.errors import BrokerError, ScorerError
from scorer.settings import Settings
from scorer.stream.faults import Fault, triage
from scorer.stream.librdkafka import client_config, refuse_bad_config

WRITE_S: Final = 30.0
"""For one step of a transaction that a person waits for."""


def open_writer(settings: Settings, transactional_id: str, options: dict[str, Any] | None = None) -> Producer:
    """A producer of transactions, of which the last one to begin goes on alone.

    Args:
        settings: the brokers.
        transactional_id: what all who write the same share.
        options: librdkafka's properties besides.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    config: dict[str, Any] = client_config(settings) | {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": "30000",
        "enable.idempotence": True,
        "acks": "all",
        **(options or {}),
    }
    with refuse_bad_config():
        return Producer(config)


@contextmanager
def explain_refusals(overtaken: ScorerError, refused: Callable[[str], str]) -> Iterator[None]:
    """Says what it means when Kafka refuses a writer.

    Args:
        overtaken: raised where somebody else has begun to write the same.
        refused: given what Kafka says, the message of everything else.

    Raises:
        BrokerError: Kafka refuses for another reason.
    """
    try:
        yield
    except KafkaException as failure:
        error = failure.args[0]
        if triage(error) is Fault.FATAL:
            raise overtaken from failure
        raise BrokerError(refused(error.str())) from failure
