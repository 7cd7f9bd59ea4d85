"""The page of the metrics: each with its labels and what it counts, as scorer/monitor/families.py declares them."""

from collections.abc import Iterable
from typing import Final

from documentation.fields import plain
from scorer.monitor.families import METRICS, REPLAY_METRICS, Metric

_INTRODUCTION: Final = """# Metrics

Each worker serves these at `/metrics` of its [`http_host`](settings.md#http_host) and
[`http_port`](settings.md#http_port), in Prometheus' format. Times are in seconds; counters end in `_total`, and their
series are there at 0 from the start wherever the labels' values are known then. Nothing of an application's content is
in a metric.

## Of a worker
"""
_REPLAY: Final = """## Of a replay

`scorer replay run --http-port` serves the worker's metrics, and besides:
"""


def metrics_page() -> str:
    """The page."""
    return "\n".join([_INTRODUCTION, *_sections(METRICS), _REPLAY, *_sections(REPLAY_METRICS)])


def _sections(metrics: Iterable[Metric]) -> Iterable[str]:
    return (_section(metric) for metric in metrics)


def _section(metric: Metric) -> str:
    facts = [f"- kind: {metric.kind}"]
    if metric.labels:
        facts.append("- labels: " + ", ".join(f"`{label}`" for label in metric.labels))
    if metric.bounds:
        facts.append("- buckets up to: " + ", ".join(f"{bound:,.15g}" for bound in metric.bounds))
    return "\n".join([f"### {metric.exposed_name}", "", plain(metric.help), "", *facts, ""])
