"""The chart's console: what its pod gets for reviewers and operators, how browsers reach it, and who scrapes it."""

from tests.ops.chart import arguments_of, environment_of, of_kind, pod_of, refusal, render, values_named


def test_the_console_of_reviewers() -> None:
    """The console has the file of the reviewers' Secret; without one it has not, and is scraped all the same."""
    resources = render(values_named("production"))
    console = pod_of(resources, "console")
    assert "--reviewers-file=/run/reviewers/reviewers" in arguments_of(console)
    (volume,) = [volume for volume in console["spec"]["volumes"] if volume["name"] == "console-reviewers"]
    assert volume["secret"]["secretName"] == "scorer-reviewers"
    without = render(values_named("production"), "--set=console.reviewersSecret.name=")
    assert not any("reviewers" in argument for argument in arguments_of(pod_of(without, "console")))
    assert [r["metadata"]["name"] for r in of_kind(without, "ServiceMonitor")] == ["scorer", "scorer-console"]


def test_the_console_of_operators() -> None:
    """The console has the file of the operators' Secret; without one it has not, so that nobody can requeue there."""
    console = pod_of(render(values_named("production")), "console")
    assert "--operators-file=/run/operators/operators" in arguments_of(console)
    (volume,) = [volume for volume in console["spec"]["volumes"] if volume["name"] == "console-operators"]
    assert volume["secret"]["secretName"] == "scorer-operators"
    without = pod_of(render(values_named("production"), "--set=console.operatorsSecret.name="), "console")
    assert not any("operators" in argument for argument in arguments_of(without))
    assert not any(volume["name"] == "console-operators" for volume in without["spec"]["volumes"])


def test_the_ingress() -> None:
    """It leads to the console's Service, over TLS alone, and the console accepts its host; by default none is made."""
    resources = render(values_named("production"))
    (ingress,) = of_kind(resources, "Ingress")
    assert ingress["spec"]["tls"] == [{"hosts": ["scorer.example.com"], "secretName": "scorer-tls"}]
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "scorer.example.com"
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(resources, "Service")}
    backend = path["backend"]["service"]
    assert backend["port"]["name"] in [port["name"] for port in services[backend["name"]]["ports"]]
    hosts = environment_of(pod_of(resources, "console"))["SCORER_CONSOLE_ALLOWED_HOSTS"].split(",")
    assert {"scorer.example.com", "console.credit.example.com"} <= set(hosts)
    assert of_kind(render(values_named("production"), "--set=console.ingress.enabled=false"), "Ingress") == []
    assert of_kind(render(values_named("minimal")), "Ingress") == []


def test_an_ingress_needs_a_console_and_a_host() -> None:
    """Both are missing by default, and one message names both."""
    message = refusal(values_named("minimal"), "--set=console.ingress.enabled=true")
    assert "console.ingress.enabled: has no effect without a console" in message
    assert "console.ingress.host: required" in message
