"""How many workers the chart runs: replicas, autoscalers, static members, and the disruption budget."""

from pathlib import Path

from tests.ops.chart import (
    VALUE_SETS,
    arguments_of,
    component_of,
    each_set,
    environment_of,
    of_kind,
    pod_of,
    pods,
    render,
    values_named,
)
from tests.ops.custom_resources import kafka_trigger


@each_set
def test_one_thing_sets_the_number_of_workers(values: Path) -> None:
    """Where something scales the workers, the workload names no number: an upgrade would take it back to that."""
    resources = render(values)
    scalers = of_kind(resources, "ScaledObject", "HorizontalPodAutoscaler")
    (workload,) = (r for r in of_kind(resources, "Deployment", "StatefulSet") if component_of(r) == "worker")
    assert len(scalers) == (0 if "replicas" in workload["spec"] else 1)
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"])


@each_set
def test_no_more_workers_than_partitions(values: Path) -> None:
    """An autoscaler stops at the partitions that the Job makes: a worker above them has nothing to do."""
    resources = render(values)
    (partitions,) = {
        int(argument.partition("=")[2])
        for component, pod in pods(resources)
        for argument in arguments_of(pod)
        if argument.startswith("--partitions=")
    } or {12}
    for scaler in of_kind(resources, "ScaledObject", "HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        most = spec.get("maxReplicaCount") or spec["maxReplicas"]
        assert 1 <= most <= partitions


def test_keda_sees_the_lag_as_the_workers_do() -> None:
    """KEDA is told group, topic and brokers that the workers have, by parameters that its Kafka trigger knows."""
    for values in ("production", "static-membership", "tls-sasl"):
        resources = render(values_named(values))
        (scaled,) = of_kind(resources, "ScaledObject")
        (trigger,) = scaled["spec"]["triggers"]
        environment = environment_of(pod_of(resources, "worker"))
        metadata = trigger["metadata"]
        assert set(metadata) <= set(kafka_trigger()["metadata"])
        assert metadata["bootstrapServers"] == environment["SCORER_BOOTSTRAP_SERVERS"]
        assert metadata["consumerGroup"] == environment["SCORER_GROUP_ID"]
        assert metadata["topic"] == environment["SCORER_APPLICATIONS_TOPIC"]
        # As the worker begins (scorer.stream.kafka), or a new group would be seen with nothing to do.
        assert metadata["offsetResetPolicy"] == "earliest"
        assert (metadata["excludePersistentLag"], metadata["allowIdleConsumers"]) == ("true", "false")
        # More than what a busy worker has under way, or workers are added for what is being decided.
        assert int(metadata["lagThreshold"]) > 2 * int(environment["SCORER_BATCH_RECORDS_MAX"])
        assert all(isinstance(value, str) for value in metadata.values())
        behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        windows = {way: behavior[way]["stabilizationWindowSeconds"] for way in behavior}
        assert windows == {"scaleUp": 30, "scaleDown": 300}
        # A look at the lag can find every partition where it was, as in a rebalance: going down outlasts several looks.
        assert windows["scaleDown"] > 3 * scaled["spec"]["pollingInterval"]


def test_keda_logs_in_with_the_same_secrets() -> None:
    """The TriggerAuthentication names the Secrets that the workers mount; none is made where none is needed."""
    resources = render(values_named("tls-sasl"))
    (authentication,), (scaled,) = of_kind(resources, "TriggerAuthentication"), of_kind(resources, "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert (trigger["metadata"]["tls"], trigger["metadata"]["sasl"]) == ("enable", "scram_sha256")
    given = {target.pop("parameter"): target for target in authentication["spec"]["secretTargetRef"]}
    assert set(given) <= set(kafka_trigger()["authentication"])
    assert given == {
        "username": {"name": "scorer-login", "key": "login"},
        "password": {"name": "scorer-login", "key": "secret"},
        "ca": {"name": "cluster-ca-cert", "key": "ca.crt"},
        "cert": {"name": "scorer-user", "key": "user.crt"},
        "key": {"name": "scorer-user", "key": "user.key"},
    }
    beside = render(values_named("production"))
    (authentication,) = of_kind(beside, "TriggerAuthentication")
    (target,) = authentication["spec"]["env"]
    (container,) = pod_of(beside, "worker")["spec"]["containers"]
    assert (target["parameter"], target["containerName"]) == ("username", container["name"])
    assert environment_of(pod_of(beside, "worker"))[target["name"]] == "scorer"
    assert "username" not in {target["parameter"] for target in authentication["spec"]["secretTargetRef"]}
    plain = render(values_named("static-membership"))
    (scaled,) = of_kind(plain, "ScaledObject")
    assert of_kind(plain, "TriggerAuthentication") == []
    assert "authenticationRef" not in scaled["spec"]["triggers"][0]
    own = render(values_named("tls-sasl"), "--set", "autoscaling.keda.authenticationRef=mine")
    (scaled,) = of_kind(own, "ScaledObject")
    assert of_kind(own, "TriggerAuthentication") == []
    assert scaled["spec"]["triggers"][0]["authenticationRef"] == {"name": "mine"}
    assert not {"tls", "sasl"} & scaled["spec"]["triggers"][0]["metadata"].keys()


def test_static_members_have_names_that_stay() -> None:
    """A Deployment's pods have a new name each time: static members are a StatefulSet's, and named by it."""
    static = render(values_named("static-membership"))
    (workload,) = of_kind(static, "StatefulSet")
    assert of_kind(static, "Deployment") == []
    (name,) = (
        e for e in workload["spec"]["template"]["spec"]["containers"][0]["env"] if e["name"] == "SCORER_INSTANCE_ID"
    )
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    (service,) = (s for s in of_kind(static, "Service") if s["spec"].get("clusterIP") == "None")
    assert workload["spec"]["serviceName"] == service["metadata"]["name"]
    for values in VALUE_SETS:
        for component, pod in pods(render(values)):
            given = "SCORER_INSTANCE_ID" in {entry["name"] for entry in pod["spec"]["containers"][0]["env"]}
            assert given == (values.stem == "static-membership" and component == "worker")


def test_drains_go_on() -> None:
    """The budget says how many may be away, not how many must be there: one worker's drain would wait for good."""
    for values in VALUE_SETS:
        for budget in of_kind(render(values), "PodDisruptionBudget"):
            assert "maxUnavailable" in budget["spec"]
            assert "minAvailable" not in budget["spec"]
            assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
