"""The chart on a real control plane: installed, upgraded, rolled back, uninstalled, refused."""

import json
import urllib.request
from typing import Any

import pytest

from tests.integration.worker_process import WAIT_S, wait_until
from tests.k8s.cluster import Refused
from tests.k8s.containers import Containers, address
from tests.k8s.programs import files
from tests.k8s.release import PARTITIONS, Release

EVERY_KIND = (
    "deployments,statefulsets,pods,jobs,services,serviceaccounts,configmaps,persistentvolumeclaims,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,scaledobjects,triggerauthentications"
)
WITH_KEDA = ("--wait", "--set=autoscaling.keda.enabled=true", "--set=autoscaling.minReplicas=2")


def settings_of(pods: list[dict[str, Any]], name: str) -> set[str]:
    """What a variable of the environment is in the containers of pods."""
    entries = [entry for pod in pods for entry in pod["spec"]["containers"][0]["env"]]
    return {entry["value"] for entry in entries if entry["name"] == name}


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the pod's readiness probe holds, asked as a kubelet asks."""
    (container,) = pod["spec"]["containers"]
    probe = container["readinessProbe"]["httpGet"]
    (port,) = (port["containerPort"] for port in container["ports"] if port["name"] == probe["port"])
    try:
        with urllib.request.urlopen(f"http://{address(pod)}:{port}{probe['path']}", timeout=WAIT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def revisions(release: Release) -> list[tuple[int, str]]:
    """The release's revisions, as Helm tells them."""
    return [(row["revision"], row["status"]) for row in json.loads(release.helm("history", "--output=json"))]


def test_install_upgrade_rollback(release: Release) -> None:
    """Helm brings the workers in, moves them to another value and back; each application is decided once all along.

    The hook's Job makes the topics before there are workers, KEDA brings the second worker, and nothing is left behind.
    """

    def all_are_decided_by(count: int, *, batch_records_max: str) -> list[str]:
        wait_until(lambda: len(release.pods()) == 2, "two pods")
        pods = release.pods()
        assert settings_of(pods, "SCORER_BATCH_RECORDS_MAX") == {batch_records_max}
        wait_until(lambda: all(map(is_ready, pods)), "workers with partitions")
        release.publish(100)
        wait_until(lambda: len(release.decided()) == count, "decisions")
        return [pod["metadata"]["name"] for pod in pods]

    with (
        Containers(release.cluster, release.namespace, "topics") as jobs,
        Containers(release.cluster, release.namespace, "worker") as workers,
    ):
        release.install(*WITH_KEDA)
        assert release.partitions() == {
            "applications": PARTITIONS,
            "decisions": PARTITIONS,
            "dead_letters": 1,
            "deployments": 1,
            "reviews": 1,
        }
        conditions = release.get("deployment", "scorer")["status"]["conditions"]
        assert ("Available", "True") in [(condition["type"], condition["status"]) for condition in conditions]
        first = all_are_decided_by(100, batch_records_max="5000")
        assert revisions(release) == [(1, "deployed")]

        release.upgrade(*WITH_KEDA, "--set=settings.batch_records_max=100")
        second = all_are_decided_by(200, batch_records_max="100")
        assert revisions(release) == [(1, "superseded"), (2, "deployed")]

        release.helm("rollback", "1", "--wait")
        third = all_are_decided_by(300, batch_records_max="5000")
        assert revisions(release) == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
        assert len({*first, *second, *third}) == 6

        release.helm("uninstall", "--wait")
        mine = "--selector=app.kubernetes.io/instance=scorer"
        wait_until(lambda: release.get(EVERY_KIND, mine)["items"] == [], "nothing left")
    assert set(release.decided().values()) == {1}
    assert jobs.failed | workers.failed == {}


def test_a_node_is_drained_one_worker_at_a_time(release: Release) -> None:
    """The disruption budget finds the workers, and lets one of them go at a time."""
    release.install("--wait", "--set=topics.ensure=false", "--set=worker.replicas=3")

    def budget() -> dict[str, int]:
        status: dict[str, int] = release.get("poddisruptionbudget", "scorer")["status"]
        return {name: status.get(name, 0) for name in ("expectedPods", "currentHealthy", "disruptionsAllowed")}

    wait_until(lambda: budget() == {"expectedPods": 3, "currentHealthy": 3, "disruptionsAllowed": 1}, "the budget")
    # Three nodes in three zones: spread over them.
    assert len({pod["spec"]["nodeName"] for pod in release.pods()}) == 3


def test_unknown_values_are_rejected(release: Release) -> None:
    """A misspelt value stops the install, and nothing has been made."""
    with pytest.raises(Refused, match="replica"):
        release.install("--set=worker.replica=3")
    assert release.get(EVERY_KIND, "--selector=app.kubernetes.io/instance=scorer")["items"] == []
    assert json.loads(release.cluster.helm("list", f"--namespace={release.namespace}", "--output=json")) == []


def test_the_namespace_admits_no_weaker_pods(release: Release) -> None:
    """What the other tests rest on: with one promise taken back, Pod Security lets none of the pods in."""
    release.install("--set=topics.ensure=false", "--set=securityContext.allowPrivilegeEscalation=true")

    def refusals() -> list[str]:
        conditions = release.get("deployment", "scorer")["status"].get("conditions", [])
        return [condition["message"] for condition in conditions if condition["type"] == "ReplicaFailure"]

    wait_until(lambda: bool(refusals()), "the refusal")
    assert 'violates PodSecurity "restricted' in refusals()[0]
    assert release.pods() == []


def test_everything_on(release: Release) -> None:
    """All that can be switched on: the API server takes every object, and admits the pods of both components."""
    release.cluster.kubectl("apply", "--server-side", f"--filename={files('prometheus-crds')}")
    release.install(
        "--wait",
        "--set=topics.ensure=false",
        "--set=worker.staticMembership.enabled=true",
        "--set=store.url=s3://models/bundles",
        "--set=kafka.tls.enabled=true,kafka.tls.ca.secretName=kafka,kafka.tls.certificate.secretName=kafka",
        "--set=kafka.sasl.enabled=true,kafka.sasl.secretName=kafka",
        "--set=autoscaling.keda.enabled=true",
        "--set=networkPolicy.egress.enabled=true",
        "--set=serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true",
        "--set=console.enabled=true,console.tokenSecret.name=console",
    )
    release.get("statefulset", "scorer")
    kinds = "servicemonitors,prometheusrules,scaledobjects,triggerauthentications,networkpolicies"
    items = {thing["kind"] for thing in release.get(kinds)["items"]}
    assert items == {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "NetworkPolicy"}
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in release.get("pods")["items"]}
    assert components == {"worker", "console"}
