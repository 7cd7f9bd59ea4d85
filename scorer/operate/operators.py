"""Transactions of operators: all who write the same data share a transactional id, so a later one fences an earlier."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.lossless import LOSSLESS
from schemas.rights import Kind, Right, missing
from scorer.errors import BrokerError, ScorerError
from scorer.settings import Settings
from scorer.stream.admin import lacking
from scorer.stream.explain import with_hint
from scorer.stream.librdkafka import client_config, translate_config_errors
from scorer.stream.rights import how_to_grant

WRITE_S: Final = 30.0
"""Timeout of one step of a transaction that a person waits for, in seconds."""
# Another operator has begun to write with the same transactional id. The error's fatal flag is no evidence of that:
# a missing permission, or a setting that the brokers reject, is fatal, too.
_FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


def open_writer(settings: Settings, transactional_id: str, options: dict[str, Any] | None = None) -> Producer:
    """Returns a transactional producer; the last one to begin fences all earlier ones.

    Args:
        settings: the brokers.
        transactional_id: shared by all who write the same data.
        options: additional librdkafka properties.

    Raises:
        SettingsError: a librdkafka property is invalid.
    """
    config: dict[str, Any] = {
        "transaction.timeout.ms": "30000",  # default; [kafka] can lower it if the brokers allow less
        **client_config(settings),
        "transactional.id": transactional_id,
        **LOSSLESS,
        **(options or {}),
    }
    with translate_config_errors():
        return Producer(config)


@contextmanager
def explain_errors(
    settings: Settings, conflict: ScorerError, describe: Callable[[str], str], needed: Sequence[Right]
) -> Iterator[None]:
    """Converts a writer's Kafka errors into errors that explain them.

    Args:
        settings: the writer's settings.
        conflict: raised if another operator has begun to write the same data.
        describe: returns the message for all other errors, given their explanation.
        needed: the rights that the writer needs.

    Raises:
        BrokerError: Kafka returns another error.
    """
    try:
        yield
    except KafkaException as failure:
        error = failure.args[0]
        if error.code() in _FENCED:
            raise conflict from failure
        raise BrokerError(describe(_explain(error, settings, needed))) from failure


def _explain(error: KafkaError, settings: Settings, needed: Sequence[Right]) -> str:
    """Explains an error. If a right to a topic is missing, the brokers report only that the transaction was aborted."""
    others = [right for right in needed if right.kind is not Kind.TOPIC]
    if not missing(others, error.code()) and (
        denied := lacking(settings, [right for right in needed if right.kind is Kind.TOPIC])
    ):
        return f"{error.str()}. {how_to_grant(settings, *denied)}"
    return with_hint(error, settings, *needed)
