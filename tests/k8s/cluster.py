"""A Kubernetes cluster on this machine: a real control plane and KEDA, and nodes whose pods kwok says are running."""

import base64
import json
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import trustme

from scorer.local.child import Child
from scorer.local.running import free_ports
from tests.integration.worker_process import wait_until
from tests.k8s.programs import files, program

_CALL_S: Final = 180  # Helm waits for a rollout in one call; it takes seconds
_SERVICE_ADDRESSES: Final = "10.96.0.0/16"
_POD_ADDRESSES: Final = "10.244.0.0/16"
_ZONES: Final = ("a", "b", "c")
# As its own manifests have it: all namespaces are watched.
_KEDA_ENVIRONMENT: Final = {
    "WATCH_NAMESPACE": "",
    "POD_NAME": "keda",
    "POD_NAMESPACE": "keda",
    "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
}
_METRICS_SERVER: Final = "keda-metrics-apiserver.keda.svc"
_METRICS_API: Final = "v1beta1.external.metrics.k8s.io"
# As kwok ships them, the quick ones: a pod that has a node is ready at once, and gone as soon as it is deleted. The one
# that completes Jobs is left out: what they run is run.
_STAGES: Final = (
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "node/fast/node-initialize.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-delete.yaml",
)


class Refused(Exception):  # noqa: N818  # not an error of ours: what was said instead of yes
    """Kubernetes or Helm has refused; the message is theirs."""


