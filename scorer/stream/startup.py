"""Checks of a link before it joins its group: the topics exist, and are those that the group has processed."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from confluent_kafka import KafkaException, Producer, TopicPartition

from schemas.rights import Operation
from scorer.errors import BrokerError, TopicsError
from scorer.settings import Settings
from scorer.stream.admin import batch_limits
from scorer.stream.explain import refusal, refusal_of_member
from scorer.stream.faults import Deadline
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.metadata import decode_metadata
from scorer.stream.outputs import Outputs
from scorer.stream.requests import metadata_of, why_unlisted
from scorer.stream.rights import to_own_topics, to_own_transactions
from scorer.stream.topic_ids import TopicIdentity

# Timeout of one step of the start, after a broker has answered.
_STEP_S: Final = 15.0
# A new topic is not known to every broker at once.
_TOPICS_S: Final = 2.0


def require_topics(settings: Settings, identity: TopicIdentity) -> None:
    """Waits for a broker, and checks that the topics exist, because a consumer would wait for one without an error.

    Raises:
        BrokerError: no broker answers.
        TopicsError: a topic is missing.
    """
    rights, admin = to_own_topics(settings), identity.admin
    existing = set(metadata_of(admin, settings, settings.broker_wait_s).topics)
    ends_at = time.monotonic() + _TOPICS_S
    while missing := {right.name for right in rights} - existing:
        if time.monotonic() > ends_at:
            reasons = [why_unlisted(admin, settings, right, _STEP_S) for right in rights if right.name in missing]
            raise TopicsError("; ".join(reasons))
        time.sleep(_TOPICS_S / 10)
        existing = set(metadata_of(admin, settings, _STEP_S).topics)


def require_same_topics(settings: Settings, identity: TopicIdentity, should_stop: Callable[[], bool]) -> None:
    """Compares the topics' ids with those in the group's committed offsets, before the group is joined.

    A worker that joined first and then stopped would delay the group, and prevent a reset of its offsets.

    Raises:
        BrokerError: the ids or the offsets cannot be read.
        TopicRecreatedError: the group's offsets belong to a deleted topic of the same name.
    """
    required = {right.name for right in to_own_topics(settings)}
    try:
        ids = identity.read(Deadline(_STEP_S, should_stop), required)
    except KafkaException as failure:
        raise BrokerError(refusal_of_member(failure.args[0], "the ids of the topics", settings)) from failure
    with closing(CommittedOffsets(settings, Operation.READ)) as offsets:
        committed = offsets.read(_partitions_with_topic_ids(settings, identity), _STEP_S, should_stop)
    for tp in committed:
        identity.compare(decode_metadata(tp.metadata).topic_ids, ids)


def outputs_of(settings: Settings, identity: TopicIdentity) -> Outputs:
    """Returns the output topics and their limits.

    Raises:
        BrokerError: the brokers cannot be reached.
    """
    limits_bytes = batch_limits(settings, identity.admin)
    names = settings.decisions_topic, settings.dead_letters_topic
    return Outputs(*names, *(limits_bytes[name] for name in names))


def abort_open_transaction(producer: Producer, transactional_id: str, settings: Settings) -> None:
    """Aborts a transaction that an earlier process with this transactional id left open.

    Raises:
        BrokerError: the brokers do not allow or do not answer it.
    """
    try:
        producer.init_transactions(_STEP_S)
    except KafkaException as failure:
        what = f"transactional.id {transactional_id}"
        raise BrokerError(refusal(failure.args[0], what, settings, to_own_transactions(settings))) from failure


def _partitions_with_topic_ids(settings: Settings, identity: TopicIdentity) -> list[TopicPartition]:
    """Returns the partitions whose committed metadata name the ids of the topics that the group has processed."""
    topic, deployments = settings.applications_topic, settings.deployments_topic
    numbers = metadata_of(identity.admin, settings, _STEP_S, topic).topics[topic].partitions
    own = [TopicPartition(topic, number) for number in sorted(numbers)]
    return [*own, TopicPartition(deployments, 0)] if deployments in identity.ids else own
