"""Compares topics by their ids: a topic that was deleted and created again has another id.

Committed offsets and positions identify a topic by its name only. Without the ids a worker would apply its positions to
the new topic and silently skip that many records (KIP-516 gave topics ids; librdkafka's consumers do not expose them).
"""

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from scorer.errors import TopicRecreatedError
from scorer.settings import Settings
from scorer.stream.admin import admin_client
from scorer.stream.faults import retry_transient

# Timeout of one request. The broker that receives it may hang.
_ANSWER_S: Final = 5.0
# How long a commit waits for the answer, which usually comes within a millisecond. Without it the commit continues: a
# recreated topic would be detected with the next answer, before anything is lost.
_CHECK_S: Final = 1.0
# Interval of the checks of all topics; the applications topic is checked before each commit.
_ALL_TOPICS_S: Final = 5.0
# A new topic is not known to every broker at once.
_NEW_TOPIC_S: Final = 3.0
_PAUSE_S: Final = 0.1
# Brokers without topic ids (before Kafka 2.8) answer with this one.
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"

# The id of librdkafka's mock cluster, which has no controller to ask for topic ids.
_MOCK: Final = "mockCluster"

# A topic that does not exist, or to which this user has no right, has no id to compare.
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})

TopicIds = Mapping[str, str]
"""By name, the id of each topic that exists, in base64."""


class TopicIdentity:
    """Reads the ids of a worker's topics, and compares them with the ids at its start."""

    def __init__(self, settings: Settings) -> None:
        """Connects on the first call.

        Raises:
            SettingsError: a librdkafka property is invalid.
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
        self._requested = False
        """Whether the last check sent a request; if an earlier one was still pending, its answer is not waited for."""
        self._has_ids = True
        self.ids: TopicIds = {}
        """The ids of the topics when this worker started."""

    def read(self, should_stop: Callable[[], bool], required: Collection[str] = ()) -> TopicIds:
        """Reads the ids of all topics, and stores them as the ids at the start of this worker.

        Args:
            should_stop: checked between attempts, as long as brokers do not answer.
            required: topics that exist; if a broker does not know one of them yet, it retries for some seconds.

        Raises:
            BrokerError: `should_stop` returned True.
            KafkaException: the brokers return an error.
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
        """Requests the current ids, unless an earlier request is still pending."""
        self._requested = not self._is_pending()
        if self._requested:
            check_all = time.monotonic() - self._all_asked_at > _ALL_TOPICS_S
            if check_all:
                self._all_asked_at = time.monotonic()
            self._pending = self._describe(self._names if check_all else [self._applications_topic])

    def finish_check(self) -> None:
        """Waits briefly for the answer, and compares the ids. It covers the records polled before `begin_check`.

        A missing answer, or one that does not know a topic at the moment, does not mean that the topic was recreated.

        Raises:
            TopicRecreatedError: the id of a topic has changed since this worker started.
        """
        try:
            now = _ids(self._pending, _CHECK_S if self._requested else 0.0)
        except (KafkaException, TimeoutError):
            return
        self.compare(self.ids, now)

    def check_all(self) -> None:
        """Checks all topics every few seconds, without waiting, for a worker that has nothing to commit.

        Must not be called while no broker can be reached: the admin client would then reconnect without a pause.

        Raises:
            TopicRecreatedError: the id of a topic has changed since this worker started.
        """
        if self._pending and not self._is_pending():
            self.finish_check()
            self._pending = {}
        elif time.monotonic() - self._all_asked_at > _ALL_TOPICS_S:
            self.begin_check()

    def compare(self, before: TopicIds, now: TopicIds) -> None:
        """Compares the ids of the topics that existed at both times.

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

    def _is_pending(self) -> bool:
        return any(not future.done() for future in self._pending.values())


def recreated(group_id: str, name: str, before: str, now: str) -> str:
    """Returns the message for a recreated topic, with the command that accepts it."""
    return (
        f"topic {name} was deleted and created again: group {group_id} has processed the topic with the id {before}, "
        f"but the topic of this name now has the id {now}. The group's offsets do not apply to the new topic, so "
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
