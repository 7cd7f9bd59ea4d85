"""Topics are known by their ids: a topic that was deleted and created again is another topic of the same name.

Committed offsets and positions name a topic alone. Without the ids a worker would carry its positions into the new
topic and skip that many of its records in silence (KIP-516 gave topics ids; librdkafka keeps them to itself).
"""

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from scorer.errors import TopicRecreatedError
from scorer.settings import Settings
from scorer.stream.faults import retry_transient
from scorer.stream.topics import admin_client

# For one answer. A frozen broker may be the one that is asked.
_ANSWER_S: Final = 5.0
# A commit waits this long for the answer, which usually comes within a millisecond. Without it the commit goes on: a
# recreation would be found with the next answer, before anything is lost.
_CHECK_S: Final = 1.0
# Between two looks at all topics; the applications topic is looked at before each commit.
_ALL_TOPICS_S: Final = 5.0
# A topic that was created a moment ago is not known to every broker yet.
_NEW_TOPIC_S: Final = 3.0
_PAUSE_S: Final = 0.1
# Brokers without topic ids (before Kafka 2.8) answer with this one.
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"

# The id of librdkafka's mock cluster, which has no controller to ask for topic ids.
_MOCK: Final = "mockCluster"

# A topic that is not there, or that this user has nothing to do with, has no id to compare.
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})

TopicIds = Mapping[str, str]
"""By name, the id of each topic that exists, in base64."""


class TopicIdentity:
    """Describes a worker's topics by id, and compares them with those that it began with."""

    def __init__(self, settings: Settings) -> None:
        """Connects on the first call.

        Raises:
            SettingsError: a librdkafka property is wrong.
        """
        self._group_id = settings.group_id
        self._applications_topic = settings.applications_topic
        self._names = [
            settings.applications_topic,
            settings.decisions_topic,
            settings.dead_letters_topic,
            settings.deployments_topic,
        ]
        self.admin = admin_client(settings)
        self._all_asked_at = time.monotonic()
        self._pending: Mapping[str, Future[Any]] = {}
        self._asked = False
        """Whether the last check asked; if the brokers owed an answer, none is waited for."""
        self._has_ids = True
        self.ids: TopicIds = {}
        """Of the topics as they were when this worker began."""

    def read(self, should_stop: Callable[[], bool], required: Collection[str] = ()) -> TopicIds:
        """Describes all topics, and keeps their ids as those that this worker began with.

        Args:
            should_stop: asked between two attempts, as long as brokers do not answer.
            required: topics that exist; a broker that does not know one of them yet is asked again for some seconds.

        Raises:
            BrokerError: `should_stop`.
            KafkaException: the brokers refuse.
        """
        cluster = retry_transient(
            lambda: self.admin.list_topics(self._applications_topic, timeout=_ANSWER_S), should_stop
        )
        self._has_ids = not str(cluster.cluster_id).startswith(_MOCK)
        ends_at = time.monotonic() + _NEW_TOPIC_S
        while True:
            self.ids = retry_transient(lambda: _ids(self._describe(self._names)), should_stop)
            if not self._has_ids or self.ids.keys() >= set(required) or time.monotonic() > ends_at:
                return self.ids
            time.sleep(_PAUSE_S)

    def begin_check(self) -> None:
        """Asks for the ids as they are now, unless the brokers still owe an answer to the question before."""
        self._asked = not self._owed()
        if self._asked:
            everything = time.monotonic() - self._all_asked_at > _ALL_TOPICS_S
            if everything:
                self._all_asked_at = time.monotonic()
            self._pending = self._describe(self._names if everything else [self._applications_topic])

    def finish_check(self) -> None:
        """Waits a moment for the answer, and compares. Records polled before `begin_check` are of the topic it says.

        Brokers that do not answer, or do not know a topic for the moment, are no recreation.

        Raises:
            TopicRecreatedError: a topic has another id than when this worker began.
        """
        try:
            now = _ids(self._pending, _CHECK_S if self._asked else 0.0)
        except (KafkaException, TimeoutError):
            return
        self.compare(self.ids, now)

    def look(self) -> None:
        """Compares all topics every few seconds, without waiting: for a worker that has nothing to commit.

        Not to be called while no broker can be reached: the admin client would then try to connect without a pause.

        Raises:
            TopicRecreatedError: a topic has another id than when this worker began.
        """
        if self._pending and not self._owed():
            self.finish_check()
            self._pending = {}
        elif time.monotonic() - self._all_asked_at > _ALL_TOPICS_S:
            self.begin_check()

    def compare(self, before: TopicIds, now: TopicIds) -> None:
        """Compares the ids that two moments have in common.

        Raises:
            TopicRecreatedError: they differ.
        """
        for name in self._names:
            if name in before and name in now and before[name] != now[name]:
                raise TopicRecreatedError(recreated(self._group_id, name, before[name], now[name]))

    def _describe(self, names: list[str]) -> Mapping[str, Future[Any]]:
        if not self._has_ids:
            return {}
        futures: Mapping[str, Future[Any]] = self.admin.describe_topics(
            TopicCollection(names), request_timeout=_ANSWER_S
        )
        return futures

    def _owed(self) -> bool:
        return any(not future.done() for future in self._pending.values())


def recreated(group_id: str, name: str, before: str, now: str) -> str:
    """What happened to a topic, and the command that accepts it."""
    return (
        f"topic {name} was deleted and created again: group {group_id} has processed the topic with the id {before}, "
        f"and the topic of this name now has the id {now}. The group's offsets say nothing about the new topic, so "
        "nothing is processed until you accept it: stop all workers of the group and run `scorer offsets reset`"
    )


def _ids(futures: Mapping[str, Future[Any]], wait_s: float = 2 * _ANSWER_S) -> TopicIds:
    ends_at = time.monotonic() + wait_s
    ids = {}
    for name, future in futures.items():
        try:
            topic_id = str(future.result(max(0.0, ends_at - time.monotonic())).topic_id)
        except KafkaException as failure:
            if failure.args[0].code() not in _UNKNOWN:
                raise
        else:
            if topic_id != _NO_ID:
                ids[name] = topic_id
    return ids
