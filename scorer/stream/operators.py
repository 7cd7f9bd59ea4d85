"""Writing as an operator: who writes the same shares a transactional id, so that a later one fences an earlier one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.rights import Kind, Right, missing
from scorer.errors import BrokerError, ScorerError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.librdkafka import LOSSLESS, client_config, refuse_bad_config
from scorer.stream.rights import ask_operator
from scorer.stream.topics import lacking

WRITE_S: Final = 30.0
"""For one step of a transaction that a person waits for."""
# Somebody else has begun to write with the same transactional id. Not by the error's flag: a right that is missing, or
# a setting that the brokers refuse, is fatal, too.
_OVERTAKEN: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


def open_writer(settings: Settings, transactional_id: str, options: dict[str, Any] | None = None) -> Producer:
    """A producer of transactions, of which the last one to begin goes on alone.

    Args:
        settings: the brokers.
        transactional_id: what all who write the same share.
        options: librdkafka's properties besides.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    config: dict[str, Any] = {
        "transaction.timeout.ms": "30000",  # unless [kafka] says otherwise: brokers may allow less
        **client_config(settings),
        "transactional.id": transactional_id,
        **LOSSLESS,
        **(options or {}),
    }
    with refuse_bad_config():
        return Producer(config)


@contextmanager
def explain_refusals(
    settings: Settings, overtaken: ScorerError, refused: Callable[[str], str], needed: Sequence[Right]
) -> Iterator[None]:
    """Says what it means when Kafka refuses a writer.

    Args:
        settings: those of the writer.
        overtaken: raised where somebody else has begun to write the same.
        refused: given what Kafka says, the message of everything else.
        needed: the rights that the writer needs.

    Raises:
        BrokerError: Kafka refuses for another reason.
    """
    try:
        yield
    except KafkaException as failure:
        error = failure.args[0]
        if error.code() in _OVERTAKEN:
            raise overtaken from failure
        raise BrokerError(refused(_explain(error, settings, needed))) from failure


def _explain(error: KafkaError, settings: Settings, needed: Sequence[Right]) -> str:
    """What the brokers say. That a transaction was aborted is all that they say where a topic's right was missing."""
    others = [right for right in needed if right.kind is not Kind.TOPIC]
    if not missing(others, error.code()) and (
        denied := lacking(settings, [right for right in needed if right.kind is Kind.TOPIC])
    ):
        return f"{error.str()}. {ask_operator(settings, *denied)}"
    return with_hint(error, settings, *needed)
