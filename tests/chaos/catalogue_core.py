"""The core: short versions of seven scenarios, for every change to the code, in about five minutes."""

from dataclasses import replace
from typing import Final

from tests.chaos.catalogue import SCENARIOS
from tests.chaos.publisher import Load
from tests.chaos.scenario import Scenario


def _short(name: str, hold_s: float, rounds: int = 1) -> Scenario:
    """A scenario of the catalogue, with two workers, little load, and a shorter fault."""
    whole = SCENARIOS[name]
    return replace(
        whole,
        name=f"core-{name}",
        hold_s=hold_s,
        rounds=rounds,
        rest_s=6.0,
        warm_up_s=min(whole.warm_up_s, 8.0),
        workers=replace(whole.workers, count=2),
        load=Load(per_s=300),
        drain_s=45,
    )


CORE: Final[tuple[tuple[Scenario, ...], ...]] = (
    # At the same time: each of these disturbs only its own workers or its own topic.
    (_short("black-hole-all-60", 30), _short("frozen-worker-45", 30)),
    (_short("recreated-fewer", 0), _short("partitions-added-everywhere", 0)),
    # Alone: these stop brokers.
    (_short("frozen-broker", 40),),
    (_short("coordinator-killed-20-times", 6, rounds=4),),
    (_short("two-of-three-down", 25),),
)
"""Scenarios by turns; those of one turn run at the same time."""
