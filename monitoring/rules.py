"""Prometheus alerts, which page or open a ticket.

The burn-rate alerts are those of Google's Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

import re
from typing import Any, Final, Literal, NamedTuple

from monitoring.promql import ALERTMANAGERS, CONSOLES, JOBS, rate, series
from monitoring.recording import (
    ABORTED_SHARE,
    CONSUMED_1D,
    CONSUMED_1H,
    CONSUMED_RATE,
    DEAD_LETTERS,
    DRIFT,
    GROUP,
    LAG_SUM,
    LATENCY_WITHIN_S,
    SLOW,
    Objective,
)
from scorer.monitor.families import (
    BELOW_MIN_INSYNC,
    BLOCKED,
    BUNDLE,
    COMMITTED,
    DECISIONS,
    GROUP_LAG,
    GROUP_MEMBERS,
    LAG,
    LAST_POLL,
    OFFLINE_PARTITIONS,
    OLDEST_REVIEW,
    PROBABILITY,
    SWAPS,
    UNDER_REPLICATED,
    Metric,
)

RUNBOOKS: Final = "http://localhost:8765/runbooks"
"""Default URL of the runbooks: the console of docker-compose.yml serves them. The chart replaces it by its own."""

# With fewer records than this, a slow or rejected one says nothing about the rest.
_RECORDS_MIN: Final = 100
# With fewer decisions per hour, samples of the same population can differ this much by chance.
_DRIFT_RECORDS_MIN: Final = 1_000
DRIFT_MAX: Final = 0.15
# In a quarter of an hour; with fewer decisions, shares differ this much by chance.
_SHIFT_DECISIONS_MIN: Final = 500
SHIFT_MAX: Final = 0.2
ABORTED_MAX: Final = 0.05
# A backlog of less than a minute's work, or of a few records, is a batch or two.
_BACKLOG_S: Final = 60
_BACKLOG_RECORDS: Final = 1_000
_STALLED_S: Final = 60
# Reg B, 12 CFR 1002.9(a)(1): an applicant is notified within 30 days of a completed application.
REVIEW_WAITS_MAX_S: Final = 2 * 86_400


class Alert(NamedTuple):
    """An alert. A page means that applicants are affected now; a ticket can wait until the next morning."""

    name: str
    severity: Literal["page", "ticket"]
    pending: str
    """How long the condition must hold, so that a short disturbance wakes nobody."""
    expression: str
    summary: str
    """What is wrong, in general."""
    description: str
    """What is wrong in this case, with figures, as a Prometheus template."""

    def runbook(self) -> str:
        """Returns the file name of its runbook in docs/runbooks."""
        return f"{re.sub('(?<=[a-z])(?=[A-Z])', '-', self.name).lower()}.md"


def alerts() -> dict[str, list[Alert]]:
    """Returns the alerts per rule group."""
    return {
        "scorer-objectives-alerts": [
            *_burn_alerts(SLOW, _SLOW_TEXTS),
            *_burn_alerts(DEAD_LETTERS, _DEAD_LETTERS_TEXTS),
        ],
        "scorer-flow-alerts": _flow_alerts(),
        "scorer-worker-alerts": _worker_alerts(),
        "scorer-broker-alerts": _broker_alerts(),
        "scorer-model-alerts": _model_alerts(),
        "scorer-review-alerts": _review_alerts(),
        "scorer-delivery-alerts": _delivery_alerts(),
    }


class _Texts(NamedTuple):
    name: str
    violation: str


_SLOW_TEXTS: Final = _Texts(
    "DecisionsSlow",
    f"applications took longer than {LATENCY_WITHIN_S:g} s from their timestamp to their decision",
)
_DEAD_LETTERS_TEXTS: Final = _Texts("DeadLetters", "records could not be decided and became dead letters")


def _burn_alerts(objective: Objective, texts: _Texts) -> list[Alert]:
    """Two alerts: the budget will be exhausted within days, or before the end of the month."""
    budget = f"The monthly error budget ({objective.budget:.0%})"
    share = f"{{{{ $value | humanizePercentage }}}} of {texts.violation} (objective: at most {objective.budget:.0%})."
    return [
        Alert(
            f"Scorer{texts.name}BurnFast",
            "page",
            "2m",
            _burn_condition(objective, [(14.4, "1h", "5m"), (6, "6h", "30m")], CONSUMED_1H),
            f"{budget} will be exhausted within days: too many {texts.violation}.",
            f"{{{{ $labels.job }}}}: {share}",
        ),
        Alert(
            f"Scorer{texts.name}BurnSlow",
            "ticket",
            "15m",
            _burn_condition(objective, [(3, "1d", "2h"), (1, "3d", "6h")], CONSUMED_1D),
            f"{budget} will be exhausted before the end of the month: too many {texts.violation}.",
            f"{{{{ $labels.job }}}}: {share}",
        ),
    ]


def _burn_condition(objective: Objective, pairs: list[tuple[float, str, str]], records: str) -> str:
    """The long window shows that the burn rate is significant, the short one that it persists."""
    lines = []
    for factor, long, short in pairs:
        limit = f"{factor:g} * {objective.budget:g}"
        lines.append(f"({objective.recorded(long)} > {limit} and {objective.recorded(short)} > {limit})")
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
            "Consumer lag is growing: applications arrive faster than the workers decide them.",
            "{{ $labels.job }}: {{ $value | humanize }} applications are waiting, and the number is growing.",
        ),
        Alert(
            "ScorerNoProgress",
            "page",
            "5m",
            f"count by ({GROUP}, instance) (\n  {series(LAG, JOBS)} > 0\n"
            f"  unless on ({GROUP}, instance, topic, partition) {stuck}\n)",
            "A worker makes no progress: applications wait in its partitions, but it commits no offsets.",
            "{{ $labels.instance }} commits no offsets in {{ $value }} partitions with waiting applications.",
        ),
        Alert(
            "ScorerPartitionBlocked",
            "page",
            "1m",
            f"max by ({GROUP}, instance) ({series(BLOCKED, JOBS)}) > 0",
            "A partition cannot be read from its committed offset; its applications wait until an operator acts.",
            "{{ $labels.instance }} has {{ $value }} partitions that cannot be read; see its log and /readyz.",
        ),
        Alert(
            "ScorerTransactionsAborting",
            "ticket",
            "5m",
            f"{ABORTED_SHARE} > {ABORTED_MAX}",
            "Many transactions are aborted and retried: nothing is lost, but latency and load increase.",
            "{{ $labels.job }}: {{ $value | humanizePercentage }} of the batches in the last 5 minutes were aborted.",
        ),
    ]


def _without_workers() -> list[Alert]:
    """Alerts for groups without workers; of a group that a console watches, it is known whether applications wait."""
    lag = series(GROUP_LAG, CONSOLES)
    backlog = _as_worker_job(f"sum by ({GROUP}) (max by ({GROUP}, topic, partition) ({lag}))")
    members = _as_worker_job(f"max by ({GROUP}) ({series(GROUP_MEMBERS, CONSOLES)})")
    return [
        Alert(
            "ScorerNoWorkers",
            "page",
            "2m",
            f"(\n  sum by ({GROUP}) (up{{{JOBS}}}) == 0\n"
            f"  unless on ({GROUP}) ({backlog} == 0 and on ({GROUP}) {members} == 0)\n)\n"
            f"or (absent(up{{{JOBS}}}) unless on () {members} == 0)",
            "No worker is up: no applications are decided.",
            "{{ with $labels.job }}{{ . }}: {{ end }}Prometheus cannot scrape any worker.",
        ),
        Alert(
            "ScorerBacklogWithoutWorkers",
            "page",
            "2m",
            f"{backlog} > 0\nand on ({GROUP}) {members} == 0",
            "Applications wait, and no worker is in the consumer group.",
            "{{ $labels.job }}: {{ $value | humanize }} applications are waiting, and the group has no members.",
        ),
    ]


def _as_worker_job(expression: str) -> str:
    """Replaces the job of a console by that of the workers whose group it watches: both jobs have the same suffix."""
    return f'label_replace({expression}, "job", "scorer-worker$1", "job", "scorer-console(.*)")'


def _worker_alerts() -> list[Alert]:
    return [
        *_without_workers(),
        Alert(
            "ScorerWorkerDown",
            "ticket",
            "5m",
            f"up{{{JOBS}}} == 0",
            "A worker is down; its partitions are reassigned to the other workers.",
            "Prometheus cannot scrape {{ $labels.instance }}.",
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
            "A worker restarts repeatedly; each time its partitions are reassigned.",
            "{{ $labels.instance }} started or stopped {{ $value }} times in the last 30 minutes.",
        ),
    ]


def _broker_alerts() -> list[Alert]:
    """Alerts about the replicas of the topics, as consoles read them; they have the job of the workers concerned."""
    return [
        Alert(
            "ScorerTopicOffline",
            "page",
            "1m",
            _any_partition(OFFLINE_PARTITIONS),
            "A partition has no leader: nobody can read or write it.",
            "{{ $labels.job }}: {{ $value }} partitions of {{ $labels.topic }} have no leader.",
        ),
        Alert(
            "ScorerTopicBelowMinInsync",
            "page",
            "1m",
            _any_partition(BELOW_MIN_INSYNC),
            "A partition has fewer in-sync replicas than min.insync.replicas: brokers reject all writes to it.",
            "{{ $labels.job }}: writes to {{ $value }} partitions of {{ $labels.topic }} fail.",
        ),
        Alert(
            "ScorerTopicUnderReplicated",
            "ticket",
            "15m",
            _any_partition(UNDER_REPLICATED),
            "Not all replicas of a partition are in sync: the loss of another broker would affect applicants.",
            "{{ $labels.job }}: {{ $value }} partitions of {{ $labels.topic }} lack in-sync replicas.",
        ),
    ]


def _any_partition(metric: Metric) -> str:
    return _as_worker_job(f"max by ({GROUP}, topic) ({series(metric, CONSOLES)})") + " > 0"


def _model_alerts() -> list[Alert]:
    champions = series(BUNDLE, JOBS, 'slot="champion"')
    failed = series(SWAPS, JOBS, 'result="failed"')
    return [
        Alert(
            "ScorerBundleMismatch",
            "page",
            "5m",
            f"count by ({GROUP}) (count by ({GROUP}, digest) ({champions})) > 1",
            "Workers of one group use different bundles: a decision depends on the partition.",
            "{{ $labels.job }}: {{ $value }} different bundles are in use.",
        ),
        Alert(
            "ScorerDeploymentsFailing",
            "ticket",
            "0m",
            f"sum by ({GROUP}, instance) (increase({failed}[5m])) > 3",
            "A worker cannot load the deployed bundle, and keeps the previous one.",
            "{{ $labels.instance }} failed to load the deployed bundle {{ $value | humanize }} times in 5 minutes.",
        ),
        Alert(
            "ScorerDecisionsShifted",
            "page",
            "5m",
            f"abs(\n  {_label_shares('15m')}\n  - {_label_shares('1d')}\n) > {SHIFT_MAX}\n"
            f"and on ({GROUP}) sum by ({GROUP}) (increase({series(DECISIONS, JOBS)}[15m])) > {_SHIFT_DECISIONS_MIN}",
            "The share of a label differs from the last day's by more than "
            f"{SHIFT_MAX:.0%} of all decisions: because of a new bundle, or because of other applications.",
            "{{ $labels.job }}: the share of {{ $labels.decision }} differs by {{ $value | humanizePercentage }} of "
            "all decisions.",
        ),
        Alert(
            "ScorerProbabilityDrift",
            "ticket",
            "30m",
            f"{DRIFT} > {DRIFT_MAX}\nand sum by ({GROUP}, bundle) "
            f"(increase({series(PROBABILITY, JOBS, part='count')}[1h])) > {_DRIFT_RECORDS_MIN}",
            "This hour's probabilities of default are distributed differently from this week's: the applicants or the "
            "data changed.",
            '{{ $labels.bundle }}: the distance between this hour and this week is {{ $value | printf "%.2f" }}.',
        ),
    ]


def _label_shares(window: str) -> str:
    """Returns the share of each label, whichever bundle decided."""
    one = rate(series(DECISIONS, JOBS), window, f"{GROUP}, decision")
    return f"{one} / on ({GROUP}) group_left () ({rate(series(DECISIONS, JOBS), window, GROUP)} > 0)"


def _review_alerts() -> list[Alert]:
    return [
        Alert(
            "ScorerReviewsWaiting",
            "ticket",
            "15m",
            f"max by ({GROUP}) ({series(OLDEST_REVIEW, CONSOLES)}) > {REVIEW_WAITS_MAX_S}",
            "A MAYBE decision has waited for a review for more than two days.",
            "{{ $labels.job }}: the oldest MAYBE decision has waited for {{ $value | humanizeDuration }}.",
        ),
    ]


def _delivery_alerts() -> list[Alert]:
    integrations, receivers = (
        f"sum by ({GROUP}, instance) (alertmanager_{part}{{{ALERTMANAGERS}}})" for part in ("integrations", "receivers")
    )
    failed = f"alertmanager_notifications_failed_total{{{ALERTMANAGERS}}}"
    return [
        Alert(
            "ScorerAlertsUndelivered",
            "ticket",
            "2m",
            f"{integrations} < {receivers}\nor sum by ({GROUP}, instance) (increase({failed}[15m])) > 0",
            "Alerts reach nobody: a receiver of Alertmanager has no integration, or notifications fail.",
            "{{ $labels.instance }}: see the receivers in its configuration, and its log.",
        ),
    ]


def alerting_rules(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Returns the alerting rules in Prometheus' format.

    Args:
        runbooks: URL below which each runbook has the name of its alert.
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
            "runbook_url": f"{runbooks.rstrip('/')}/{alert.name}",
        },
    }
