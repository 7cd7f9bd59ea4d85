"""The console's metrics: the group while it can be read, and the review queue once it is complete."""

from scorer.monitor.console import ClusterCollector, GroupCollector, QueueCollector, console_metrics
from scorer.operate.cluster import ClusterState, TopicReplicas
from scorer.operate.latest import GroupFigures, LatestFigures
from scorer.operate.review_queue import ReviewQueue
from tests.unit.operate.test_review_queue import decision
from tests.unit.schemas.test_review import review


def samples(queue: ReviewQueue, now: float) -> dict[tuple[str, ...], float]:
    """Name, label and value of all samples at a moment."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in QueueCollector(queue, lambda: now).collect()
        for sample in family.samples
    }


def test_the_queue() -> None:
    """Its length, the age of the oldest decision, and reviews by label; an incomplete queue would seem short."""
    queue = ReviewQueue()
    queue.add_decisions([decision("a", 1_000), decision("b", 5_000)])
    assert samples(queue, 10.0) == {}
    queue.complete()
    queue.add_reviews([(0, review("a", "a:0@1", "r-1"))], 1)
    assert samples(queue, 10.0) == {
        ("scorer_waiting_reviews",): 1.0,
        ("scorer_oldest_waiting_review_seconds",): 5.0,
        ("scorer_reviews_total", "APPROVED"): 1.0,
        ("scorer_reviews_total", "DECLINED"): 0.0,
    }
    queue.add_reviews([(1, review("b", "b:0@1", "r-2", label="DECLINED"))], 2)
    assert samples(queue, 10.0)["scorer_oldest_waiting_review_seconds",] == 0.0


def test_a_group_without_workers() -> None:
    """It has a lag in each partition, and no members; before the first figures it has neither."""
    latest = LatestFigures().group
    collector = GroupCollector(latest, "applications")
    assert list(collector.collect()) == []
    latest.set(GroupFigures(0, {1: 7, 0: 0}, 31))
    samples = [(s.name, s.labels, s.value) for family in collector.collect() for s in family.samples]
    assert samples == [
        ("scorer_group_lag_records", {"topic": "applications", "partition": "0"}, 0),
        ("scorer_group_lag_records", {"topic": "applications", "partition": "1"}, 7),
        ("scorer_group_members", {}, 0),
        ("scorer_topic_end_offset", {"topic": "applications"}, 31),
    ]


def test_the_cluster() -> None:
    """Numbers of brokers, and per topic of partitions; what is not known, and what was never read, is not there."""
    latest = LatestFigures().cluster
    collector = ClusterCollector(latest)
    assert list(collector.collect()) == []
    known, unknown = TopicReplicas("a", 3, (0,), (0, 1), (0, 1), (2,)), TopicReplicas("b", 1, (), (0,), None, ())
    latest.set(ClusterState(frozenset({1, 2}), frozenset({3}), (known, unknown)))
    samples = {(s.name, *s.labels.values()): s.value for family in collector.collect() for s in family.samples}
    assert samples == {
        ("scorer_brokers",): 2,
        ("scorer_missing_brokers",): 1,
        ("scorer_topic_partitions", "a"): 3,
        ("scorer_topic_partitions", "b"): 1,
        ("scorer_topic_offline_partitions", "a"): 1,
        ("scorer_topic_offline_partitions", "b"): 0,
        ("scorer_topic_under_replicated_partitions", "a"): 2,
        ("scorer_topic_under_replicated_partitions", "b"): 1,
        ("scorer_topic_below_min_insync_partitions", "a"): 2,
        ("scorer_topic_not_preferred_leaders", "a"): 1,
        ("scorer_topic_not_preferred_leaders", "b"): 0,
    }


def test_without_reviewers_or_brokers() -> None:
    """The process has metrics all the same; the format is the one that is asked for."""
    metrics = console_metrics(LatestFigures(), "applications", None)
    content_type, body = metrics("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert b"process_cpu_seconds" in body
    assert b"scorer_" not in body
