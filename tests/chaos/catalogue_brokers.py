"""Scenarios of brokers and of the network."""

from typing import Final

from tests.chaos.cluster import ClusterPlan
from tests.chaos.faults.brokers import ElectUnclean, FillDisk, FreezeBrokers, KillBrokers, RollingRestart
from tests.chaos.faults.network import CutBetweenBrokers, Poison, Refuse
from tests.chaos.faults.workers import StartDuring, StartThenStopDuring, StopDuring
from tests.chaos.product import AT_LEAST_ONCE
from tests.chaos.publisher import Load
from tests.chaos.scenario import CLEAR_EXITS, Expectation, Scenario, Workers

RESTARTS: Final = Expectation(exits=CLEAR_EXITS)
"""An outage: a worker may end, say why, and be started again."""
RESTARTS_DOUBLED: Final = Expectation(exits=CLEAR_EXITS, doubled=True)
PROXIED: Final = Workers(proxied=True)
PROXIED_STATIC: Final = Workers(proxied=True, static=True)
STATIC: Final = Workers(static=True)
REPEATS: Final = Workers(settings=AT_LEAST_ONCE)
BETWEEN: Final = ClusterPlan(proxied_between=True)
SMALL_DISK: Final = ClusterPlan(small_disk=True)
BLACK_HOLE: Final = Poison("timeout")
FAST: Final = Load(per_s=800)

