"""PromQL built from the declared metrics, so that no query can name an undeclared one."""

from typing import Final

from scorer.monitor.families import Metric

JOBS: Final = 'job=~"scorer-worker.*"'
"""Matches the scrape jobs of workers; each consumer group has its own job, for example scorer-worker-staging."""

CONSOLES: Final = 'job=~"scorer-console.*"'
"""Matches the scrape jobs of consoles; a console's job has the suffix of the job of the workers that it watches."""

ALERTMANAGERS: Final = 'job=~"scorer-alertmanager.*"'
"""Matches the scrape jobs of the Alertmanagers that deliver the scorer's alerts."""


def series(metric: Metric, *matchers: str, part: str = "") -> str:
    """Returns a selector of a metric's series.

    Args:
        metric: the metric.
        matchers: label matchers.
        part: for a histogram: `bucket`, `count` or `sum`.
    """
    assert (metric.kind == "histogram") == bool(part), f"{metric.name} is a {metric.kind}"
    name = f"{metric.name}_{part}" if part else metric.exposed_name
    return f"{name}{{{', '.join(matchers)}}}"


def rate(selected: str, over: str, by: str = "") -> str:
    """Returns the per-second rate of the selected series, summed by the labels in `by`."""
    return f"{_sum(by)} (rate({selected}[{over}]))"


def total(selected: str, by: str = "") -> str:
    """Returns the sum of the selected series by the labels in `by`."""
    return f"{_sum(by)} ({selected})"


def quantile(q: float, metric: Metric, over: str, *matchers: str, by: str = "") -> str:
    """Returns a quantile of a histogram, by the labels in `by`."""
    buckets = rate(series(metric, *matchers, part="bucket"), over, ", ".join(filter(None, (by, "le"))))
    return f"histogram_quantile({q}, {buckets})"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
