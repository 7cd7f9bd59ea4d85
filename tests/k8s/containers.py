"""What the containers of pods run, run here as processes: kwok only says of a pod that it is running."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from scorer.local.child import Child
from tests.integration.worker_process import WAIT_S
from tests.k8s.cluster import Cluster
from tests.ops.chart import arguments_of

_LOOK_S: Final = 0.5  # between two looks at the pods

Pod = Mapping[str, Any]


class Containers:
    """A process for each running pod of a component, with the command and the environment that the pod has.

    It is told to stop when the pod goes, and the pod is done or has failed when the process has ended. What a kubelet
    does besides is left out: images, volumes, limits, restarts.

    Attributes:
        failed: the end of the log of each process that has failed, by its pod.
    """

    def __init__(self, cluster: Cluster, namespace: str, component: str) -> None:
        self.failed: dict[str, str] = {}
        self._cluster = cluster
        self._namespace = namespace
        self._selector = quote(f"app.kubernetes.io/component={component}")
        self._running: dict[str, Child] = {}
        self._stopping: list[Child] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for name in list(self._running):
            self._stop(name)
        for child in self._stopping:
            child.wait(WAIT_S)
            child.kill()

    def _follow(self) -> None:
        while not self._over.wait(_LOOK_S):
            path = f"/api/v1/namespaces/{self._namespace}/pods?labelSelector={self._selector}"
            pods = {pod["metadata"]["name"]: pod for pod in self._cluster.ask(path)["items"] if _runs(pod)}
            for name in self._running.keys() - pods.keys():
                self._stop(name)
            for name in pods.keys() - self._running.keys():
                self._running[name] = self._start(pods[name])
            for name, child in self._running.items():
                code = child.exit_code()
                if code is not None:
                    self._say_ended(name, code)

    def _start(self, pod: Pod) -> Child:
        (container,) = pod["spec"]["containers"]
        folder = self._cluster.folder / pod["metadata"]["name"]
        folder.mkdir()
        environment = {entry["name"]: _value(entry, pod) for entry in container["env"]}
        here = {"SCORER_HTTP_HOST": address(pod), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "")}
        command = [
            sys.executable,
            "-m",
            "scorer",
            *arguments_of(pod),
        ]  # the image's entry point, and the pod's arguments or the image's
        return Child(command, folder, "container", environment | here)

    def _stop(self, name: str) -> None:
        child = self._running.pop(name)
        child.request_stop()
        self._stopping.append(child)

    def _say_ended(self, name: str, code: int) -> None:
        if code != 0:
            self.failed[name] = self._running[name].last_lines()
        status = {"status": {"phase": "Failed" if code else "Succeeded"}}
        self._cluster.kubectl(
            "patch",
            "pod",
            name,
            f"--namespace={self._namespace}",
            "--subresource=status",
            f"--patch={json.dumps(status)}",
        )


def address(pod: Pod) -> str:
    """Where a pod's process listens: the pod's own address, moved to this machine's loopback network."""
    _, rest = pod["status"]["podIP"].split(".", 1)
    return f"127.{rest}"


def _runs(pod: Pod) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _value(entry: Mapping[str, Any], pod: Pod) -> str:
    if "value" in entry:
        return str(entry["value"])
    assert entry["valueFrom"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}, entry
    return str(pod["metadata"]["name"])
