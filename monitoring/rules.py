"""Prometheus' rules: what is recorded, and for what somebody is paged or finds a ticket.

The burn-rate alerts are those of Google's Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

import re
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from monitoring.promql import JOBS, rate, series, total
from scorer.monitor.families import (
    BLOCKED,
    BUNDLE,
    COMMITTED,
    CONSUMED,
    LAG,
    LAST_POLL,
    LATENCY,
    PROBABILITY,
    REJECTS,
    SWAPS,
    TRANSACTIONS,
)

RUNBOOKS: Final = "docs/runbooks"
"""Where the runbooks are unless the generator is told a base of one's own, such as https://wiki.example.com/scorer."""

GROUP: Final = "namespace, job"
"""What tells one group of workers from another; outside Kubernetes there is no namespace, which is as good."""

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Objective(NamedTuple):
    """What is promised of the records: a share of them, `promised`, over thirty days.

    `bad` is an expression of the share that broke the promise, given a window.
    """

    name: str
    promised: float
    bad: Callable[[str], str]

    @property
    def budget(self) -> float:
        """The share that may break it."""
        return round(1 - self.promised, 6)

    def recorded(self, window: str) -> str:
        """The name under which the bad share is recorded."""
        return f"namespace_job:scorer_{self.name}:ratio_rate{window}"


LATENCY_WITHIN_S: Final = 1.0
"""One of the histogram's bounds: between two of them Prometheus could only guess."""
assert LATENCY_WITHIN_S in LATENCY.bounds


def _share(part: str, whole: str) -> str:
    return f"{part}\n  / ({whole} > 0)"


def _slow(window: str) -> str:
    in_time = rate(series(LATENCY, JOBS, f'le="{LATENCY_WITHIN_S}"', part="bucket"), window, GROUP)
    return f"1 - {_share(in_time, rate(series(LATENCY, JOBS, part='count'), window, GROUP))}"


def _refused(window: str) -> str:
    return _share(rate(series(REJECTS, JOBS), window, GROUP), rate(series(CONSUMED, JOBS), window, GROUP))


SLOW: Final = Objective("decision_latency_slow", promised=0.99, bad=_slow)
DEAD_LETTERS: Final = Objective("dead_letters", promised=0.99, bad=_refused)
OBJECTIVES: Final = (SLOW, DEAD_LETTERS)

CONSUMED_RATE: Final = "namespace_job:scorer_applications_consumed:rate5m"
CONSUMED_1H: Final = "namespace_job:scorer_applications_consumed:increase1h"
CONSUMED_1D: Final = "namespace_job:scorer_applications_consumed:increase1d"
LAG_SUM: Final = "namespace_job:scorer_consumer_lag_records:sum"
ABORTED_SHARE: Final = "namespace_job:scorer_transactions_aborted:ratio_rate5m"
PROBABILITY_NOW: Final = "namespace_job_bundle_le:scorer_probability_of_default:ratio_rate1h"
PROBABILITY_BEFORE: Final = "namespace_job_bundle_le:scorer_probability_of_default:ratio_rate7d"
DRIFT: Final = "namespace_job_bundle:scorer_probability_of_default:distance"

# Of fewer records than this, one that is slow or refused says nothing of the rest.
_RECORDS_MIN: Final = 100
# So many decisions in the hour, or two samples of the same applicants are this far apart now and then.
_DRIFT_RECORDS_MIN: Final = 1_000
DRIFT_MAX: Final = 0.15
ABORTED_MAX: Final = 0.05
# A backlog of less than a minute's work, or of a few records, is a batch or two.
_BACKLOG_S: Final = 60
_BACKLOG_RECORDS: Final = 1_000
_STALLED_S: Final = 60

Recorded = tuple[str, str]