class Cluster:
    """What a test may ask of a cluster."""

    def __init__(self, folder: Path, server: str, token: str, helm: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._helm = helm
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": server, "certificate-authority": f"{folder}/ca.crt"}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Runs kubectl, `given` on its standard input; returns what it prints.

        Raises:
            Refused: it failed.
        """
        return _run([str(program("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments], given)

    def helm(self, *arguments: str, given: str | None = None) -> str:
        """Runs Helm, `given` on its standard input; returns what it prints.

        Raises:
            Refused: it failed.
        """
        return _run([str(self._helm), f"--kubeconfig={self.kubeconfig}", *arguments], given)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Makes objects as they are given, new or not."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(listed))

    def get(self, *arguments: str) -> dict[str, Any]:
        """What the API says of one object, or of a kind's (under `items`)."""
        report: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return report

    def ask(self, path: str) -> dict[str, Any]:
        """What the API answers at a path."""
        report: dict[str, Any] = json.loads(self.kubectl("get", f"--raw={path}"))
        return report

    def grants(self, *arguments: str) -> bool:
        """Whether kubectl succeeds with these arguments."""
        try:
            self.kubectl(*arguments)
        except Refused:
            return False
        return True


class Processes:
    """The cluster's own processes: each ends with us at the latest, and none may end before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []

    def start(self, name: str, *options: str, **environment: str) -> None:
        """Starts one of the built programs."""
        self._children.append(Child([str(program(name)), *options], self.folder, name, environment))

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits until a condition holds, and no longer than all of them run."""
        wait_until(lambda: self._all_run() and holds(), what)

    def stop(self) -> None:
        """Ends them; the last one first, which needs the others."""
        for child in reversed(self._children):
            child.kill()

    def _all_run(self) -> bool:
        for child in self._children:
            assert child.exit_code() is None, f"{child.name} has ended:\n{child.last_lines(20)}"
        return True


@contextmanager
def start_cluster(folder: Path, helm: Path) -> Iterator[Cluster]:
    """A cluster of three nodes in three zones, with KEDA; all of it ends with the context.

    Args:
        folder: for its keys, data and logs.
        helm: Helm's program.
    """
    processes = Processes(folder)
    etcd_port, etcd_peer_port, api_port, *ports = free_ports(10)
    _make_keys(folder)
    token = secrets.token_urlsafe()
    (folder / "tokens.csv").write_text(f"{token},admin,1,system:masters\n", encoding="ascii")
    made = Cluster(folder, f"https://127.0.0.1:{api_port}", token, helm)
    try:
        _start_etcd(processes, etcd_port, etcd_peer_port)
        _start_api_server(processes, etcd_port, api_port)
        processes.wait_until(lambda: made.grants("get", "--raw=/readyz"), "the API server")
        _start_controllers(processes, made, ports[:2])
        _start_nodes(processes, made)
        _start_keda(processes, made, ports[2:])
        yield made
    finally:
        processes.stop()


def _make_keys(folder: Path) -> None:
    """One authority signs for every server, and for the API server as the client of KEDA's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    for name, addresses in {
        "api": ("localhost", "127.0.0.1", "kubernetes.default.svc"),
        "front-proxy": ("front-proxy",),
        "tls": ("localhost", _METRICS_SERVER),
    }.items():
        certificate = authority.issue_cert(*addresses, common_name=addresses[0])
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")


def _start_etcd(processes: Processes, port: int, peer_port: int) -> None:
    processes.start(
        "etcd",
        f"--data-dir={processes.folder}/etcd",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",  # its data go with it
        "--log-level=error",
    )


def _start_api_server(processes: Processes, etcd_port: int, port: int) -> None:
    folder = processes.folder
    processes.start(
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={folder}/api.crt",
        f"--tls-private-key-file={folder}/api.key",
        f"--token-auth-file={folder}/tokens.csv",
        f"--client-ca-file={folder}/ca.crt",  # nobody here shows a certificate; KEDA's server asks for it
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/api.key",
        f"--service-account-signing-key-file={folder}/api.key",
        f"--service-cluster-ip-range={_SERVICE_ADDRESSES}",
        "--endpoint-reconciler-type=none",  # of its own address, which must be no loopback one
        # With these it passes requests for metrics on to KEDA's server, and says for whom.
        f"--requestheader-client-ca-file={folder}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={folder}/front-proxy.crt",
        f"--proxy-client-key-file={folder}/front-proxy.key",
    )


def _start_controllers(processes: Processes, cluster: Cluster, ports: Sequence[int]) -> None:
    folder = processes.folder
    access = [f"--{purpose}kubeconfig={cluster.kubeconfig}" for purpose in ("", "authentication-", "authorization-")]
    common = [*access, "--leader-elect=false", "--bind-address=127.0.0.1"]
    processes.start(
        "kube-controller-manager",
        *common,
        f"--secure-port={ports[0]}",
        f"--cert-dir={folder}/controller-manager",
        f"--root-ca-file={folder}/ca.crt",
        f"--service-account-private-key-file={folder}/api.key",
        "--horizontal-pod-autoscaler-sync-period=2s",  # 15 by default: nobody waits for a test that long
    )
    processes.start("kube-scheduler", *common, f"--secure-port={ports[1]}", f"--cert-dir={folder}/scheduler")


def _start_nodes(processes: Processes, cluster: Cluster) -> None:
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    cluster.apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": f"node-{zone}",
                    "labels": {"kubernetes.io/hostname": f"node-{zone}", "topology.kubernetes.io/zone": zone},
                },
                "status": {"allocatable": room, "capacity": room},
            }
            for zone in _ZONES
        )
    )
    processes.start(
        "kwok",
        f"--kubeconfig={cluster.kubeconfig}",
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        f"--cidr={_POD_ADDRESSES}",
        "--node-lease-duration-seconds=40",
        *(f"--config={files('kwok-stages') / stage}" for stage in _STAGES),
    )
    processes.wait_until(
        lambda: cluster.grants("wait", "node", "--all", "--for=condition=Ready", "--timeout=5s"), "nodes"
    )


def _start_keda(processes: Processes, cluster: Cluster, ports: Sequence[int]) -> None:
    """KEDA's operator, and the server by which autoscalers ask it; the API server finds that by a Service's name."""
    cluster.kubectl("apply", "--server-side", f"--filename={files('keda-crds')}")
    cluster.kubectl("create", "namespace", "keda")
    operator_port, adapter_port, *own_ports = ports
    service = {"name": "keda-metrics-apiserver", "namespace": "keda"}
    authority = (processes.folder / "ca.crt").read_bytes()
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": adapter_port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _METRICS_API},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(authority).decode(),
                "service": {**service, "port": adapter_port},
            },
        },
    )
    processes.start(
        "keda-operator",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--cert-dir={processes.folder}",
        f"--metrics-service-bind-address=127.0.0.1:{operator_port}",
        f"--metrics-bind-address=127.0.0.1:{own_ports[0]}",
        f"--health-probe-bind-address=127.0.0.1:{own_ports[1]}",
        "--enable-webhook-patching=false",
        "--enable-apiservice-patching=false",
        **_KEDA_ENVIRONMENT,
    )
    access = [
        f"--{purpose}kubeconfig={cluster.kubeconfig}"
        for purpose in ("", "lister-", "authentication-", "authorization-")
    ]
    processes.start(
        "keda-adapter",
        *access,
        "--bind-address=127.0.0.1",
        f"--secure-port={adapter_port}",
        f"--port={own_ports[2]}",
        f"--metrics-service-address=localhost:{operator_port}",
        f"--tls-cert-file={processes.folder}/tls.crt",
        f"--tls-private-key-file={processes.folder}/tls.key",
        f"--cert-dir={processes.folder}",
        **_KEDA_ENVIRONMENT,
    )
    processes.wait_until(lambda: _is_well(own_ports[1]), "KEDA's operator")
    processes.wait_until(
        lambda: cluster.grants("wait", "apiservice", _METRICS_API, "--for=condition=Available", "--timeout=5s"),
        "KEDA's metrics",
    )


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=_CALL_S) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _run(command: Sequence[str], given: str | None) -> str:
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=_CALL_S)
    if ran.returncode != 0:
        raise Refused(ran.stderr)
    return ran.stdout
