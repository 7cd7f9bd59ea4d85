"""Imports what commands import, for the process that they are forked from (tests.integration.forked).

In the commands, bundles are opened without a child, which would import everything again; those that tests start as a
process of their own have the child.
"""

import gc
import sys
from importlib import import_module
from unittest.mock import patch

from tests.integration.worker_process import WITHOUT_TRAINING
from tests.opening import OPENING, open_here

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
    "scorer.operate.group_checks",
    "scorer.operate.status",
    "scorer.operate.timestamps",
    "producer.cli",
    "producer.load",
    "producer.publish",
    "producer.results",
    "producer.trial",
    "rich.live",
    "rich.markup",
    "rich.progress",
    "rich.table",
    "typer._adapters",
):
    import_module(_name)
for _module in OPENING:
    patch.object(_module, "open_in_child", open_here).start()
gc.collect()
gc.freeze()  # the collectors of the forked processes need not look at what is here, and so copy it
