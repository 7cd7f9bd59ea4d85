"""Compares two bundles' decisions on the newest applications of the topic, for `scorer challenger` and the console."""

import time
from contextlib import closing

from scorer.author.diff import Comparison, compare_decisions
from scorer.core.score import Bundle
from scorer.operate.newest import find_newest
from scorer.operate.reading import Skipped, TopicReader
from scorer.settings import Settings


def compare_newest(settings: Settings, opened: tuple[Bundle, Bundle], sample: int) -> tuple[Comparison, Skipped]:
    """Scores the newest applications with both bundles.

    Args:
        settings: the brokers and the topic.
        opened: the champion and the challenger.
        sample: the number of applications.

    Returns:
        The comparison, and the record batches that could not be read.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
        BundleUnusableError: one of the bundles cannot score any row of a batch.
    """
    skipped = Skipped()
    with closing(TopicReader(settings, settings.applications_topic, skipped)) as reader:
        batches = reader.read(find_newest(reader, sample, int(time.time() * 1_000)))
        return compare_decisions(batches, opened, settings.record_bytes_max, keep_flips=False), skipped