def recording() -> dict[str, list[Recorded]]:
    """By group, the series that are recorded: name and expression."""
    return {
        "scorer-objectives": [
            *((objective.recorded(window), objective.bad(window)) for objective in OBJECTIVES for window in WINDOWS),
            (CONSUMED_1H, _increase("1h")),
            (CONSUMED_1D, _increase("1d")),
        ],
        "scorer-flow": [
            (CONSUMED_RATE, rate(series(CONSUMED, JOBS), "5m", GROUP)),
            (LAG_SUM, total(series(LAG, JOBS), GROUP)),
            (
                ABORTED_SHARE,
                _share(
                    rate(series(TRANSACTIONS, JOBS, 'outcome="aborted"'), "5m", GROUP),
                    rate(series(TRANSACTIONS, JOBS), "5m", GROUP),
                ),
            ),
        ],
        # How far this hour's probabilities are from this week's: the largest distance of the two distribution
        # functions (Kolmogorov and Smirnov's), at the bounds of the buckets.
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


class Alert(NamedTuple):
    """An alert. A page means that applicants are worse off now; a ticket can wait until the morning."""

    name: str
    severity: Literal["page", "ticket"]
    pending: str
    """How long it must hold; a moment's hiccup wakes nobody."""
    expression: str
    summary: str
    """What is the case, in general."""
    description: str
    """What is the case here: with the figures, as a template of Prometheus'."""

    def runbook(self) -> str:
        """The name of its runbook's file."""
        return f"{re.sub('(?<=[a-z])(?=[A-Z])', '-', self.name).lower()}.md"


def alerts() -> dict[str, list[Alert]]:
    """By group, the alerts."""
    return {
        "scorer-objectives-alerts": [*_burning(SLOW, _SLOW_TOLD), *_burning(DEAD_LETTERS, _DEAD_LETTERS_TOLD)],
        "scorer-flow-alerts": _flow_alerts(),
        "scorer-worker-alerts": _worker_alerts(),
        "scorer-model-alerts": _model_alerts(),
    }


class _Told(NamedTuple):
    name: str
    what: str


_SLOW_TOLD: Final = _Told(
    "DecisionsSlow",
    f"of the applications took longer than {LATENCY_WITHIN_S:g} s from their timestamp to their decision",
)
_DEAD_LETTERS_TOLD: Final = _Told("DeadLetters", "of the records could not be decided and became dead letters")


def _burning(objective: Objective, told: _Told) -> list[Alert]:
    """A budget that burns so fast that it matters now, and one that will be gone before the month is over."""
    share = f"{{{{ $value | humanizePercentage }}}} {told.what}, {objective.budget:.0%} may."
    return [
        Alert(
            f"Scorer{told.name}BurnFast",
            "page",
            "2m",
            _burns(objective, [(14.4, "1h", "5m"), (6, "6h", "30m")], CONSUMED_1H),
            f"A month's budget for {objective.budget:.0%} is burning so fast that it is gone within days: "
            f"too many {told.what}.",
            f"{{{{ $labels.job }}}}: {share}",
        ),
        Alert(
            f"Scorer{told.name}BurnSlow",
            "ticket",
            "15m",
            _burns(objective, [(3, "1d", "2h"), (1, "3d", "6h")], CONSUMED_1D),
            f"A month's budget for {objective.budget:.0%} will not last the month: too many {told.what}.",
            f"{{{{ $labels.job }}}}: {share}",
        ),
    ]


def _burns(objective: Objective, pairs: list[tuple[float, str, str]], records: str) -> str:
    """The long window says that it matters, the short one that it goes on."""
    lines = []
    for factor, long, short in pairs:
        most = f"{factor:g} * {objective.budget:g}"
        lines.append(f"({objective.recorded(long)} > {most} and {objective.recorded(short)} > {most})")
    burning = "\n  or ".join(lines)
    return f"({burning})\nand on ({GROUP}) {records} > {_RECORDS_MIN}"


def _flow_alerts() -> list[Alert]:
    stuck = f"changes({series(COMMITTED, JOBS)}[5m]) > 0"
    return [
        Alert(
            "ScorerLagGrowing",
            "ticket",
            "15m",
            f"{LAG_SUM} > clamp_min({_BACKLOG_S} * {CONSUMED_RATE}, {_BACKLOG_RECORDS})\nand deriv({LAG_SUM}[15m]) > 0",
            "More applications arrive than the workers decide: the backlog grows.",
            "{{ $labels.job }}: {{ $value | humanize }} applications wait, and they become more.",
        ),
        Alert(
            "ScorerNoProgress",
            "page",
            "5m",
            f"count by ({GROUP}, instance) (\n  {series(LAG, JOBS)} > 0\n"
            f"  unless on ({GROUP}, instance, topic, partition) {stuck}\n)",
            "Applications wait in partitions of which a worker commits nothing.",
            "{{ $labels.instance }} commits nothing of {{ $value }} partitions in which applications wait.",
        ),
        Alert(
            "ScorerPartitionBlocked",
            "page",
            "1m",
            f"max by ({GROUP}, instance) ({series(BLOCKED, JOBS)}) > 0",
            "A partition cannot be read from where the group is; its applications wait until an operator acts.",
            "{{ $labels.instance }} has {{ $value }} partitions that cannot be read; its log and /readyz say why.",
        ),
        Alert(
            "ScorerTransactionsAborting",
            "ticket",
            "5m",
            f"{ABORTED_SHARE} > {ABORTED_MAX}",
            "Batches are wound back and decided again: nothing is lost, but time is.",
            "{{ $labels.job }}: {{ $value | humanizePercentage }} of the batches of the last 5 minutes were aborted.",
        ),
    ]


def _worker_alerts() -> list[Alert]:
    return [
        Alert(
            "ScorerNoWorkers",
            "page",
            "2m",
            f"sum by ({GROUP}) (up{{{JOBS}}}) == 0\nor absent(up{{{JOBS}}})",
            "No worker answers: nothing is decided.",
            "{{ with $labels.job }}{{ . }}: {{ end }}no worker answers Prometheus.",
        ),
        Alert(
            "ScorerWorkerDown",
            "ticket",
            "5m",
            f"up{{{JOBS}}} == 0",
            "A worker does not answer; the others have its partitions.",
            "{{ $labels.instance }} does not answer Prometheus.",
        ),
        Alert(
            "ScorerWorkerStalled",
            "page",
            "0m",
            f"time() - {series(LAST_POLL, JOBS)} > {_STALLED_S}",
            "A worker has not polled for a minute: the applications in its partitions wait.",
            "{{ $labels.instance }} has not polled for {{ $value | humanizeDuration }}.",
        ),
        Alert(
            "ScorerWorkerFlapping",
            "ticket",
            "0m",
            f"changes(process_start_time_seconds{{{JOBS}}}[30m]) > 2\nor changes(up{{{JOBS}}}[30m]) > 4",
            "A worker comes and goes; each time its partitions move.",
            "{{ $labels.instance }} came or went {{ $value }} times in the last 30 minutes.",
        ),
    ]


def _model_alerts() -> list[Alert]:
    champions = series(BUNDLE, JOBS, 'slot="champion"')
    failed = series(SWAPS, JOBS, 'outcome="failed"')
    return [
        Alert(
            "ScorerBundleMismatch",
            "page",
            "5m",
            f"count by ({GROUP}) (count by ({GROUP}, digest) ({champions})) > 1",
            "Workers of one group decide with different bundles: a decision depends on the partition.",
            "{{ $labels.job }}: {{ $value }} different bundles decide.",
        ),
        Alert(
            "ScorerSwapsFailing",
            "ticket",
            "0m",
            f"sum by ({GROUP}, instance) (increase({failed}[5m])) > 3",
            "A worker cannot load the bundle that is deployed, and goes on with the one before.",
            "{{ $labels.instance }} failed to load the deployed bundle {{ $value | humanize }} times in 5 minutes.",
        ),
        Alert(
            "ScorerProbabilityDrift",
            "ticket",
            "30m",
            f"{DRIFT} > {DRIFT_MAX}\nand sum by ({GROUP}, bundle) "
            f"(increase({series(PROBABILITY, JOBS, part='count')}[1h])) > {_DRIFT_RECORDS_MIN}",
            "This hour's probabilities of default are not distributed as this week's: other applicants, or other data.",
            '{{ $labels.bundle }}: this hour and this week are {{ $value | printf "%.2f" }} apart.',
        ),
    ]


def recording_rules() -> dict[str, Any]:
    """The recording rules as Prometheus reads them."""
    return {
        "groups": [
            {"name": name, "rules": [{"record": record, "expr": expr} for record, expr in rules]}
            for name, rules in recording().items()
        ]
    }


def alerting_rules(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The alerts as Prometheus reads them.

    Args:
        runbooks: where the runbooks are: a folder or a URL.
    """
    return {
        "groups": [
            {"name": name, "rules": [_alerting_rule(alert, runbooks) for alert in rules]}
            for name, rules in alerts().items()
        ]
    }


def _alerting_rule(alert: Alert, runbooks: str) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.pending,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks.rstrip('/')}/{alert.runbook()}",
        },
    }
