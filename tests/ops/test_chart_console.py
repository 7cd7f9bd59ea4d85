"""The chart's console: what its pod gets for reviewers."""

from tests.ops.chart import arguments_of, of_kind, pod_of, render, values_named


def test_the_console_of_reviewers() -> None:
    """The console has the file of the reviewers' Secret; without one it has neither the file nor a ServiceMonitor."""
    resources = render(values_named("production"))
    console = pod_of(resources, "console")
    assert "--reviewers-file=/run/reviewers/reviewers" in arguments_of(console)
    (volume,) = [volume for volume in console["spec"]["volumes"] if volume["name"] == "console-reviewers"]
    assert volume["secret"]["secretName"] == "scorer-reviewers"
    without = render(values_named("production"), "--set=console.reviewersSecret.name=")
    assert not any("reviewers" in argument for argument in arguments_of(pod_of(without, "console")))
    assert [r["metadata"]["name"] for r in of_kind(without, "ServiceMonitor")] == ["scorer"]
