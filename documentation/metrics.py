"""Reference page of the metrics with their labels and buckets, from scorer/monitor/families.py."""

from collections.abc import Iterable
from typing import Final

from documentation.fields import plain
from scorer.monitor.families import CONSOLE_METRICS, METRICS, REPLAY_METRICS, Metric

_INTRODUCTION: Final = """# Metrics

Each worker exposes these metrics at `/metrics` on its [`http_host`](settings.md#http_host) and
[`http_port`](settings.md#http_port), in Prometheus' format. Times are in seconds; counters end in `_total`, and their
series start at 0 if the values of their labels are known in advance. No metric contains any content of an application.

## Worker metrics
"""
_REPLAY: Final = """## Replay metrics

`scorer replay run --http-port` exposes the worker metrics, and additionally:
"""
_CONSOLE: Final = """## Console metrics

`scorer console` exposes these metrics at `/metrics` on its [`console_port`](settings.md#console_port), without a login.
Those of the consumer group and of the brokers need no workers. Those of reviews are exposed if
[`console_reviewers_file`](settings.md#console_reviewers_file) names reviewers, once the console has read the decisions:
"""


def metrics_page() -> str:
    """Returns the page."""
    return "\n".join(
        [_INTRODUCTION, *_sections(METRICS), _REPLAY, *_sections(REPLAY_METRICS), _CONSOLE, *_sections(CONSOLE_METRICS)]
    )


def _sections(metrics: Iterable[Metric]) -> Iterable[str]:
    return (_section(metric) for metric in metrics)


def _section(metric: Metric) -> str:
    facts = [f"- type: {metric.kind}"]
    if metric.labels:
        facts.append("- labels: " + ", ".join(f"`{label}`" for label in metric.labels))
    if metric.bounds:
        facts.append("- buckets up to: " + ", ".join(f"{bound:,.15g}" for bound in metric.bounds))
    return "\n".join([f"### {metric.exposed_name}", "", plain(metric.help), "", *facts, ""])
