"""Runs scenarios on as few clusters as they need, judges each, and keeps what came of it in build/chaos."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scorer.errors import LocalBrokerError
from tests.chaos.checker import Verdict, judge
from tests.chaos.cluster import Cluster, ClusterPlan, start_cluster
from tests.chaos.play import play
from tests.chaos.report import Row, write_report, write_row
from tests.chaos.scenario import Scenario, Skipped
from tests.tools import TOOLS

OUTPUT: Final = Path(__file__).parents[2] / "build" / "chaos"


@contextmanager
def cluster_for(plan: ClusterPlan) -> Iterator[Cluster]:
    """A cluster that runs, its data in a temporary folder.

    Raises:
        Skipped: this machine lacks what it needs; the message says what.
    """
    toxiproxy = TOOLS["toxiproxy-server"].find()
    if toxiproxy is None:
        raise Skipped("toxiproxy-server is missing: make tools gets it")
    folder = Path(tempfile.mkdtemp(prefix="scorer-chaos-"))
    try:
        with start_cluster(plan, folder / "cluster", toxiproxy) as cluster:
            yield cluster
    except (PermissionError, LocalBrokerError) as fault:
        raise Skipped(str(fault)) from fault
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_one(scenario: Scenario, cluster: Cluster, say: Callable[[str], None]) -> Verdict:
    """Plays a scenario, judges it, and keeps the row of the report.

    Raises:
        Skipped: this machine lacks what the fault needs.
    """
    folder = OUTPUT / "runs" / scenario.name
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{scenario.name}: {scenario.title}")
    try:
        history = play(scenario, cluster, folder, say)
    except Skipped as reason:
        write_row(folder, Row(scenario.name, scenario.title, None, str(reason)))
        raise
    verdict = judge(history, scenario.expect)
    write_row(folder, Row(scenario.name, scenario.title, verdict), history)
    say(f"{scenario.name}: {'holds' if verdict.holds else 'FAILS: ' + '; '.join(verdict.failures)}")
    return verdict


def run_all(scenarios: list[Scenario], say: Callable[[str], None]) -> dict[str, Verdict | None]:
    """Runs scenarios one after another, those with the same cluster together; None for one that was skipped."""
    verdicts: dict[str, Verdict | None] = {}
    for plan in dict.fromkeys(scenario.cluster for scenario in scenarios):
        waiting = [scenario for scenario in scenarios if scenario.cluster == plan]
        while waiting:
            verdicts |= _run_on_one_cluster(plan, waiting, say)
            write_report(OUTPUT)
    return verdicts


def _run_on_one_cluster(
    plan: ClusterPlan, waiting: list[Scenario], say: Callable[[str], None]
) -> dict[str, Verdict | None]:
    """Runs scenarios, and takes them off the list, until none is left or the cluster cannot be healed."""
    verdicts: dict[str, Verdict | None] = {}
    try:
        with cluster_for(plan) as cluster:
            while waiting and cluster.heal():
                scenario = waiting.pop(0)
                verdicts[scenario.name] = None
                try:
                    verdicts[scenario.name] = run_one(scenario, cluster, say)
                except Skipped as reason:
                    say(f"{scenario.name}: skipped: {reason}")
                write_report(OUTPUT)
    except Skipped as reason:
        for scenario in waiting:
            say(f"{scenario.name}: skipped: {reason}")
            write_row(OUTPUT / "runs" / scenario.name, Row(scenario.name, scenario.title, None, str(reason)))
            verdicts[scenario.name] = None
        waiting.clear()
    return verdicts
