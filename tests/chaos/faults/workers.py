"""Faults of workers: frozen past their session, killed, stopped in every state, joining and leaving without end."""

import time
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.scenario import Fault, Heal, Skipped, nothing
from tests.chaos.stage import Stage
from tests.tools import TOOLS

_JOIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class FreezeWorker:
    """SIGSTOP of the first worker; healed by SIGCONT: it goes on as if no time had passed."""

    def begin(self, stage: Stage) -> Heal:
        worker = stage.workers[0]
        worker.freeze()
        return worker.thaw


@dataclass(frozen=True, slots=True)
class FreezeWorkersAtRandom:
    """One or two workers at a time are frozen past their session and thawed, again and again."""

    times: int
    seed: int = 3

    def begin(self, stage: Stage) -> Heal:
        random = Random(self.seed)
        for _ in range(self.times):
            frozen = random.sample(stage.workers, random.choice((1, 1, 2)))
            for worker in frozen:
                worker.freeze()
            stage.sleep(random.uniform(7, 10))
            for worker in frozen:
                worker.thaw()
            stage.sleep(random.uniform(1, 3))
        return nothing


@dataclass(frozen=True, slots=True)
class KillWorkers:
    """SIGKILL of one worker at a time, at random moments; the supervisor starts the next one."""

    times: int
    seed: int = 5

    def begin(self, stage: Stage) -> Heal:
        random = Random(self.seed)
        for _ in range(self.times):
            stage.sleep(random.uniform(1.5, 4))
            random.choice(stage.running).kill()
        return nothing


@dataclass(frozen=True, slots=True)
class MembersComeAndGo:
    """Every other second a worker joins, leaves by SIGTERM, or dies; healed by as many workers as there were."""

    seconds: float
    seed: int = 7

    def begin(self, stage: Stage) -> Heal:
        random, ends_at = Random(self.seed), time.monotonic() + self.seconds
        while time.monotonic() < ends_at:
            stage.sleep(2)
            running = stage.running
            if len(running) <= 2 or random.random() < 0.45:
                stage.add_worker()
            elif random.random() < 0.4:
                random.choice(running).remove()
            else:
                random.choice(running).stop()

        def heal() -> None:
            for _ in range(stage.scenario.workers.count - len(stage.running)):
                stage.add_worker()

        return heal


@dataclass(frozen=True, slots=True)
class StopDuring:
    """SIGTERM to all workers while another fault lasts; healed with it, and by new workers."""

    fault: Fault
    after_s: float = 3.0

    def begin(self, stage: Stage) -> Heal:
        heal_fault = self.fault.begin(stage)
        stage.sleep(self.after_s)
        began_at = time.monotonic()
        stage.stop_workers()
        stage.note(f"all workers ended {time.monotonic() - began_at:.1f} s after SIGTERM")

        def heal() -> None:
            heal_fault()
            stage.start_workers()

        return heal


@dataclass(frozen=True, slots=True)
class StartDuring:
    """All workers are killed, and their successors start, while another fault lasts."""

    fault: Fault

    def begin(self, stage: Stage) -> Heal:
        heal = self.fault.begin(stage)
        for worker in stage.running:
            worker.kill()
        return heal


@dataclass(frozen=True, slots=True)
class StartThenStopDuring:
    """As StartDuring, and SIGTERM to the successors while they wait for a broker."""

    fault: Fault
    after_s: float = 8.0

    def begin(self, stage: Stage) -> Heal:
        heal_fault = StartDuring(self.fault).begin(stage)
        stage.sleep(self.after_s)
        stage.stop_workers()

        def heal() -> None:
            heal_fault()
            stage.start_workers()

        return heal


@dataclass(frozen=True, slots=True)
class ClockJumps:
    """One more worker joins, whose clock jumps; monotonic time goes on."""

    jumps: tuple[str, ...] = ("+30m", "-30m", "-3000d", "+0", "+3h", "+0")
    between_s: float = 10.0

    def begin(self, stage: Stage) -> Heal:
        library = TOOLS["libfaketimeMT.so.1"].find()
        if library is None:
            raise Skipped("libfaketime is missing: make tools gets it")
        clock = stage.recorder.folder / "clock"
        clock.write_text("+0\n", encoding="ascii")
        settings = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        worker = stage.add_worker(settings=settings)
        stage.wait_for(lambda: bool(worker.probes.partitions), _JOIN_S)
        for jump in self.jumps:
            clock.write_text(f"{jump}\n", encoding="ascii")
            stage.note(f"clock of worker {worker.number}: {jump}")
            stage.sleep(self.between_s)
        return nothing
