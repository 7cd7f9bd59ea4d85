"""What Prometheus reads of a group at the console, on a real broker: also without any worker."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scorer.local.broker import Broker
from tests.fakes import application
from tests.integration.worker_process import Topics, wait_until, worker
from tests.ops.console_process import ConsoleProcess, console

pytestmark = pytest.mark.broker


def group_of(served: ConsoleProcess, topics: Topics) -> tuple[float, float] | None:
    """The members and the lag of the group; None while the console does not know them."""
    families = text_string_to_metric_families(served.ask("/metrics", headers={"Host": "console:8765"}).body)
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("scorer_group_")]
    members = [sample.value for sample in samples if sample.name == "scorer_group_members"]
    lags = {sample.labels["partition"]: sample.value for sample in samples if "partition" in sample.labels}
    assert all(sample.labels.get("topic", topics.applications) == topics.applications for sample in samples)
    assert len(lags) in {0, topics.partitions}
    return (members[0], sum(lags.values())) if members else None


def test_the_lag_is_known_without_workers(broker: Broker, tmp_path: Path) -> None:
    """Workers report the lag of their partitions, so without them nobody knew how many applications waited."""
    topics = Topics(broker.bootstrap_servers, 2)
    topics.publish(*(application(f"a-{number}") for number in range(5)))
    with console(topics.environment(), tmp_path / "console.log") as served:
        wait_until(lambda: group_of(served, topics) == (0, 5), "five applications that wait, and no worker")
        with worker(topics, tmp_path / "worker.log"):
            wait_until(lambda: group_of(served, topics) == (1, 0), "a worker that has decided them")