_KILLED = (
    Scenario(
        "killed-leader",
        "SIGKILL of an applications' leader",
        KillBrokers("applications leader"),
        12,
        load=FAST,
        expect=RESTARTS,
    ),
    Scenario(
        "killed-transaction-coordinator",
        "SIGKILL of a transaction coordinator",
        KillBrokers("transaction coordinator"),
        12,
        workers=STATIC,
        load=FAST,
        expect=RESTARTS,
    ),
    Scenario(
        "killed-group-coordinator",
        "SIGKILL of the group's coordinator",
        KillBrokers("group coordinator"),
        12,
        load=FAST,
        expect=RESTARTS,
    ),
    Scenario(
        "killed-each-broker",
        "SIGKILL of each broker in turn",
        KillBrokers("each in turn"),
        3,
        rounds=3,
        rest_s=2,
        workers=STATIC,
        expect=RESTARTS,
    ),
    Scenario(
        "coordinator-killed-20-times",
        "SIGKILL of the group's coordinator",
        KillBrokers("group coordinator"),
        7,
        rounds=20,
        rest_s=12,
        load=Load(per_s=300),
        expect=RESTARTS,
    ),
    Scenario(
        "coordinator-killed-20-times-at-least-once",
        "SIGKILL of the group's coordinator, at least once",
        KillBrokers("group coordinator"),
        7,
        rounds=20,
        rest_s=12,
        load=Load(per_s=300),
        workers=REPEATS,
        expect=RESTARTS_DOUBLED,
    ),
    Scenario(
        "killed-leader-at-least-once",
        "SIGKILL of an applications' leader, at least once",
        KillBrokers("applications leader"),
        12,
        workers=REPEATS,
        expect=RESTARTS_DOUBLED,
    ),
)
_DOWN = (
    Scenario(
        "rolling-restart",
        "brokers restarted one after another",
        RollingRestart(),
        workers=STATIC,
        load=FAST,
        expect=RESTARTS,
    ),
    Scenario("two-of-three-down", "SIGKILL of two of three brokers", KillBrokers("all but one"), 40, expect=RESTARTS),
    Scenario(
        "two-of-three-down-at-least-once",
        "SIGKILL of two of three brokers, at least once",
        KillBrokers("all but one"),
        40,
        workers=REPEATS,
        expect=RESTARTS_DOUBLED,
    ),
    Scenario("all-brokers-down", "SIGKILL of all brokers", KillBrokers("all"), 30, expect=RESTARTS),
    Scenario(
        "frozen-broker",
        "SIGSTOP of a decisions' leader",
        FreezeBrokers("decisions leader"),
        45,
        load=FAST,
        expect=RESTARTS,
    ),
    Scenario("frozen-brokers", "SIGSTOP of all brokers", FreezeBrokers("all"), 45, expect=RESTARTS),
    Scenario(
        "frozen-group-coordinator",
        "SIGSTOP of the group's coordinator",
        FreezeBrokers("group coordinator"),
        45,
        expect=RESTARTS,
    ),
    Scenario("full-disk", "a broker's disk full", FillDisk(), 35, cluster=SMALL_DISK, load=FAST, expect=RESTARTS),
    Scenario(
        "full-disk-at-least-once",
        "a broker's disk full, at least once",
        FillDisk(),
        35,
        workers=REPEATS,
        cluster=SMALL_DISK,
        load=FAST,
        expect=RESTARTS_DOUBLED,
    ),
    Scenario(
        "unclean-election",
        "a replica that is behind becomes the leader",
        ElectUnclean(behind_s=10),
        5,
        fragile_topic=True,
        expect=Expectation(exits=CLEAR_EXITS, must_act=r"^scorer offsets reset .*\(exit 0\)"),
    ),
)
_BLACK_HOLES = (
    Scenario(
        "black-hole-one-20",
        "one broker a black hole",
        Poison("timeout", "decisions leader"),
        20,
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario(
        "black-hole-one-60",
        "one broker a black hole",
        Poison("timeout", "decisions leader"),
        60,
        workers=PROXIED_STATIC,
        expect=RESTARTS,
    ),
    Scenario("black-hole-all-20", "all brokers a black hole", BLACK_HOLE, 20, workers=PROXIED, expect=RESTARTS),
    Scenario("black-hole-all-60", "all brokers a black hole", BLACK_HOLE, 60, workers=PROXIED_STATIC, expect=RESTARTS),
    Scenario(
        "black-hole-all-60-at-least-once",
        "all brokers a black hole, at least once",
        BLACK_HOLE,
        60,
        workers=Workers(proxied=True, settings=AT_LEAST_ONCE),
        expect=RESTARTS_DOUBLED,
    ),
    Scenario(
        "answers-lost",
        "brokers hear, their answers are lost",
        Poison("timeout", streams=("downstream",)),
        30,
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario("refused-60", "all connections refused", Refuse(), 60, workers=PROXIED, expect=RESTARTS),
    Scenario(
        "reset-peer",
        "connections reset after 200 ms",
        Poison("reset_peer", attributes={"timeout": 200}),
        25,
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario(
        "sigterm-in-black-hole",
        "SIGTERM while all brokers are a black hole",
        StopDuring(BLACK_HOLE),
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario(
        "sigterm-with-frozen-brokers",
        "SIGTERM while all brokers are frozen",
        StopDuring(FreezeBrokers("all")),
        expect=RESTARTS,
    ),
    Scenario(
        "start-in-black-hole",
        "workers killed and started while all brokers are a black hole",
        StartDuring(BLACK_HOLE),
        30,
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario(
        "start-without-brokers",
        "workers killed and started while all connections are refused",
        StartDuring(Refuse()),
        30,
        workers=PROXIED,
        expect=RESTARTS,
    ),
    Scenario(
        "sigterm-while-starting",
        "SIGTERM to workers that wait for a broker",
        StartThenStopDuring(Refuse()),
        workers=PROXIED,
        expect=RESTARTS,
    ),
)
_SLOW = tuple(
    Scenario(f"{name}-{where}", f"{what}, {where} broker{'s' if where == 'all' else ''}", poison, 30, workers=PROXIED)
    for name, what, kind, attributes in (
        ("latency", "500 ms of latency", "latency", {"latency": 500, "jitter": 100}),
        ("bandwidth", "40 kB per second", "bandwidth", {"rate": 40}),
    )
    for where, poison in (
        ("all", Poison(kind, "all", attributes)),  # type: ignore[arg-type]
        ("one", Poison(kind, "decisions leader", attributes)),  # type: ignore[arg-type]
    )
)
_CUTS = (
    Scenario(
        "cut-leader",
        "followers cannot fetch from the applications' leader",
        CutBetweenBrokers("applications leader"),
        40,
        cluster=BETWEEN,
        expect=RESTARTS,
    ),
    Scenario(
        "cut-decisions-leader-answers",
        "the decisions' leader hears its followers, who do not hear it",
        CutBetweenBrokers("decisions leader", streams=("downstream",)),
        40,
        cluster=BETWEEN,
        expect=RESTARTS,
    ),
    Scenario(
        "cut-active-controller",
        "nobody reaches the active controller, which reaches all",
        CutBetweenBrokers("active controller", listeners=("controller",)),
        40,
        cluster=BETWEEN,
        expect=RESTARTS,
    ),
    Scenario(
        "cut-group-coordinator",
        "nobody reaches the group's coordinator as broker or controller, which reaches all",
        CutBetweenBrokers("group coordinator", listeners=("internal", "controller")),
        40,
        cluster=BETWEEN,
        expect=RESTARTS,
    ),
)
BROKERS: Final = (*_KILLED, *_DOWN, *_BLACK_HOLES, *_SLOW, *_CUTS)
