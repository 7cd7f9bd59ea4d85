"""Requests of the brokers' admin interface that workers and operators make."""

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Final

from schemas.rights import Operation, Right, to_topic
from schemas.topics import BATCH_BYTES_DEFAULT
from scorer.errors import TopicsError
from scorer.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConfigEntry

ADMIN_S: Final = 10.0
"""Timeout of one request, in seconds."""


def admin_client(settings: Settings) -> "AdminClient":
    """Returns an admin client for the settings' brokers.

    Raises:
        SettingsError: a librdkafka property is unknown or invalid.
    """
    from confluent_kafka.admin import AdminClient

    from scorer.stream.librdkafka import client_config, translate_config_errors

    with translate_config_errors():
        return AdminClient(client_config(settings))


def batch_limits(settings: Settings, admin: "AdminClient") -> dict[str, int]:
    """Returns the maximum batch size of each output topic, in bytes; Kafka's default if this user may not read it.

    Raises:
        BrokerError: the brokers cannot be reached.
    """
    names = [settings.decisions_topic, settings.dead_letters_topic]
    try:
        return {
            name: int(config["max.message.bytes"]) for name, config in topic_configs(admin, settings, names).items()
        }
    except TopicsError:
        return dict.fromkeys(names, BATCH_BYTES_DEFAULT)


def lacking(settings: Settings, rights: Collection[Right]) -> list[Right]:
    """Returns those rights to topics that this client does not have; none if the brokers do not report them.

    Args:
        settings: the client's settings.
        rights: rights to read or to write topics.
    """
    from confluent_kafka import KafkaException, TopicCollection

    names = sorted({right.name for right in rights})
    if not names:
        return []
    admin = admin_client(settings)  # keep a reference: a deleted client answers no pending request
    described = admin.describe_topics(
        TopicCollection(names), include_authorized_operations=True, request_timeout=ADMIN_S
    )
    allowed: dict[str, set[str]] = {}
    for name, answer in described.items():
        try:
            allowed[name] = {operation.name for operation in answer.result().authorized_operations or ()}
        except KafkaException as failure:
            if failure.args[0].name() == "TOPIC_AUTHORIZATION_FAILED":
                allowed[name] = {""}
    return [right for right in rights if allowed.get(right.name) and right.operation.upper() not in allowed[right.name]]


def topic_configs(admin: "AdminClient", settings: Settings, names: list[str]) -> dict[str, dict[str, str]]:
    """Returns the configuration of each topic.

    Raises:
        BrokerError: the brokers cannot be reached.
        TopicsError: a topic cannot be described.
    """
    from confluent_kafka import KafkaException

    from scorer.stream.explain import with_hint
    from scorer.stream.requests import ask

    configs = {}
    for name in names:
        try:
            entries = ask(partial(_describe_config, admin, name), ADMIN_S)
        except KafkaException as error:
            explained = with_hint(error.args[0], settings, to_topic(Operation.DESCRIBE_CONFIGS, name))
            raise TopicsError(f"topic {name} cannot be described: {explained}") from error
        configs[name] = {entry: value.value or "" for entry, value in entries.items()}
    return configs


def _describe_config(admin: "AdminClient", name: str) -> "dict[str, ConfigEntry]":
    from confluent_kafka.admin import ConfigResource, ResourceType

    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)], request_timeout=ADMIN_S)
    (answer,) = futures.values()
    entries: dict[str, ConfigEntry] = answer.result()
    return entries
