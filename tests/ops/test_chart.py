"""The chart, rendered by helm over sets of values: sound to Kubernetes and to KEDA, and right in what matters."""

import math
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml

from schemas.confidential import is_secret
from scorer.author.container import write_context
from scorer.cli.root import app
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from scorer.settings import load_settings
from tests.integration.worker_process import WAIT_S, wait_until
from tests.ops.chart import (
    CHART,
    ROOT,
    VALUE_SETS,
    Resource,
    arguments_of,
    command_of,
    component_of,
    each_set,
    environment_of,
    helm,
    is_hook,
    of_kind,
    pod_of,
    pods,
    render,
    values_named,
)
from tests.ops.custom_resources import schema_of
from tests.unit.bundle.making import PLAIN

# The oldest that Chart.yaml names, the newest that kubernetes-validate knows, and some between.
KUBERNETES = ("1.27", "1.30", "1.34", "1.37")


@each_set
def test_helm_lints_it(values: Path) -> None:
    """`helm lint --strict` finds nothing to warn of, whatever the values."""
    completed = helm("lint", "--strict", CHART, "--values", values)
    assert completed.returncode == 0, completed.stdout
    assert "0 chart(s) failed" in completed.stdout


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@each_set
def test_resources_are_valid(values: Path, kubernetes: str) -> None:
    """Each resource fits the schema of its kind, of this Kubernetes, KEDA or the Prometheus operator, to the field."""
    resources = render(values, kubernetes=kubernetes)
    for resource in resources:
        schema = schema_of(resource["kind"])
        if schema is None:
            assert kubernetes_validate.validate(resource, kubernetes, strict=True) == kubernetes
        else:
            jsonschema.Draft202012Validator(schema).validate(resource)
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in resources]
    assert len(names) == len(set(names))


def test_a_field_that_no_schema_has_is_found() -> None:
    """The schemas are strict: a slip in a template does not pass, in Kubernetes' kinds nor in KEDA's."""
    resources = render(values_named("tls-sasl"))
    (worker,), (scaled,) = of_kind(resources, "Deployment"), of_kind(resources, "ScaledObject")
    with pytest.raises(kubernetes_validate.ValidationError, match="replcas"):
        kubernetes_validate.validate({**worker, "spec": {**worker["spec"], "replcas": 1}}, "1.34", strict=True)
    schema = schema_of("ScaledObject")
    assert schema is not None
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.validate({**scaled, "spec": {**scaled["spec"], "minReplicas": 1}}, schema)


def test_the_value_sets_reach_every_template() -> None:
    """No template is left out by all of them."""
    kinds = {(resource["kind"], component_of(resource)) for path in VALUE_SETS for resource in render(path)}
    assert {kind for kind, _ in kinds} == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy",
        "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "PrometheusRule", "ScaledObject", "Service",
        "ServiceAccount", "ServiceMonitor", "StatefulSet", "TriggerAuthentication",
    }  # fmt: skip
    assert {component for _, component in kinds} == {"worker", "console", "topics", "doctor"}


@each_set
def test_pods_keep_the_restricted_standard(values: Path) -> None:
    """Every pod is what Kubernetes' restricted pod security standard asks for, and a little more."""
    for _, pod in pods(render(values)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"].get("runAsUser") != 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert not any("hostPort" in port for port in container.get("ports", ()))


@each_set
def test_every_container_has_limits(values: Path) -> None:
    """Each asks for CPU and memory, and has a limit of memory, so that one that grows takes nothing from others."""
    for component, pod in pods(render(values)):
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, component
        assert "memory" in container["resources"]["limits"], component


@each_set
def test_no_service_of_the_namespace_becomes_a_setting(values: Path) -> None:
    """A Service called scorer would put SCORER_PORT into the environment, which a worker refuses."""
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in pods(render(values)))


@each_set
def test_a_pod_outlives_the_shutdown_timeout(values: Path) -> None:
    """The grace period is longer than the seconds that the worker gives itself, with time to leave its group."""
    pod = pod_of(render(values), "worker")
    shutdown_timeout_s = float(environment_of(pod)["SCORER_SHUTDOWN_TIMEOUT_S"])
    assert pod["spec"]["terminationGracePeriodSeconds"] >= math.ceil(shutdown_timeout_s) + 15


