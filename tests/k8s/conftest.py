"""A cluster for all tests of this folder, and a namespace in it for each."""

from collections.abc import Callable, Iterator

import pytest

from scorer.local.broker import Broker
from tests.k8s import programs
from tests.k8s.cluster import Cluster, start_cluster
from tests.k8s.release import Release
from tests.tools import tool


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kubernetes cluster with KEDA; skips when its programs have not been built."""
    if missing := programs.missing():
        pytest.skip(f"{', '.join(missing)}: not built yet; make k8s builds them")
    with start_cluster(tmp_path_factory.mktemp("cluster"), tool("helm")) as started:
        yield started


@pytest.fixture
def release(cluster: Cluster, broker: Broker, unique: Callable[[str], str]) -> Iterator[Release]:
    """The chart, yet to be installed, in a namespace that admits only pods that keep to the restricted standard."""
    namespace = unique("scorer")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    yield Release(cluster, namespace, broker.bootstrap_servers)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
