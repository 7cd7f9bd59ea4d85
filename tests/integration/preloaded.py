"""Imports what commands import, for the process that they are forked from (tests.integration.forked)."""

import sys
from importlib import import_module

from tests.integration.worker_process import WITHOUT_TRAINING

sys.path.insert(0, str(WITHOUT_TRAINING))
for _name in (
    "xgboost",
    "confluent_kafka.admin",
    "scorer.store.archive",
    "scorer.bundle.signing",
    "scorer.cli.root",
    "scorer.replay.rescore",
    "scorer.replay.results",
    "scorer.replay.plan",
    "scorer.operate.dead_letters",
    "scorer.operate.diagnose",
    "scorer.stream.follow",
    "scorer.operate.offsets",
    "scorer.operate.rollout",
    "scorer.cli.worker",
    "scorer.process",
    "scorer.monitor.http",
    "scorer.console.serve",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "producer.cli",
    "producer.results",
    "typer._adapters",
):
    import_module(_name)