@each_set
def test_probes_ask_where_the_worker_answers(values: Path) -> None:
    """Alive is /healthz and ready is /readyz, on the port of the settings, which the container names."""
    resources = render(values)
    pod = pod_of(resources, "worker")
    (container,) = pod["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {get["port"] for get in probes.values()} == {"http"}
    assert container["ports"] == [{"name": "http", "containerPort": int(environment_of(pod)["SCORER_HTTP_PORT"])}]
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 120 + 600


@each_set
def test_what_is_written_lies_in_a_volume(values: Path) -> None:
    """With a read-only root, the folders that are written to, and no others, are volumes; what is mounted is there."""
    for _, pod in pods(render(values)):
        (container,) = pod["spec"]["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == mounted.keys()
        assert mounted["cache"] == environment_of(pod)["XDG_CACHE_HOME"]
        assert mounted["tmp"] == "/tmp"  # noqa: S108  (the pod's own)
        assert len(set(mounted.values())) == len(mounted)


@each_set
def test_settings_are_real(values: Path, tmp_path: Path) -> None:
    """Every SCORER_ variable is a setting that the scorer takes, with a value that it takes: it reads them all."""
    for _, pod in pods(render(values)):
        environment = environment_of(pod)
        for name in [name for name in environment if name.endswith("_FILE")]:
            file = tmp_path / Path(environment[name]).name
            file.write_text("the-secret-of-a-test", encoding="utf-8")
            environment[name] = str(file)
        loaded = load_settings(environment=environment)
        assert set(loaded.origins.values()) - {"default"} == {
            name for name in environment if name.startswith("SCORER_")
        }


@each_set
def test_arguments_are_commands(values: Path) -> None:
    """What each container runs is a command of the scorer with options that it has."""
    for component, pod in pods(render(values)):
        command: Any = typer.main.get_command(app)
        arguments = arguments_of(pod)
        assert arguments[0] == component
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context(component, arguments)


@each_set
def test_only_a_pinned_worker_replaces_the_images_command(values: Path) -> None:
    """The worker of a bundle's image is pinned to its bundle; the chart made it follow deployments instead."""
    bundle = yaml.safe_load(values.read_text(encoding="utf-8")).get("worker", {}).get("bundle")
    for component, pod in pods(render(values)):
        (container,) = pod["spec"]["containers"]
        assert "command" not in container, "the entry point is the image's"
        if component == "worker":
            assert container.get("args") == (["worker", "--bundle", bundle] if bundle else None)
        else:
            assert container["args"], f"the image's command is not that of {component}"


def test_the_commands_of_images_run_workers(tmp_path: Path) -> None:
    """What the chart leaves to the image is a worker that follows deployments, or one that is pinned to its bundle."""
    assert command_of(ROOT / "Dockerfile") == ["worker"]
    manifest = write_context(PLAIN, tmp_path / "context")
    assert command_of(tmp_path / "context" / "Dockerfile") == ["worker", "--bundle", str(manifest.reference)]


def test_secrets_are_files_and_stand_in_no_manifest() -> None:
    """Passwords and keys are mounted from Secrets of the user's; the chart makes none, and no variable holds one."""
    for values in VALUE_SETS:
        resources = render(values)
        assert of_kind(resources, "Secret") == []
        for _, pod in pods(resources):
            (container,) = pod["spec"]["containers"]
            variables = {
                entry["name"].removeprefix("SCORER_KAFKA__").lower().replace("_", ".") for entry in container["env"]
            }
            given = {name for name in variables if name.startswith(("sasl.", "ssl."))}
            assert {name for name in given if is_secret(name)} == set()
    pod = pod_of(render(values_named("tls-sasl")), "worker")
    (kafka,) = (volume["projected"] for volume in pod["spec"]["volumes"] if volume["name"] == "kafka")
    assert kafka["defaultMode"] == 0o440
    assert [source["secret"] for source in kafka["sources"]] == [
        {"name": "cluster-ca-cert", "items": [{"key": "ca.crt", "path": "ca.crt"}]},
        {
            "name": "scorer-user",
            "items": [{"key": "user.crt", "path": "tls.crt"}, {"key": "user.key", "path": "tls.key"}],
        },
        {"name": "scorer-login", "items": [{"key": "secret", "path": "password"}]},
    ]
    paths = {value for value in environment_of(pod).values() if value.startswith("/run/kafka/")}
    assert paths == {f"/run/kafka/{name}" for name in ("ca.crt", "tls.crt", "tls.key", "password")}


def test_selectors_outlive_an_upgrade(tmp_path: Path) -> None:
    """No selector changes with the chart's version, the image or the values, and each finds its pods and no others."""
    newer = Path(shutil.copytree(CHART, tmp_path / "newer"))
    text = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(re.sub(r"(?m)^(version|appVersion): .*$", r"\1: 9.9.9", text), encoding="utf-8")
    before = render(values_named("production"))
    after = render(values_named("production"), "--set", "image.tag=next,worker.podLabels.team=other", chart=newer)
    assert _selectors(before) == _selectors(after)
    for resources in (before, after):
        labels = {component: pod["metadata"]["labels"] for component, pod in pods(resources)}
        for (_, name), selector in _selectors(resources).items():
            selected = {component for component, own in labels.items() if selector.items() <= own.items()}
            assert len(selected) == (len(labels) if name.endswith("-egress") else 1), name


def _selectors(resources: list[Resource]) -> dict[tuple[str, str], dict[str, str]]:
    selectors = {}
    for resource in resources:
        spec = resource.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if selector:
            selectors[resource["kind"], resource["metadata"]["name"]] = selector.get("matchLabels", selector)
    return selectors


def test_topics_come_before_the_workers_and_need_nothing_of_them() -> None:
    """At a first install nothing of the release is there when the topics' Job runs: it refers to nothing of it."""
    for values in VALUE_SETS:
        resources = render(values)
        hooks = [r for r in resources if is_hook(r) and component_of(r) == "topics"]
        assert bool(hooks) == (values.stem != "off")
        for hook in hooks:
            annotations = hook["metadata"]["annotations"]
            assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
            assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        made = {(r["kind"], r["metadata"]["name"]) for r in resources if not is_hook(r)}
        for job in of_kind(hooks, "Job"):
            spec = job["spec"]["template"]["spec"]
            needed = {("ServiceAccount", spec["serviceAccountName"])}
            needed |= {
                ("PersistentVolumeClaim", v["persistentVolumeClaim"]["claimName"])
                for v in spec["volumes"]
                if "persistentVolumeClaim" in v
            }
            needed |= {("ConfigMap", v["configMap"]["name"]) for v in spec["volumes"] if "configMap" in v}
            assert not needed & made
            assert spec["restartPolicy"] == "Never"
    order = sorted(
        (int(r["metadata"]["annotations"]["helm.sh/hook-weight"]), r["kind"])
        for r in render(values_named("production"))
        if is_hook(r) and component_of(r) == "topics"
    )
    assert [kind for _, kind in order] == ["NetworkPolicy", "Job"]


def test_connections_that_are_not_needed_are_not_allowed() -> None:
    """Workers take none but to their port; where egress is limited, names, brokers and the store are left."""
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(render(values_named("production")), "NetworkPolicy")}
    assert policies["scorer"]["policyTypes"] == ["Ingress"]
    (rule,) = policies["scorer"]["ingress"]
    assert rule["ports"] == [{"port": "http"}]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert policies["scorer-egress"]["egress"] == policies["scorer-topics"]["egress"]
    ports = [[port["port"] for port in rule["ports"]] for rule in policies["scorer-egress"]["egress"]]
    assert ports == [[53, 53], [9093, 9094], [443], [4318]]


def test_appversion_is_the_package() -> None:
    """The chart is made for this release of the scorer."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{chart["appVersion"]}"' in project


@pytest.mark.broker
def test_the_chart_runs(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """With the pods' environment the Job's command makes the topics, the worker's answers its probes and stops."""
    (port,) = free_ports(1)
    kinds = ("applications", "decisions", "dead_letters", "deployments", "reviews")
    names = [f"settings.{kind}_topic={unique(kind)}" for kind in kinds]
    values = [
        f"kafka.bootstrapServers={broker.bootstrap_servers}",
        f"settings.http_port={port}",
        "topics.replication=1",
        *names,
    ]
    resources = render(values_named("minimal"), *(f"--set={value.replace(',', chr(92) + ',')}" for value in values))
    topics, worker = pod_of(resources, "topics"), pod_of(resources, "worker")
    made = subprocess.run(
        _command(topics), env=_whole(topics), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert made.stdout.startswith("created: ")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(_command(worker), env=_whole(worker), cwd=tmp_path, stdout=log, stderr=log)
    try:
        (container,) = worker["spec"]["containers"]
        for name in ("startup", "liveness", "readiness"):
            path = container[f"{name}Probe"]["httpGet"]["path"]
            wait_until(partial(_answers, port, path), f"{name}: {path}")
        process.terminate()
        assert process.wait(worker["spec"]["terminationGracePeriodSeconds"]) == 0
    finally:
        process.kill()
        process.wait(WAIT_S)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _whole(pod: Resource) -> dict[str, str]:
    """The environment of a process that runs here what the pod runs there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")} | environment_of(pod)


def _command(pod: Resource) -> list[str]:
    return [sys.executable, "-m", "scorer", *arguments_of(pod)]
