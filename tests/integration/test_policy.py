"""A policy from a file to decisions: simulated on past ones, put into a bundle, and decided by a worker."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.local.broker import Broker
from tests.integration.readers import GOOD, decide
from tests.integration.worker_process import WAIT_S, Topics, scorer

pytestmark = pytest.mark.broker

POLICY = """
[policy]
maybe_above = 0.3
declined_above = 0.5
[[policy.rules]]
id = "poor"
when = "income < 20"
label = "DECLINED"
reason = "INCOME"
"""
POOR = 12
ALL = 60


def test_a_simulated_policy_decides_as_it_was_simulated(broker: Broker, tmp_path: Path) -> None:
    """The simulation counts the applications that the rule decides; nothing is published by it."""
    topics = Topics(broker.bootstrap_servers, 3)
    producer = Producer({"bootstrap.servers": topics.servers})
    for number in range(ALL):
        fields = {"application_id": f"a-{number}", "income": 10 if number < POOR else 200}
        value = dump_application(APPLICATIONS["plain"] | fields, shipped_contract())
        producer.produce(topics.applications, value, f"a-{number}", partition=number % 3)
    assert producer.flush(WAIT_S) == 0
    decide(topics, GOOD, tmp_path / "w.log")
    (tmp_path / "policy.toml").write_text(POLICY)
    page = tmp_path / "policy.html"
    policy = ("--policy", tmp_path / "policy.toml")
    code, out, errors = scorer(topics, "policy", "simulate", *policy, "--bundle", GOOD, "--out", page, "--json")
    assert code == 0, errors
    figures = json.loads(out)
    assert (figures["applications"], figures["missing"], figures["invalid"]) == (ALL, 0, 0)
    assert figures["by_rule"]["poor"]["applications"] == POOR
    assert figures["after"]["DECLINED"] >= POOR
    assert figures["default_rate_after"] is not None or figures["after"]["APPROVED"] == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, errors = scorer(topics, "policy", "simulate", "--maybe-above", "0", "--declined-above", "0")
    assert code == 0, errors
    assert "approval rate 0.0% instead of" in out
