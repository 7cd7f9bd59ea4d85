"""The first word with the brokers: what topics they have, or why none of them answers."""

import time
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.librdkafka import client_config

# After so long without an answer it is asked why, and asked again if the reason is one that may pass.
_ATTEMPT_S: Final = 5.0
_REASON_S: Final = 2.0
# A wrong password or authority stays wrong.
_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})


def metadata_of(
    client: AdminClient | Consumer | Producer, settings: Settings, wait_s: float, topic: str | None = None
) -> ClusterMetadata:
    """What the brokers say of themselves and of their topics.

    Args:
        client: asks.
        settings: those that the client was made with.
        wait_s: for how long to wait for an answer; where TLS or the password is refused it does not take as long.
        topic: the only one to ask for; None asks for all.

    Raises:
        BrokerError: no broker answers, and why.
    """
    ends_at = time.monotonic() + wait_s
    while True:
        try:
            return client.list_topics(topic, timeout=max(0.0, min(_ATTEMPT_S, ends_at - time.monotonic())))
        except KafkaException as failure:
            reason = _reason(settings)
            if time.monotonic() >= ends_at or (reason is not None and reason.code() in _REFUSALS):
                raise BrokerError(unreachable(settings, (reason or failure.args[0]).str())) from failure


def unreachable(settings: Settings, why: str) -> str:
    """The message for brokers that do not answer."""
    return (
        f"no Kafka broker answers at {settings.bootstrap_servers} ({why}): is it running, is bootstrap_servers right, "
        "and do security.protocol and the sasl.* properties under [kafka] fit it?"
    )


def _reason(settings: Settings) -> KafkaError | None:
    """Why no broker answers, as a client's events say it: they name TLS and passwords, a failed call does not."""
    events: list[KafkaError] = []
    config: dict[str, Any] = {**client_config(settings), "error_cb": events.append}
    admin = AdminClient(config)
    with suppress(KafkaException):
        admin.list_topics(timeout=_REASON_S)
    admin.poll(0)
    return next((event for event in events if event.code() != KafkaError._ALL_BROKERS_DOWN), None)
