"""The required topics and their configuration: `ensure` creates missing topics, `check` compares existing ones."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas import topics
from schemas.rights import Operation, to_topic
from scorer.errors import TopicsError
from scorer.settings import Settings
from scorer.stream.admin import ADMIN_S, admin_client, topic_configs

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

# A new topic is not known to every broker at once.
_NEW_TOPICS_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A required topic. In `check`, a config value may be greater than the one here, never less."""

    name: str
    partitions: int
    config: Mapping[str, str]


def contract(settings: Settings, partitions: int) -> list[Topic]:
    """Returns the topics that these settings require.

    Args:
        settings: the names of the topics.
        partitions: partitions of the applications topic; the maximum number of active workers.
    """
    return [
        Topic(settings.applications_topic, partitions, _config(topics.APPLICATIONS)),
        Topic(settings.decisions_topic, partitions, _config(topics.DECISIONS)),
        Topic(settings.dead_letters_topic, 1, _config(topics.DEAD_LETTERS)),
        Topic(settings.deployments_topic, 1, _config(topics.DEPLOYMENTS)),
        Topic(settings.reviews_topic, 1, _config(topics.REVIEWS)),
    ]


def _config(topic: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", **{name: str(value) for name, value in topics.CONFIGS[topic].items()}}


def ensure(settings: Settings, partitions: int, replication: int) -> list[str]:
    """Creates the topics that are missing.

    Args:
        settings: the names and the brokers.
        partitions: partitions of the applications and decisions topics.
        replication: replication factor; from three on, writes need all replicas but one.

    Returns:
        The names of the created topics.

    Raises:
        BrokerError: the brokers cannot be reached, or return an error.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

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
            future.result(ADMIN_S)
        except KafkaException as failure:
            error = failure.args[0]
            # A concurrent `ensure` created it, or this user may create topics but not see them.
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                explained = with_hint(error, settings, to_topic(Operation.CREATE, name))
                raise TopicsError(f"topic {name} could not be created: {explained}") from failure
        else:
            created.append(name)
    return created


def check(settings: Settings, read: Collection[str] = ()) -> list[str]:
    """Compares the topics with the required configuration.

    Args:
        settings: the brokers and the topics.
        read: topics that the caller also reads, for the message if a right to one is missing.

    Returns:
        One sentence per difference that matters; empty if there is none.

    Raises:
        BrokerError: the brokers cannot be reached, or return an error.
    """
    from scorer.stream.requests import why_unlisted

    admin = admin_client(settings)
    existing = _existing(admin, settings)
    differences: list[str] = []
    configs = topic_configs(admin, settings, [t.name for t in contract(settings, 1) if t.name in existing])
    for topic in contract(settings, partitions=1):
        if topic.name not in existing:
            right = to_topic(Operation.READ if topic.name in read else Operation.DESCRIBE, topic.name)
            differences.append(why_unlisted(admin, settings, right, ADMIN_S))
            continue
        differences += _differences(topic, configs[topic.name])
    if existing.get(settings.deployments_topic, 1) != 1:
        differences.append(f"topic {settings.deployments_topic} must have one partition, whose order is the history")
    if existing.get(settings.reviews_topic, 1) != 1:
        differences.append(
            f"topic {settings.reviews_topic} must have one partition, whose order says which of two reviews was first"
        )
    return differences + _dead_letters_fit(settings, configs)


def _differences(topic: Topic, config: Mapping[str, str]) -> list[str]:
    differences = []
    policy = config.get("cleanup.policy", "")
    if "compact" in policy:
        differences.append(
            f"topic {topic.name} has cleanup.policy={policy}: compaction deletes records; set cleanup.policy=delete"
        )
    required, actual = int(topic.config["retention.ms"]), int(config.get("retention.ms", "-1"))
    if actual != -1 and (required == -1 or actual < required):
        days = "forever" if required == -1 else f"{required // 86_400_000} days"
        differences.append(f"topic {topic.name} keeps records for {actual // 86_400_000} days; required: {days}")
    return differences


def _dead_letters_fit(settings: Settings, configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Checks that the dead-letter topic accepts copies of the largest applications; otherwise it gets pointers only."""
    names = (settings.applications_topic, settings.dead_letters_topic)
    if any(name not in configs for name in names):
        return []
    application_max, letter_max = (int(configs[name]["max.message.bytes"]) for name in names)
    if letter_max >= application_max + topics.DEAD_LETTER_OVERHEAD_BYTES:
        return []
    message = (
        f"topic {names[1]} accepts records of {letter_max} bytes and {names[0]} of {application_max}: the dead "
        "letters of the largest applications can only be pointers to them; set max.message.bytes of "
        f"{names[1]} to {application_max + topics.DEAD_LETTER_OVERHEAD_BYTES} or more"
    )
    return [message]


def small_batch_remarks(settings: Settings) -> list[str]:
    """Returns a remark per output topic that accepts only small batches, which costs throughput.

    Raises:
        BrokerError: the brokers cannot be reached.
        TopicsError: a topic cannot be described.
    """
    from scorer.stream.librdkafka import producer_config

    admin = admin_client(settings)
    existing = _existing(admin, settings)
    names = [name for name in (settings.decisions_topic, settings.dead_letters_topic) if name in existing]
    batch_size = int(producer_config(settings)["batch.size"])
    return [
        f"topic {name} accepts batches of {limit} bytes, less than batch.size ({batch_size}): workers send smaller "
        f"batches, which costs throughput, and those that started before the limit was lowered stop. Set its "
        f"max.message.bytes to {batch_size} or more"
        for name, config in topic_configs(admin, settings, names).items()
        if (limit := int(config["max.message.bytes"])) < batch_size
    ]


def partitions_of(settings: Settings) -> dict[str, int]:
    """Returns the number of partitions of each existing topic of the settings.

    Raises:
        BrokerError: the brokers cannot be reached.
    """
    return _existing(admin_client(settings), settings)


def _existing(admin: "AdminClient", settings: Settings, wait_s: float = _NEW_TOPICS_S) -> dict[str, int]:
    """Returns the existing topics; waits up to `wait_s` for missing ones, which may be new."""
    from scorer.stream.requests import metadata_of

    required = {t.name for t in contract(settings, 1)}
    ends_at = time.monotonic() + wait_s
    while True:
        metadata = metadata_of(admin, settings, ADMIN_S).topics
        existing = {name: len(metadata[name].partitions) for name in required if name in metadata}
        if len(existing) == len(required) or time.monotonic() >= ends_at:
            return existing
        time.sleep(_NEW_TOPICS_S / 10)
