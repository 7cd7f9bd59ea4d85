"""The topics and their settings, as a table: `ensure` creates what is missing, `check` compares."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from schemas.rights import Operation, Right, to_topic
from scorer.errors import TopicsError
from scorer.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConfigEntry

_MONTH_MS: Final = 30 * 24 * 3_600_000
# Room for the headers that a dead letter has beside the record's own.
DEAD_LETTER_OVERHEAD_BYTES: Final = 65_536
BATCH_BYTES_DEFAULT: Final = 1_048_588
"""Kafka's own default of a topic's max.message.bytes."""
_ADMIN_TIMEOUT_S: Final = 10.0
# A topic that was created a moment ago is not known to every broker yet.
_NEW_TOPICS_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be. A config value of `check` may be greater than what stands here, never less."""

    name: str
    partitions: int
    config: Mapping[str, str]


def contract(settings: Settings, partitions: int) -> list[Topic]:
    """The topics of these settings.

    Args:
        settings: for the names.
        partitions: of the applications topic; at most as many workers as this share the work.
    """
    bytes_max = BATCH_BYTES_DEFAULT  # written down because the dead letters' limit depends on it
    return [
        Topic(
            settings.applications_topic,
            partitions,
            {"cleanup.policy": "delete", "retention.ms": str(_MONTH_MS), "max.message.bytes": str(bytes_max)},
        ),
        # Reg B, 12 CFR 1002.12(b): records of applications are kept for 25 months after notice of the action taken.
        Topic(
            settings.decisions_topic,
            partitions,
            {"cleanup.policy": "delete", "retention.ms": str(25 * 31 * 24 * 3_600_000)},
        ),
        Topic(
            settings.dead_letters_topic,
            1,
            {
                "cleanup.policy": "delete",
                "retention.ms": str(3 * _MONTH_MS),
                "max.message.bytes": str(bytes_max + DEAD_LETTER_OVERHEAD_BYTES),
            },
        ),
        Topic(settings.deployments_topic, 1, {"cleanup.policy": "delete", "retention.ms": "-1"}),
    ]


def admin_client(settings: Settings) -> "AdminClient":
    """An admin client for the settings' brokers.

    Raises:
        SettingsError: a librdkafka property is unknown or wrong.
    """
    from confluent_kafka.admin import AdminClient

    from scorer.stream.librdkafka import client_config, refuse_bad_config

    with refuse_bad_config():
        return AdminClient(client_config(settings))


def ensure(settings: Settings, partitions: int, replication: int) -> list[str]:
    """Creates the topics that are missing.

    Args:
        settings: the names and the brokers.
        partitions: of the applications and decisions topics.
        replication: copies of each record; with three or more, writes need all but one of them.

    Returns:
        The names created.

    Raises:
        BrokerError: the brokers cannot be reached, or refuse.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.cimpl import NewTopic

    from scorer.stream.explain import with_hint

    admin = admin_client(settings)
    existing = _existing(admin, settings, wait_s=0)
    in_sync = str(max(1, replication - 1))
    missing = [topic for topic in contract(settings, partitions) if topic.name not in existing]
    if not missing:
        return []
    futures = admin.create_topics(
        [
            NewTopic(
                t.name,
                num_partitions=t.partitions,
                replication_factor=replication,
                config={**t.config, "min.insync.replicas": in_sync},
            )
            for t in missing
        ]
    )
    created = []
    for name, future in futures.items():
        try:
            future.result(_ADMIN_TIMEOUT_S)
        except KafkaException as failure:
            error = failure.args[0]
            # Another `ensure` at the same moment did it, or this user may create topics and not see them.
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                explained = with_hint(error, settings, to_topic(Operation.CREATE, name))
                raise TopicsError(f"topic {name} could not be created: {explained}") from failure
        else:
            created.append(name)
    return created


def check(settings: Settings, read: Collection[str] = ()) -> list[str]:
    """Compares the topics with the contract.

    Args:
        settings: the topics.
        read: those that the caller wants to read besides, for the message if a right to one is missing.

    Returns:
        A sentence for each difference that matters; none means that all is well.

    Raises:
        BrokerError: the brokers cannot be reached, or refuse.
    """
    from scorer.stream.reaching import why_unlisted

    admin = admin_client(settings)
    existing = _existing(admin, settings)
    found: list[str] = []
    configs = _configs(admin, settings, [t.name for t in contract(settings, 1) if t.name in existing])
    for topic in contract(settings, partitions=1):
        if topic.name not in existing:
            right = to_topic(Operation.READ if topic.name in read else Operation.DESCRIBE, topic.name)
            found.append(why_unlisted(admin, settings, right, _ADMIN_TIMEOUT_S))
            continue
        found += _differences(topic, configs[topic.name])
    if settings.deployments_topic in existing and existing[settings.deployments_topic] != 1:
        found.append(f"topic {settings.deployments_topic} must have one partition; its order is the history")
    return found + _dead_letters_fit(settings, configs)


def _differences(topic: Topic, config: Mapping[str, str]) -> list[str]:
    found = []
    policy = config.get("cleanup.policy", "")
    if "compact" in policy:
        found.append(f"topic {topic.name} has cleanup.policy={policy}: compaction loses records; set delete")
    wanted, actual = int(topic.config["retention.ms"]), int(config.get("retention.ms", "-1"))
    if actual != -1 and (wanted == -1 or actual < wanted):
        days = "for ever" if wanted == -1 else f"{wanted // 86_400_000} days"
        found.append(f"topic {topic.name} keeps records {actual // 86_400_000} days; the contract says {days}")
    return found


def _dead_letters_fit(settings: Settings, configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A dead letter holds the whole record; where its topic does not take it, it points to the record instead."""
    topics = (settings.applications_topic, settings.dead_letters_topic)
    if any(name not in configs for name in topics):
        return []
    taken, kept = (int(configs[name]["max.message.bytes"]) for name in topics)
    if kept >= taken + DEAD_LETTER_OVERHEAD_BYTES:
        return []
    message = (
        f"topic {topics[1]} takes records of {kept} bytes and {topics[0]} of {taken}: the dead letters of the largest "
        "applications can only be pointers to them; set max.message.bytes of "
        f"{topics[1]} to {taken + DEAD_LETTER_OVERHEAD_BYTES} or more"
    )
    return [message]


