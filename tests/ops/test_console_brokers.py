"""What the console's metrics and the commands say of brokers and replicas, on a cluster that loses a broker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos import topics as administration
from tests.chaos.campaign import cluster_for
from tests.chaos.cluster import Cluster, ClusterPlan
from tests.chaos.nodes import NODES
from tests.chaos.scenario import Skipped
from tests.integration.worker_process import Topics, scorer, wait_until
from tests.ops.console_process import ConsoleProcess, console

VICTIM = NODES[-1]
STATES = ("scorer_topic_under_replicated_partitions", "scorer_topic_below_min_insync_partitions")
NOT_PREFERRED = "scorer_topic_not_preferred_leaders decisions"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three brokers; without Java, Maven or Toxiproxy the test skips."""
    try:
        with cluster_for(ClusterPlan()) as started:
            yield started
    except Skipped as reason:
        pytest.skip(str(reason))


def replicated_topics(cluster: Cluster) -> Topics:
    """Topics with three replicas of which two must be in sync, and three topics that the loss of a broker hits more."""
    topics = Topics(cluster.direct, 2, {"min.insync.replicas": "2"}, replicas=3)
    for name in (topics.decisions, topics.dead_letters):
        administration.delete(cluster.admin, name)
    # The one prefers the broker that is lost, the other has no replica elsewhere, and the third requires all replicas.
    order = (VICTIM, *(number for number in NODES if number != VICTIM))
    administration.create(cluster.admin, topics.decisions, 2, {"min.insync.replicas": "2"}, order)
    administration.create(cluster.admin, topics.dead_letters, 1, {"min.insync.replicas": "1"}, (VICTIM,))
    administration.configure(cluster.admin, topics.reviews, {"min.insync.replicas": "3"})
    assert cluster.wait_until_in_sync()
    return topics


def figures(served: ConsoleProcess, topics: Topics) -> dict[str, float]:
    """Numbers of brokers, and of partitions by state and kind of topic; without those that are 0.

    Of the topic that is offline, only that: whether it also lacks in-sync replicas depends on the version of Kafka.
    Which replica is preferred is certain for decisions alone.
    """
    families = text_string_to_metric_families(served.ask("/metrics", headers={"Host": "console:8765"}).body)
    values = {}
    for sample in (sample for family in families for sample in family.samples if sample.value):
        name, kind = sample.name, sample.labels.get("topic", "").removesuffix(f"-{topics.mark}")
        if name in {"scorer_brokers", "scorer_missing_brokers"}:
            values[name] = sample.value
        elif name == "scorer_topic_offline_partitions" or (name in STATES and kind != "dead-letters"):
            values[f"{name} {kind}"] = sample.value
        elif name == "scorer_topic_not_preferred_leaders" and kind == "decisions":
            values[NOT_PREFERRED] = sample.value
    return values


def test_a_broker_is_lost_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing said so: dashboards showed what workers notice, and JMX is out of reach at a managed Kafka."""
    topics = replicated_topics(cluster)
    with console(topics.environment(), tmp_path / "console.log") as served:
        wait_until(lambda: figures(served, topics) == {"scorer_brokers": 3}, "three brokers, and nothing wrong")
        cluster.nodes[VICTIM].kill()
        lost = {
            "scorer_brokers": 2,
            "scorer_missing_brokers": 1,
            "scorer_topic_offline_partitions dead-letters": 1,
            "scorer_topic_under_replicated_partitions applications": 2,
            "scorer_topic_under_replicated_partitions decisions": 2,
            "scorer_topic_under_replicated_partitions deployments": 2,
            "scorer_topic_under_replicated_partitions reviews": 1,
            "scorer_topic_below_min_insync_partitions reviews": 1,
            NOT_PREFERRED: 2,
        }
        wait_until(lambda: figures(served, topics) == lost, "what the broker held")
        check_commands(topics)
        cluster.nodes[VICTIM].start()
        # Kafka moves the leaders back after some minutes.
        healed = {"scorer_brokers": 3, NOT_PREFERRED: 2}
        wait_until(lambda: figures(served, topics) | {NOT_PREFERRED: 2} == healed, "all replicas in sync")


def check_commands(topics: Topics) -> None:
    """`scorer status` and `scorer doctor` name the topics and the broker; what nobody can write is a problem."""
    wrong = (
        f"topic {topics.dead_letters}: partition 0 cannot be read or written",
        f"topic {topics.reviews}: writes to partition 0 fail",
    )
    warnings = (
        f"missing brokers: {VICTIM}. ",
        f"topic {topics.applications}: not all replicas of partitions 0, 1 are in sync",
    )
    code, output, _ = scorer(topics, "status", "--json")
    status = json.loads(output)
    assert (code, status["brokers"], status["missing_brokers"]) == (1, 2, [VICTIM])
    assert all(any(text.startswith(start) for text in status["problems"]) for start in wrong)
    assert all(any(text.startswith(start) for text in status["warnings"]) for start in warnings)
    code, output, _ = scorer(topics, "doctor", "--json")
    findings = [finding for finding in json.loads(output) if finding["topic"] == "replicas"]
    assert code == 1
    for state, starts in (("wrong", wrong), ("warning", warnings)):
        texts = [finding["text"] for finding in findings if finding["state"] == state]
        assert all(any(text.startswith(start) for text in texts) for start in starts)
