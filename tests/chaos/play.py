"""Plays one scenario on a cluster and records its history."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.chaos.cluster import Cluster
from tests.chaos.history import FAULT, HEALED, History, Recorder
from tests.chaos.scenario import Scenario
from tests.chaos.stage import Stage, has_recovered

_SETTLE_S: Final = 3.0
"""After the recovery, in which a relapse would show."""
_GRACE_S: Final = 5.0
"""Waited beyond the limit of the expectation, so that the checker sees which workers missed it."""


def play(scenario: Scenario, cluster: Cluster, folder: Path, say: Callable[[str], None]) -> History:
    """Sets the stage, lets the fault happen under load, waits for the recovery, and stops everything.

    Args:
        scenario: what to play.
        cluster: one that runs and is in sync.
        folder: for the history and the workers' logs.
        say: given a line about each step.

    Raises:
        Skipped: this machine lacks what the fault needs.
    """
    with Recorder(folder) as recorder, Stage(scenario, cluster, recorder, say) as stage:
        if scenario.workers_first:
            stage.start_workers()
        if scenario.load is not None:
            stage.publish(scenario.load)
        stage.sleep(scenario.warm_up_s)
        for number in range(scenario.rounds):
            if number:
                stage.sleep(scenario.rest_s)
            stage.round = number
            _one_round(stage)
        healed_at_s = recorder.now()
        recovered = stage.wait_for(
            lambda: has_recovered(stage, healed_at_s), scenario.expect.decides_again_s + _GRACE_S
        )
        stage.note("every worker decides again" if recovered else "not every worker decides again")
        stage.sleep(_SETTLE_S)
        stage.stop_publishing()
        stage.wait_for(lambda: stage.ledger.undecided() == 0, scenario.shutdown_timeout_s)
        stage.note(f"{stage.ledger.undecided():,} applications are not decided")
        stage.stop_workers()
        stage.read_results()
    return History.read(folder)


def _one_round(stage: Stage) -> None:
    scenario = stage.scenario
    if not scenario.marks_itself:
        stage.event(FAULT, scenario.title)
    heal = scenario.fault.begin(stage)
    stage.sleep(scenario.hold_s)
    heal()
    if scenario.in_sync and not stage.cluster.wait_until_in_sync():
        stage.note("not all replicas are in sync again")
    if not scenario.marks_itself:
        stage.event(HEALED, scenario.title)
