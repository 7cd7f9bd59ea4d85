"""Reasons and policies on a real broker, on as many decisions as `REASONS_RECORDS` says, by default 50,000."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.applications import course_applications, publish
from scorer.bundle.engine import with_engine
from scorer.bundle.load import read_contract_of, read_manifest
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.core.decide import NO_RULE
from scorer.core.policy import LABELS
from scorer.core.records import Record
from scorer.core.score import score_batch
from scorer.local.broker import Broker
from scorer.store.store import BundleStore
from tests.integration.readers import decide, settings_of
from tests.integration.worker_process import Topics, operate

pytestmark = pytest.mark.broker

RECORDS = int(os.environ.get("REASONS_RECORDS", "50000"))
PARTITIONS = 4
NEW = "credit-risk:9.0.0"
_log = logging.getLogger(__name__)
POLICY = """
[policy]
maybe_above = 0.25
declined_above = 0.45
[policy.segments]
field = "home"
values = { rent = { maybe_above = 0.2, declined_above = 0.4 } }
[[policy.rules]]
id = "poor"
when = "income < 60 or is_null(income) and amount > 1000"
label = "DECLINED"
reason = "INCOME"
"""


@pytest.fixture(scope="module")
def decided(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Topics:
    """Topics on which the default bundle has decided all applications."""
    topics = Topics(broker.bootstrap_servers, PARTITIONS)
    publish(settings_of(topics), course_applications(), RECORDS)
    decide(topics, DEFAULT_BUNDLE, tmp_path_factory.mktemp("worker") / "w.log")
    return topics


def decisions(topics: Topics) -> Iterator[dict[str, Any]]:
    """The decisions on the topic."""
    return (json.loads(message.value() or b"") for message in topics.read(topics.decisions))


def test_decisions_that_are_not_approved_have_reasons(decided: Topics, tmp_path: Path) -> None:
    """One to four different codes of the catalogue, none of a prohibited basis; APPROVED has none; all reproducible."""
    folder = BundleStore(tmp_path).find(DEFAULT_BUNDLE)
    reasons, contract = read_manifest(folder).reasons, read_contract_of(folder, DEFAULT_BUNDLE)[1]
    assert reasons is not None
    assert not any(contract.fields[name].prohibited for entry in reasons.catalogue for name in entry.fields)
    labels: Counter[str] = Counter()
    for decision in decisions(decided):
        labels[decision["decision"]] += 1
        codes = decision.get("reasons", [])
        assert 1 <= len(codes) <= 4 if decision["decision"] != "APPROVED" else codes == []
        assert len(set(codes) & set(reasons.codes)) == len(codes), codes
    assert labels.total() == RECORDS
    assert all(labels[label] for label in LABELS)
    verified = json.loads(operate(decided, "replay", "verify", "--json"))
    assert (verified["decisions"], verified["different"]) == (RECORDS, 0)
    _log.info("%s: %s", dict(labels), verified)


def test_a_simulated_policy_equals_scoring_again(decided: Topics, tmp_path: Path) -> None:
    """Labels and rules, by the PDs on the topic, are those of a bundle with the policy that scores the applications."""
    policy, store = tmp_path / "policy.toml", tmp_path / "store"
    policy.write_text(POLICY)
    began_at = time.monotonic()
    simulated = json.loads(operate(decided, "policy", "simulate", "--policy", policy, "--json"))
    took_s = time.monotonic() - began_at
    operate(decided, "bundle", "repolicy", DEFAULT_BUNDLE, "--policy", policy, "--version", "9.0.0", "--store", store)
    bundle = with_engine(BundleStore(store).open(NEW), "auto")
    after, by_rule = np.zeros(len(LABELS), dtype=np.intp), 0
    applications = decided.read(decided.applications)
    while records := list(islice(applications, 20_000)):
        scores = score_batch(cast("list[Record]", records), bundle, settings_of(decided).record_bytes_max)
        after += np.bincount(scores.decided, minlength=len(LABELS))
        by_rule += int(np.count_nonzero(scores.rules != NO_RULE))
    assert simulated["applications"] == RECORDS
    assert simulated["after"] == dict(zip(LABELS, after.tolist(), strict=True))
    assert simulated["by_rule"]["poor"]["applications"] == by_rule > 0
    assert simulated["before"] == Counter(decision["decision"] for decision in decisions(decided))
    _log.info("%d decisions simulated in %.1f s, and %d changed", RECORDS, took_s, simulated["flipped"])
