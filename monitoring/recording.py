"""Prometheus recording rules: the service level objectives, the flow of applications, and what the model decides."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from monitoring.promql import JOBS, rate, series, total
from scorer.monitor.families import CONSUMED, LAG, LATENCY, PROBABILITY, REJECTS, TRANSACTIONS

GROUP: Final = "namespace, job"
"""The labels that identify a consumer group; outside Kubernetes the namespace is empty, which works too."""

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Objective(NamedTuple):
    """A service level objective: the target share of good records, `promised`, over thirty days.

    `failed` returns, for a window, the expression of the share of failed records.
    """

    name: str
    promised: float
    failed: Callable[[str], str]

    @property
    def budget(self) -> float:
        """The error budget: the share of records that may fail."""
        return round(1 - self.promised, 6)

    def recorded(self, window: str) -> str:
        """Returns the name of the recorded series of the failed share."""
        return f"namespace_job:scorer_{self.name}:ratio_rate{window}"


LATENCY_WITHIN_S: Final = 1.0
"""Must be a bucket bound of the histogram: between two bounds Prometheus can only interpolate."""
assert LATENCY_WITHIN_S in LATENCY.bounds


def _share(part: str, total: str) -> str:
    return f"{part}\n  / ({total} > 0)"


def _slow(window: str) -> str:
    in_time = rate(series(LATENCY, JOBS, f'le="{LATENCY_WITHIN_S}"', part="bucket"), window, GROUP)
    return f"1 - {_share(in_time, rate(series(LATENCY, JOBS, part='count'), window, GROUP))}"


def _rejected(window: str) -> str:
    return _share(rate(series(REJECTS, JOBS), window, GROUP), rate(series(CONSUMED, JOBS), window, GROUP))


SLOW: Final = Objective("decision_latency_slow", promised=0.99, failed=_slow)
DEAD_LETTERS: Final = Objective("dead_letters", promised=0.99, failed=_rejected)
OBJECTIVES: Final = (SLOW, DEAD_LETTERS)

CONSUMED_RATE: Final = "namespace_job:scorer_applications_consumed:rate5m"
CONSUMED_1H: Final = "namespace_job:scorer_applications_consumed:increase1h"
CONSUMED_1D: Final = "namespace_job:scorer_applications_consumed:increase1d"
LAG_SUM: Final = "namespace_job:scorer_consumer_lag_records:sum"
ABORTED_SHARE: Final = "namespace_job:scorer_transactions_aborted:ratio_rate5m"
PROBABILITY_NOW: Final = "namespace_job_bundle_le:scorer_probability_of_default:ratio_rate1h"
PROBABILITY_BEFORE: Final = "namespace_job_bundle_le:scorer_probability_of_default:ratio_rate7d"
DRIFT: Final = "namespace_job_bundle:scorer_probability_of_default:distance"

Recorded = tuple[str, str]


def recording() -> dict[str, list[Recorded]]:
    """Returns the recorded series, name and expression, per rule group."""
    return {
        "scorer-objectives": [
            *((objective.recorded(window), objective.failed(window)) for objective in OBJECTIVES for window in WINDOWS),
            (CONSUMED_1H, _increase("1h")),
            (CONSUMED_1D, _increase("1d")),
        ],
        "scorer-flow": [
            (CONSUMED_RATE, rate(series(CONSUMED, JOBS), "5m", GROUP)),
            (LAG_SUM, total(series(LAG, JOBS), GROUP)),
            (
                ABORTED_SHARE,
                _share(
                    rate(series(TRANSACTIONS, JOBS, 'result="aborted"'), "5m", GROUP),
                    rate(series(TRANSACTIONS, JOBS), "5m", GROUP),
                ),
            ),
        ],
        # Distance between this hour's and this week's probabilities: the largest difference of the two distribution
        # functions (Kolmogorov-Smirnov), at the bucket bounds.
        "scorer-model": [
            (PROBABILITY_NOW, _distribution("1h")),
            (PROBABILITY_BEFORE, _distribution("7d")),
            (DRIFT, f"max by ({GROUP}, bundle) (abs({PROBABILITY_NOW} - {PROBABILITY_BEFORE}))"),
        ],
    }


def _increase(window: str) -> str:
    return f"sum by ({GROUP}) (increase({series(CONSUMED, JOBS)}[{window}]))"


def _distribution(window: str) -> str:
    below = rate(series(PROBABILITY, JOBS, part="bucket"), window, f"{GROUP}, bundle, le")
    everything = rate(series(PROBABILITY, JOBS, part="count"), window, f"{GROUP}, bundle")
    return f"{below}\n  / on ({GROUP}, bundle) group_left () ({everything} > 0)"


def recording_rules() -> dict[str, Any]:
    """Returns the recording rules in Prometheus' format."""
    return {
        "groups": [
            {"name": name, "rules": [{"record": record, "expr": expr} for record, expr in rules]}
            for name, rules in recording().items()
        ]
    }
