"""The core of the fault tests: nothing is lost or doubled, and every worker decides again by itself after a fault."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.campaign import OUTPUT, cluster_for, run_one
from tests.chaos.catalogue_core import CORE
from tests.chaos.checker import Verdict
from tests.chaos.cluster import Cluster, ClusterPlan
from tests.chaos.report import write_report
from tests.chaos.scenario import Scenario, Skipped

_say = logging.getLogger(__name__).info


class Turns:
    """Runs the scenarios on one cluster, turn by turn, each turn when the first of its scenarios is asked for.

    Not all at once, because a test that takes more than five minutes is taken for one that hangs.
    """

    def __init__(self, cluster: Cluster, selected: set[str]) -> None:
        self._cluster = cluster
        self._selected = selected
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, name: str) -> Verdict:
        """What came of a scenario."""
        if name not in self._verdicts:
            (turn,) = (turn for turn in CORE if name in {scenario.name for scenario in turn})
            scenarios = [scenario for scenario in turn if scenario.name in self._selected]
            assert self._cluster.heal(), "the cluster is not in sync"
            with ThreadPoolExecutor(len(scenarios)) as pool:
                verdicts = pool.map(self._run, scenarios)
                self._verdicts |= dict(zip((scenario.name for scenario in scenarios), verdicts, strict=True))
            write_report(OUTPUT)
        return self._verdicts[name]

    def _run(self, scenario: Scenario) -> Verdict:
        return run_one(scenario, self._cluster, _say)


@pytest.fixture(scope="module")
def turns(request: pytest.FixtureRequest) -> Iterator[Turns]:
    """A cluster for all scenarios that were selected; without Java, Maven or Toxiproxy the tests skip."""
    selected = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")}
    try:
        with cluster_for(ClusterPlan()) as cluster:
            yield Turns(cluster, selected)
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", [scenario.name for turn in CORE for scenario in turn])
def test_fault(turns: Turns, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the scenario expects holds: safety in every case, and liveness without a human."""
    caplog.set_level(logging.INFO)
    verdict = turns.verdict(name)
    assert verdict.holds, f"{'; '.join(verdict.failures)}; see {OUTPUT / 'runs' / name / 'README.md'}"
