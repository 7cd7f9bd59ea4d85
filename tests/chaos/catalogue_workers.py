"""Scenarios of workers and of those who operate them."""

from typing import Final

from tests.chaos.catalogue_brokers import BLACK_HOLE, PROXIED, RESTARTS, RESTARTS_DOUBLED, STATIC
from tests.chaos.faults.brokers import FreezeBrokers, KillBrokers
from tests.chaos.faults.mix import RandomMix
from tests.chaos.faults.network import Poison, Refuse
from tests.chaos.faults.operators import DeployAndKill, RefusedTransactionTimeout, StoreAway
from tests.chaos.faults.records import Backlog
from tests.chaos.faults.workers import (
    ClockJumps,
    FreezeWorker,
    FreezeWorkersAtRandom,
    KillWorkers,
    MembersComeAndGo,
)
from tests.chaos.product import AT_LEAST_ONCE, KIP_848, SHORT_SESSIONS, SMALL_BATCHES
from tests.chaos.publisher import Load
from tests.chaos.scenario import Expectation, Fault, Scenario, Workers

_MIX: Final[tuple[Fault, ...]] = (
    KillBrokers("applications leader"),
    KillBrokers("group coordinator"),
    KillBrokers("transaction coordinator"),
    KillBrokers("all but one"),
    FreezeBrokers("decisions leader"),
    FreezeBrokers("group coordinator"),
    BLACK_HOLE,
    Poison("timeout", "decisions leader"),
    Poison("timeout", streams=("downstream",)),
    Poison("reset_peer", attributes={"timeout": 200}),
    Poison("latency", attributes={"latency": 500, "jitter": 100}),
    Poison("bandwidth", attributes={"rate": 40}),
    Refuse(),
    FreezeWorker(),
    KillWorkers(3),
)
_FROZEN = (
    Scenario("frozen-worker-25", "SIGSTOP of a worker", FreezeWorker(), 25),
    Scenario("frozen-worker-45", "SIGSTOP of a worker", FreezeWorker(), 45, expect=RESTARTS),
    Scenario(
        "frozen-worker-90-static",
        "SIGSTOP of a static worker",
        FreezeWorker(),
        90,
        workers=STATIC,
        expect=RESTARTS,
    ),
    Scenario(
        "frozen-worker-60-kip-848",
        "SIGSTOP of a worker, KIP-848",
        FreezeWorker(),
        60,
        workers=Workers(settings=KIP_848),
        expect=RESTARTS,
    ),
    Scenario(
        "frozen-workers-backlog",
        "workers frozen past a session of 6 s, 8 times, in a backlog",
        Backlog(300_000, Load(), FreezeWorkersAtRandom(8)),
        workers=Workers(settings=SHORT_SESSIONS | SMALL_BATCHES),
        load=None,
        workers_first=False,
        expect=RESTARTS,
    ),
)
_GROUPS = (
    Scenario("members-come-and-go", "a member joins, leaves or dies every other second", MembersComeAndGo(60)),
    Scenario(
        "members-come-and-go-static",
        "a static member joins, leaves or dies every other second",
        MembersComeAndGo(60),
        workers=STATIC,
        expect=RESTARTS,
    ),
    Scenario(
        "members-come-and-go-kip-848",
        "a member joins, leaves or dies every other second, KIP-848",
        MembersComeAndGo(60),
        workers=Workers(settings=KIP_848),
    ),
    Scenario("killed-workers", "SIGKILL of a worker, 10 times", KillWorkers(10)),
    Scenario(
        "killed-workers-at-least-once",
        "SIGKILL of a worker, 10 times, at least once",
        KillWorkers(10),
        workers=Workers(static=True, settings=AT_LEAST_ONCE),
        expect=RESTARTS_DOUBLED,
    ),
    Scenario("clock-jumps", "the clock of one worker jumps", ClockJumps(), expect=RESTARTS),
)
_OPERATORS = (
    Scenario(
        "deploy-and-kill",
        "two operators deploy and roll back while workers are killed",
        DeployAndKill(9),
        workers=STATIC,
        expect=RESTARTS,
    ),
    Scenario(
        "store-away",
        "the store away and a worker killed",
        StoreAway(),
        30,
        expect=RESTARTS,
    ),
    Scenario(
        "refused-transaction-timeout",
        "transaction.timeout.ms above the brokers' maximum",
        RefusedTransactionTimeout(),
        20,
        expect=Expectation(exits=r"transaction\.?timeout|[Tt]ransaction [Tt]imeout"),
    ),
    Scenario(
        "everything-for-ten-minutes",
        "faults drawn at random for ten minutes",
        RandomMix(_MIX, 600, seed=20),
        workers=PROXIED,
        expect=RESTARTS,
        shutdown_timeout_s=180,
        marks_itself=True,
    ),
)
WORKERS: Final = (*_FROZEN, *_GROUPS, *_OPERATORS)
