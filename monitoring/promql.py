"""PromQL over the metrics as they are declared, so that no query can name one that is not."""

from typing import Final

from scorer.monitor.families import Metric

JOBS: Final = 'job=~"scorer-worker.*"'
"""The scrape jobs of workers; a group of its own has a job of its own, such as scorer-worker-staging."""


def series(metric: Metric, *matchers: str, part: str = "") -> str:
    """A selector of a metric's series.

    Args:
        metric: the metric.
        matchers: label matchers.
        part: of a histogram, `bucket`, `count` or `sum`.
    """
    assert (metric.kind == "histogram") == bool(part), f"{metric.name} is a {metric.kind}"
    name = f"{metric.name}_{part}" if part else metric.exposed_name
    return f"{name}{{{', '.join(matchers)}}}"


def rate(selected: str, over: str, by: str = "") -> str:
    """What the selected series grow by a second, added up but for the labels in `by`."""
    return f"{_sum(by)} (rate({selected}[{over}]))"


def total(selected: str, by: str = "") -> str:
    """The selected series added up but for the labels in `by`."""
    return f"{_sum(by)} ({selected})"


def quantile(q: float, metric: Metric, over: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram, for each value of the labels in `by`."""
    buckets = rate(series(metric, *matchers, part="bucket"), over, ", ".join(filter(None, (by, "le"))))
    return f"histogram_quantile({q}, {buckets})"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
