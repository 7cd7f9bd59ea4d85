"""The chart as helm renders it, and what there is to ask of it."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.tools import tool

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm"
VALUE_SETS: Final = sorted((Path(__file__).parent / "values").glob("*.yaml"))
NEWEST: Final = "1.34"
"""The Kubernetes that a template is rendered for, unless said otherwise."""
each_set: Final = pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)
"""A test with each of the sets of values."""

Resource = dict[str, Any]
_WORKLOADS: Final = {"Deployment", "StatefulSet", "Job"}


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Runs helm; what it says is in the answer, whether it went well or not."""
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def render(values: Path, *options: str, chart: Path = CHART, kubernetes: str = NEWEST) -> list[Resource]:
    """The resources that the chart makes of a set of values, as release `scorer` in namespace `credit`."""
    return deepcopy(_render(values, options, chart, kubernetes))  # a test may change its own


@cache
def _render(values: Path, options: tuple[str, ...], chart: Path, kubernetes: str) -> list[Resource]:
    arguments = ("scorer", chart, "--namespace", "credit", "--kube-version", kubernetes)
    completed = helm("template", *arguments, "--values", values, *options)
    assert completed.returncode == 0, completed.stderr
    return [resource for resource in yaml.safe_load_all(completed.stdout) if resource]


def refusal(values: Path, *options: str) -> str:
    """What helm says of values that it does not render."""
    completed = helm("template", "scorer", CHART, "--kube-version", NEWEST, "--values", values, *options)
    assert completed.returncode != 0, completed.stdout
    return completed.stderr


def values_named(name: str) -> Path:
    """One of the sets of values."""
    (match,) = (path for path in VALUE_SETS if path.stem == name)
    return match


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    """The resources of these kinds."""
    return [resource for resource in resources if resource["kind"] in kinds]


def component_of(resource: Mapping[str, Any]) -> str:
    """Whose it is: worker, console, topics or doctor."""
    component: str = resource["metadata"]["labels"]["app.kubernetes.io/component"]
    return component


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    """The pods that will run, each with its component: `metadata` and `spec`."""
    for resource in resources:
        if resource["kind"] in _WORKLOADS:
            yield component_of(resource), resource["spec"]["template"]
        elif resource["kind"] == "Pod":
            yield component_of(resource), resource


def pod_of(resources: list[Resource], component: str) -> Resource:
    """The one pod of a component."""
    (pod_found,) = (pod for name, pod in pods(resources) if name == component)
    return pod_found


def environment_of(pod: Resource) -> dict[str, str]:
    """A pod's variables; what a Secret or a field gives is a text of its own."""
    (container,) = pod["spec"]["containers"]
    names = [entry["name"] for entry in container["env"]]
    assert len(names) == len(set(names))
    return {entry["name"]: entry.get("value", "given-elsewhere") for entry in container["env"]}


def command_of(dockerfile: Path) -> list[str]:
    """The command of the image that a Dockerfile makes: the arguments of its entry point."""
    (command,) = re.findall(r"(?m)^CMD (.+)$", dockerfile.read_text(encoding="utf-8"))
    return list(json.loads(command))


def arguments_of(pod: Mapping[str, Any]) -> list[str]:
    """The arguments of the entry point in the scorer's image: the pod's, or else the image's command."""
    (container,) = pod["spec"]["containers"]
    return list(container["args"]) if "args" in container else command_of(ROOT / "Dockerfile")


def is_hook(resource: Mapping[str, Any]) -> bool:
    """Whether helm makes it before or after the release, and not as a part of it."""
    return "helm.sh/hook" in resource["metadata"].get("annotations", {})
