"""The core: short versions of seven scenarios, for every change to the code, in about five minutes."""

from dataclasses import replace
from typing import Final

from tests.chaos.catalogue import SCENARIOS
from tests.chaos.publisher import Load
from tests.chaos.scenario import Scenario


def _short(name: str, original: str, hold_s: float = 0.0, rounds: int = 1) -> Scenario:
    """A scenario of the catalogue under another name, with two workers, little load, and a shorter fault."""
    whole = SCENARIOS[original]
    return replace(
        whole,
        name=f"core-{name}",
        hold_s=hold_s,
        rounds=rounds,
        rest_s=6.0,
        warm_up_s=min(whole.warm_up_s, 8.0),
        workers=replace(whole.workers, count=2),
        load=Load(per_s=300),
        shutdown_timeout_s=45,
    )


CORE: Final[tuple[tuple[Scenario, ...], ...]] = (
    # At the same time: each of these disturbs only its own workers or its own topic.
    (
        _short("black-hole", "black-hole-all-60", 30),
        _short("frozen-worker", "frozen-worker-45", 30),
        _short("recreated", "recreated-fewer"),
        _short("partitions-added", "partitions-added-everywhere"),
    ),
    # Alone: these stop brokers.
    (_short("frozen-broker", "frozen-broker", 40),),
    (_short("coordinator-killed", "coordinator-killed-20-times", 6, rounds=3),),
    (_short("two-of-three-down", "two-of-three-down", 25),),
)
"""Scenarios by turns; those of one turn run at the same time."""
