"""Faults of operators: deployments by two at once, a store that is away, a transaction timeout that brokers refuse."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from random import Random
from threading import Event as Flag
from threading import Thread
from typing import Final

from scorer.store.store import SHIPPED
from tests.chaos.scenario import Heal
from tests.chaos.stage import Stage

_COMMAND_S: Final = 60.0
_DESPITE: Final = ("--despite", "a test: nobody applies")


@dataclass(frozen=True, slots=True)
class DeployAndKill:
    """Two operators deploy and roll back without end while workers are killed; healed when both have stopped."""

    kills: int
    seed: int = 9

    def begin(self, stage: Stage) -> Heal:
        stop, answers, random = Flag(), Counter[str](), Random(self.seed)

        def operate(operator: int) -> None:
            turn = 0
            while not stop.is_set():
                command = ("rollback",) if turn % 3 == 2 else ("deploy", f"credit-risk:1.{(turn + operator) % 2}.0")
                despite = _DESPITE if command[0] == "deploy" else ()
                why = ("--reason", f"operator {operator}, turn {turn}", *despite)
                ran = stage.scorer(*command, *why, "--wait", "0")
                answers[f"{command[0]}: exit {ran.returncode}"] += 1
                turn += 1

        operators = [Thread(target=operate, args=(number,), daemon=True) for number in (1, 2)]
        for operator in operators:
            operator.start()
        for _ in range(self.kills):
            stage.sleep(random.uniform(4, 6))
            random.choice(stage.running).kill()
        stop.set()
        for operator in operators:
            operator.join(_COMMAND_S)
        stage.note(f"operators: {dict(answers)}")

        def heal() -> None:
            stage.wait_for(lambda: len({w.probes.bundle for w in stage.running}) == 1, _COMMAND_S)
            stage.note(f"bundles that decide: {[worker.probes.bundle for worker in stage.running]}")

        return heal


@dataclass(frozen=True, slots=True)
class StoreAway:
    """A bundle of the store decides; then the store is away and a worker is killed. Healed by the store."""

    def begin(self, stage: Stage) -> Heal:
        folder = stage.store / "credit-risk" / "1.2.0"
        shutil.copytree(SHIPPED / "credit-risk" / "1.0.0", folder)
        manifest = folder / "bundle.json"
        content = json.loads(manifest.read_text(encoding="utf-8")) | {"version": "1.2.0"}
        manifest.write_text(json.dumps(content), encoding="utf-8")
        ran = stage.scorer("deploy", "credit-risk:1.2.0", "--reason", "the store will be away", *_DESPITE)
        stage.note(f"deploy: exit {ran.returncode} {(ran.stdout + ran.stderr).strip()}")
        away = stage.store.with_name("store-away")
        stage.store.rename(away)
        stage.running[0].kill()

        def heal() -> None:
            if stage.store.exists():  # somebody has made an empty one
                shutil.rmtree(stage.store)
            away.rename(stage.store)

        return heal


@dataclass(frozen=True, slots=True)
class RefusedTransactionTimeout:
    """One worker replaces all, with a transaction timeout above the brokers' maximum; healed by the old setting."""

    def begin(self, stage: Stage) -> Heal:
        stage.stop_workers()
        wrong = stage.add_worker(settings={"SCORER_KAFKA__TRANSACTION_TIMEOUT_MS": "1000000"})

        def heal() -> None:
            wrong.stop()
            stage.start_workers()

        return heal