def batch_limits(settings: Settings, admin: "AdminClient") -> dict[str, int]:
    """By output topic, the largest batch that it takes, in bytes; Kafka's default where this user may not ask.

    Raises:
        BrokerError: the brokers cannot be reached.
    """
    names = [settings.decisions_topic, settings.dead_letters_topic]
    try:
        return {name: int(config["max.message.bytes"]) for name, config in _configs(admin, settings, names).items()}
    except TopicsError:
        return dict.fromkeys(names, BATCH_BYTES_DEFAULT)


def small_batches(settings: Settings) -> list[str]:
    """Output topics that take less at once than a producer would send: it works, and costs throughput.

    Raises:
        BrokerError: the brokers cannot be reached.
        TopicsError: a topic cannot be described.
    """
    from scorer.stream.librdkafka import producer_config

    admin = admin_client(settings)
    existing = _existing(admin, settings)
    names = [name for name in (settings.decisions_topic, settings.dead_letters_topic) if name in existing]
    sent = int(producer_config(settings)["batch.size"])
    return [
        f"topic {name} takes {limit} bytes at once, less than batch.size ({sent}): workers send smaller batches, which "
        f"costs throughput, and those that started before the limit was lowered stop. Set its max.message.bytes to "
        f"{sent} or more"
        for name, config in _configs(admin, settings, names).items()
        if (limit := int(config["max.message.bytes"])) < sent
    ]


def lacking(settings: Settings, rights: Collection[Right]) -> list[Right]:
    """Those of some rights to topics that this client does not have; none where the brokers do not say.

    Args:
        settings: those of the client.
        rights: to read or to write topics.
    """
    from confluent_kafka import KafkaException, TopicCollection

    names = sorted({right.name for right in rights})
    if not names:
        return []
    admin = admin_client(settings)  # it answers nothing more once it is let go of
    described = admin.describe_topics(
        TopicCollection(names), include_authorized_operations=True, request_timeout=_ADMIN_TIMEOUT_S
    )
    allowed: dict[str, set[str]] = {}
    for name, answer in described.items():
        try:
            allowed[name] = {operation.name for operation in answer.result().authorized_operations or ()}
        except KafkaException as failure:
            if failure.args[0].name() == "TOPIC_AUTHORIZATION_FAILED":
                allowed[name] = {""}
    return [right for right in rights if allowed.get(right.name) and right.operation.upper() not in allowed[right.name]]


def partitions_of(settings: Settings) -> dict[str, int]:
    """The existing topics of the settings with their numbers of partitions.

    Raises:
        BrokerError: the brokers cannot be reached.
    """
    return _existing(admin_client(settings), settings)


def _existing(admin: "AdminClient", settings: Settings, wait_s: float = _NEW_TOPICS_S) -> dict[str, int]:
    """The existing topics; for so long it is waited for those that are missing, since they may be quite new."""
    from scorer.stream.reaching import metadata_of

    wanted = {t.name for t in contract(settings, 1)}
    ends_at = time.monotonic() + wait_s
    while True:
        topics = metadata_of(admin, settings, _ADMIN_TIMEOUT_S).topics
        existing = {name: len(topics[name].partitions) for name in wanted if name in topics}
        if len(existing) == len(wanted) or time.monotonic() >= ends_at:
            return existing
        time.sleep(_NEW_TOPICS_S / 10)


def _configs(admin: "AdminClient", settings: Settings, names: list[str]) -> dict[str, dict[str, str]]:
    from confluent_kafka import KafkaException

    from scorer.stream.explain import with_hint
    from scorer.stream.reaching import ask

    configs = {}
    for name in names:
        try:
            entries = ask(partial(_describe_config, admin, name), _ADMIN_TIMEOUT_S)
        except KafkaException as error:
            explained = with_hint(error.args[0], settings, to_topic(Operation.DESCRIBE_CONFIGS, name))
            raise TopicsError(f"topic {name} cannot be described: {explained}") from error
        configs[name] = {entry: value.value or "" for entry, value in entries.items()}
    return configs


def _describe_config(admin: "AdminClient", name: str) -> "dict[str, ConfigEntry]":
    from confluent_kafka.admin import ConfigResource, ResourceType

    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)], request_timeout=_ADMIN_TIMEOUT_S)
    (answer,) = asked.values()
    found: dict[str, ConfigEntry] = answer.result()
    return found
