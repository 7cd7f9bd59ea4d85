"""KEDA's operator scales the workers on the lag of their group: out, in, to zero, and from zero again."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.k8s.containers import Containers
from tests.k8s.release import PARTITIONS, Release

_LOG = logging.getLogger(__name__)
_LIMIT_S = 180.0  # for what takes KEDA and the autoscaler some looks
LAG_THRESHOLD = 100
STUCK_LOOKS = 16  # at half a second: KEDA looks every two
# The chart's defaults are for production and count in minutes.
QUICK = (
    "--set=autoscaling.minReplicas=0",
    "--set=autoscaling.scaleUp.stabilizationSeconds=0,autoscaling.scaleUp.periodSeconds=2",
    "--set=autoscaling.scaleDown.stabilizationSeconds=4,autoscaling.scaleDown.periodSeconds=2",
    "--set=autoscaling.keda.enabled=true,autoscaling.keda.pollingSeconds=2,autoscaling.keda.cooldownSeconds=15",
    f"--set=autoscaling.keda.lagThreshold={LAG_THRESHOLD}",
    # Small batches, so that a backlog outlasts a few looks at it.
    "--set=settings.batch_records_max=10",
)


class Moment(NamedTuple):
    """What the broker and the API say at one time."""

    lag: int
    """Records that the group has yet to commit."""
    active: str
    """Whether KEDA sees any lag: True, False, or Unknown before its first look."""
    wanted: int
    """Replicas that the autoscaler wants; it rests while there are none."""
    replicas: int
    """Replicas that the Deployment is told to have."""
    ready: int
    """Pods that are ready."""


class Watch:
    """The moments that differ from the one before, in order."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._began_at = time.monotonic()
        self.moments: list[Moment] = []

    def until(self, holds: Callable[[Moment], bool], what: str) -> Moment:
        """Looks until a moment comes for which this holds."""
        ends_at = time.monotonic() + _LIMIT_S
        while True:
            moment = self.look()
            if holds(moment):
                return moment
            assert time.monotonic() < ends_at, f"waited in vain for: {what}; now: {moment}"
            time.sleep(0.5)

    def look(self) -> Moment:
        """What is now; it is kept and logged if something has changed."""
        deployment = self._release.get("deployment", "scorer")
        moment = Moment(
            self._release.lag(),
            self._active(),
            self._wanted(),
            deployment["spec"]["replicas"],
            deployment["status"].get("readyReplicas", 0),
        )
        if [moment] != self.moments[-1:]:
            self.moments.append(moment)
            _LOG.info(
                "%6.1f s  lag %6d  active %-7s  wanted %d  replicas %d  ready %d",
                time.monotonic() - self._began_at,
                *moment,
            )
        return moment

    def _active(self) -> str:
        conditions = self._release.get("scaledobject", "scorer").get("status", {}).get("conditions", [])
        return next((str(condition["status"]) for condition in conditions if condition["type"] == "Active"), "Unknown")

    def _wanted(self) -> int:
        items = self._release.get("horizontalpodautoscalers")["items"]
        return items[0]["status"].get("desiredReplicas", 0) if items else 0


def test_out_in_and_to_zero(release: Release) -> None:
    """Workers come with the lag, at most one for each partition, and go with it, down to none; the next lag wakes one.

    A backlog that none of the workers gets on with brings no more of them: the one that is woken has to move first.
    """
    watch = Watch(release)
    with Containers(release.cluster, release.namespace, "topics"):
        release.install(*QUICK)

    watch.until(lambda now: (now.replicas, now.active) == (0, "False"), "rest, with none")

    release.publish(2_000)
    out = watch.until(lambda now: now.ready == PARTITIONS, "as many as there are partitions")
    assert out.lag == 2_000  # none of these pods runs anything yet
    with Containers(release.cluster, release.namespace, "worker") as workers:
        watch.until(lambda now: now.lag == 0, "no lag")
        watch.until(lambda now: now.replicas < PARTITIONS, "fewer")
        watch.until(lambda now: now.ready == 0, "none")
    assert workers.failed == {}

    release.publish(30_000)
    woken = watch.until(lambda now: now.ready == 1, "one")
    assert woken.lag == 30_000
    for _ in range(STUCK_LOOKS):
        assert watch.look()[1:] == ("True", 1, 1, 1)
        time.sleep(0.5)
    with Containers(release.cluster, release.namespace, "worker") as workers:
        watch.until(lambda now: now.ready == PARTITIONS, "as many as there are partitions, again")
        watch.until(lambda now: now.lag == 0, "no lag, again")
        watch.until(lambda now: now.ready == 0, "none, again")
    assert workers.failed == {}

    decided = release.decided()
    assert len(decided) == 32_000
    assert set(decided.values()) == {1}
    assert max(moment.replicas for moment in watch.moments) == PARTITIONS
