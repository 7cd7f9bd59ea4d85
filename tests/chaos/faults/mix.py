"""Several faults, one after another at random, from a seed."""

import time
from dataclasses import dataclass
from random import Random

from tests.chaos.history import FAULT, HEALED
from tests.chaos.scenario import Fault, Heal, nothing
from tests.chaos.stage import Stage


@dataclass(frozen=True, slots=True)
class RandomMix:
    """Draws a fault, holds and heals it, waits a moment, and draws the next one, until the time is over."""

    faults: tuple[Fault, ...]
    seconds: float
    seed: int
    hold_s: tuple[float, float] = (5, 40)
    rest_s: tuple[float, float] = (5, 20)

    def begin(self, stage: Stage) -> Heal:
        random, ends_at = Random(self.seed), time.monotonic() + self.seconds
        while time.monotonic() < ends_at:
            fault = random.choice(self.faults)
            name = type(fault).__name__
            stage.event(FAULT, f"{name} {getattr(fault, 'role', '')}".strip())
            heal = fault.begin(stage)
            stage.sleep(random.uniform(*self.hold_s))
            heal()
            in_sync = stage.cluster.wait_until_in_sync()
            stage.event(HEALED, name if in_sync else f"{name}; not all replicas are in sync")
            stage.sleep(random.uniform(*self.rest_s))
            stage.round += 1
        return nothing
