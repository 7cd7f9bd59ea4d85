"""Polls the cluster's metadata every few seconds, for the metrics of brokers and replicas."""

import time
from threading import Event
from typing import Final

from scorer.console.live import Live, Part
from scorer.logs import TOPIC_CONFIG_UNREADABLE, log
from scorer.operate.cluster import ClusterReader, ClusterState
from scorer.operate.latest import Latest
from scorer.settings import Settings
from scorer.stream.admin import admin_client

_INTERVAL_S: Final = 5.0


def poll_cluster(settings: Settings, live: Live, latest: Latest[ClusterState], stop: Event) -> None:
    """Polls until `stop` is set; not with the group, whose offsets cannot be read while a partition has no leader.

    Args:
        settings: the brokers and the topics.
        live: receives the errors.
        latest: receives the state for the metrics.
        stop: ends the polling.

    Raises:
        SettingsError: a librdkafka property is wrong.
        BrokerError: no broker answers.
    """
    reader = ClusterReader(settings, admin_client(settings))
    logged: set[str] = set()
    while not stop.is_set():
        started_at = time.monotonic()
        latest.set(reader.read())
        live.set_error(Part.BROKERS, "")
        for topic in reader.unread.keys() - logged:
            log(TOPIC_CONFIG_UNREADABLE, topic=topic, error=reader.unread[topic])
        logged |= reader.unread.keys()
        stop.wait(max(0.0, started_at + _INTERVAL_S - time.monotonic()))
