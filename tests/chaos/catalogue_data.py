"""Scenarios of topics, of records, and of memory."""

from typing import Final

from tests.chaos.catalogue_brokers import RESTARTS
from tests.chaos.faults.brokers import FreezeBrokers
from tests.chaos.faults.records import Backlog, BacklogDecided, HugeRecords, OddTimestamps
from tests.chaos.faults.topics import (
    AddPartitions,
    DeleteDeployments,
    DeleteRecords,
    DeleteRecordsUnderWorkers,
    DenyWrites,
    RecreateApplications,
    SetConfig,
)
from tests.chaos.publisher import Load
from tests.chaos.scenario import CLEAR_EXITS, Expectation, Scenario, Workers

RESET: Final = Expectation(exits=CLEAR_EXITS, must_act=r"^scorer offsets reset .*\(exit 0\)")
"""The workers stop and name the command that an operator must run."""
_LONG: Final = Load(padding_bytes=2_000, invalid_share=0.02, settings=(("compression.type", "lz4"),))
_INCOMPRESSIBLE: Final = Load(padding_bytes=2_000, invalid_share=0.02, random_padding=True)

_TOPICS = (
    Scenario("partitions-added", "applications get 12 instead of 6 partitions", AddPartitions(12)),
    Scenario(
        "partitions-added-everywhere",
        "all three topics get 12 partitions",
        AddPartitions(12, ("applications", "decisions", "dead_letters")),
    ),
    Scenario(
        "recreated-fewer",
        "applications topic created again at once, with fewer records than before",
        RecreateApplications(gap_s=0.5),
        warm_up_s=15,
        load=Load(per_s=800),
        expect=RESET,
    ),
    Scenario(
        "recreated-more",
        "applications topic created again at once, with more records than before",
        RecreateApplications(gap_s=0.5, backlog=30_000),
        warm_up_s=15,
        load=Load(per_s=800),
        expect=RESET,
    ),
    Scenario(
        "recreated-more-static",
        "applications topic created again at once, with more records than before, static members",
        RecreateApplications(gap_s=0.2, backlog=30_000),
        warm_up_s=15,
        load=Load(per_s=800),
        workers=Workers(static=True),
        expect=RESET,
    ),
    Scenario(
        "recreated-late",
        "applications topic created again after 15 s",
        RecreateApplications(gap_s=15),
        warm_up_s=15,
        load=Load(per_s=800),
        workers=Workers(static=True),
        expect=RESET,
    ),
    Scenario(
        "retention-passes-stopped-group",
        "retention deletes what a stopped group has not read, in two partitions",
        DeleteRecords((0, 1), 15),
        expect=RESET,
        shutdown_timeout_s=30,
    ),
    Scenario(
        "retention-passes-running-group",
        "retention deletes what a running group has not read, in two partitions",
        DeleteRecordsUnderWorkers((0, 1), 15),
        expect=RESET,
        shutdown_timeout_s=30,
    ),
    Scenario(
        "records-too-large",
        "the decisions topic takes 200 bytes",
        SetConfig("decisions", {"max.message.bytes": "200"}),
        20,
        expect=RESTARTS,
    ),
    Scenario(
        "batches-too-large",
        "the decisions topic takes batches of 100 kB, a backlog in one partition",
        Backlog(30_000, Load()),
        decisions_config={"max.message.bytes": "100000"},
        load=None,
        workers_first=False,
        partitions=1,
        workers=Workers(count=1),
    ),
    Scenario(
        "read-only-decisions",
        "the decisions topic cannot be written (ACL)",
        DenyWrites("decisions"),
        25,
        expect=RESTARTS,
    ),
    Scenario(
        "read-only-dead-letters",
        "the dead-letter topic cannot be written (ACL)",
        DenyWrites("dead_letters"),
        25,
        expect=RESTARTS,
    ),
    Scenario(
        "deployments-away",
        "the history of deployments is deleted and a worker killed",
        DeleteDeployments(),
        20,
        expect=RESET,
    ),
)
_RECORDS = (
    Scenario(
        "huge-records",
        "20 MB (zstd) and 2 MB (gzip) in one record each, among 10,000",
        HugeRecords((("zstd", 20_000_000), ("gzip", 2_000_000)), 5_000),
    ),
    Scenario("odd-timestamps", "timestamps in seconds, microseconds, negative", OddTimestamps(200)),
)
_MEMORY = (
    Scenario(
        "memory-compressible",
        "a backlog of 2 million records of 2 kB that compress well",
        BacklogDecided(Backlog(2_000_000, _LONG)),
        load=None,
        workers_first=False,
        workers=Workers(count=1),
        shutdown_timeout_s=300,
        expect=Expectation(rss_mb=1_024),
    ),
    Scenario(
        "memory-frozen-brokers",
        "a backlog of 300,000 records of 2 kB that do not compress, all brokers frozen for 20 s",
        Backlog(300_000, _INCOMPRESSIBLE, FreezeBrokers("all"), hold_s=20),
        load=None,
        workers_first=False,
        workers=Workers(count=1),
        shutdown_timeout_s=180,
        expect=Expectation(exits=CLEAR_EXITS, rss_mb=1_024),
    ),
)
DATA: Final = (*_TOPICS, *_RECORDS, *_MEMORY)
