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
from tests.unit.bundle.contracts import car_loan_bundle

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
    nothing_is_decided_yet(topics)
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
    nothing_is_selected(topics, tmp_path)


def nothing_is_decided_yet(topics: Topics) -> None:
    """Without decisions, the simulation of any policy was a table of zeros, which a script took for a proof."""
    code, out, errors = scorer(topics, "policy", "simulate", "--maybe-above", "0.1", "--json")
    assert (code, out) == (1, "")
    assert f"nothing to simulate: topic {topics.decisions} has no decisions on applications" in errors
    assert "`scorer status` shows whether workers decide" in errors


def nothing_is_selected(topics: Topics, folder: Path) -> None:
    """An error names the filter that selects nothing, or why no application can be decided; no page is written."""
    since = ("--since", "2100-01-01")
    hint = "Only decisions since 2100-01-01 00:00:00 UTC were read: give an earlier time with --since, or leave it out"
    for filters, reason in (
        (since, "nothing to simulate"),
        ((*since, "--decided-by", GOOD), "no current decision"),
    ):
        code, out, errors = scorer(topics, "policy", "simulate", *filters)
        assert (code, out) == (1, "")
        assert reason in errors
        assert hint in errors
    other = car_loan_bundle(folder / "car-loan")
    policy, page = folder / "car-loan.toml", folder / "none.html"
    policy.write_text(POLICY.replace("income < 20", "salary < 20").replace('reason = "INCOME"\n', ""), encoding="utf-8")
    code, out, errors = scorer(topics, "policy", "simulate", "--policy", policy, "--bundle", other, "--html", page)
    assert (code, out) == (1, "")
    assert f"retention deleted 0 of them from topic {topics.applications}, and {ALL} are not in the contract" in errors
    assert not page.exists()
