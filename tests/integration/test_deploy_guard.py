"""`scorer deploy` on a real broker: what stops a deployment, and what is done nevertheless is in the history."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from producer.generator import generate_applications
from scorer.local.broker import Broker
from tests.integration.test_deployments import stored
from tests.integration.worker_process import Topics, operate, scorer
from tests.unit.bundle.contracts import car_loan_bundle

pytestmark = pytest.mark.broker
WHY = ("--reason", "a test")
DESPITE = ("--despite", "decided on 3 May")
MARITAL = "features: marital: the model uses marital: marital status is a prohibited basis"
STOPPED = 'Nothing was changed. To deploy it nevertheless: --despite "why", which the history records'


@pytest.fixture
def topics(broker: Broker, tmp_path: Path) -> Iterator[Topics]:
    """Topics and a store of their own; the store has the default bundle with a policy that declines most applicants."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[policy]\nmaybe_above = 0.02\ndeclined_above = 0.05\n", encoding="utf-8")
    with stored(Topics(broker.bootstrap_servers, 2), tmp_path / "store") as own:
        operate(own, "bundle", "repolicy", "credit-risk:1.1.1", "--policy", policy, "--version", "2.0.0")
        yield own


def publish(topics: Topics, count: int) -> None:
    """Publishes generated applications to both partitions, and one record that is none."""
    values = [record.value for record in islice(generate_applications(seed=3), count)]
    for partition in range(2):
        topics.publish(*values[partition::2], partition=partition)
    topics.publish(b"{", partition=0)


def history(topics: Topics) -> list[dict[str, Any]]:
    """All events."""
    events: list[dict[str, Any]] = json.loads(operate(topics, "history", "--json"))
    return events


def test_an_error_of_the_review(topics: Topics) -> None:
    """A bundle that uses marital status was deployed without a word, although `bundle lint` had an error for it.

    It is stopped in both slots; with a reason it is deployed, and the reason is in the history, for people too.
    """
    for slot in ("champion", "challenger"):
        code, _, errors = scorer(topics, "deploy", "credit-risk:1.0.0", "--slot", slot, *WHY)
        assert code == 1
        assert "credit-risk:1.0.0@4ebcad5e357a is not deployed:\n" in errors
        assert MARITAL in errors
        assert STOPPED in errors
    assert history(topics) == []
    output = operate(topics, "deploy", "credit-risk:1.0.0", *WHY, *DESPITE)
    assert f"--despite overrides:\n  {MARITAL}" in output
    assert [event["despite"] for event in history(topics)] == ["decided on 3 May"]
    shown = " ".join(operate(topics, "history").split())
    assert "a test (deployed despite its review: decided on 3 May)" in shown


def test_a_shift_of_the_labels(topics: Topics) -> None:
    """A bundle that suddenly declines most applicants is stopped before it decides anything.

    As a challenger it is deployed, because that is what a challenger is for, and the command prints the shares.
    """
    publish(topics, 1_200)
    code, _, errors = scorer(topics, "deploy", "credit-risk:2.0.0", *WHY)
    assert code == 1
    (declined,) = [line for line in errors.splitlines() if line.startswith("  DECLINED ")]
    assert declined.endswith(" percentage points; at most 10 are allowed")
    assert " is a shift of +" in declined
    assert STOPPED in errors
    assert history(topics) == []
    labels = f"applications of topic {topics.applications}, by the champion credit-risk:1.1.1@"
    assert labels in operate(topics, "deploy", "credit-risk:2.0.0", "--slot", "challenger", *WHY)
    operate(topics, "retire", *WHY)
    report = json.loads(operate(topics, "deploy", "credit-risk:2.0.0", "--json", *WHY, *DESPITE))
    assert report["event"]["despite"] == "decided on 3 May"
    assert [event.get("despite") for event in history(topics)] == [None, None, "decided on 3 May"]


def test_few_applications(topics: Topics) -> None:
    """With few applications on the topic, or none, the golden examples are compared, and the command says so.

    They are synthetic, and far from what applicants send: a shift on them is printed, and stops nothing.
    """
    for published, version, count in ((0, "2.0.0", "0 of the newest 0"), (60, "1.1.0", "60 of the newest 61")):
        if published:
            publish(topics, published)
        output = operate(topics, "deploy", f"credit-risk:{version}", *WHY)
        assert f"are compared instead of applications: both bundles can decide {count} " in output
        assert "labels of the 64 golden examples of this bundle, by the champion credit-risk:" in output


def test_a_rollback_is_never_stopped(topics: Topics) -> None:
    """At 3 a.m. the previous champion is restored, whatever its review says; and nothing more is printed of it."""
    publish(topics, 300)
    operate(topics, "deploy", "credit-risk:1.0.0", *WHY, *DESPITE)
    operate(topics, "deploy", "credit-risk:2.0.0", *WHY, *DESPITE)
    code, output, errors = scorer(topics, "rollback", *WHY)
    assert (code, errors) == (0, "")
    assert len(output.splitlines()) == 2
    assert "marital" not in output
    assert "despite" not in history(topics)[-1]


def test_a_rollback_restores_only_what_was_the_champion(topics: Topics) -> None:
    """Nobody has reviewed another bundle, so that is deployed; one that was rolled back before can be restored."""
    code, _, errors = scorer(topics, "rollback", "--to", "credit-risk:1.0.0", *WHY)
    assert (code, "was never the champion: `scorer deploy` reviews it" in errors) == (2, True)
    operate(topics, "deploy", "credit-risk:1.0.0", *WHY, *DESPITE)
    operate(topics, "rollback", "--to", "credit-risk:1.1.1", *WHY)
    operate(topics, "rollback", "--to", "credit-risk:1.0.0", *WHY)
    code, _, errors = scorer(topics, "rollback", "--to", "credit-risk:1.1.0", *WHY)
    assert (code, "was never the champion" in errors) == (2, True)


def test_a_reason_that_is_not_needed(topics: Topics) -> None:
    """The history has a reason only where something was overridden: otherwise it would say what is not true."""
    output = operate(topics, "deploy", "credit-risk:1.1.0", *WHY, *DESPITE)
    assert "--despite was not needed" in output
    assert "despite" not in history(topics)[-1]


def test_another_contract(topics: Topics, tmp_path: Path) -> None:
    """If the two bundles cannot decide the same applications, one sentence says that nothing is compared."""
    car_loan_bundle(tmp_path / "store" / "car-loan" / "1.0.0")
    publish(topics, 200)
    output = operate(topics, "deploy", "car-loan:1.0.0", "--allow-breaking", *WHY)
    assert "decisions are not compared: both bundles can decide 0 of the newest 201 applications of topic " in output
    assert "the champion rejects the " in output


def test_a_champion_that_the_store_does_not_have(topics: Topics, tmp_path: Path) -> None:
    """It can be replaced: a sentence says that nothing is compared."""
    operate(topics, "deploy", "credit-risk:2.0.0", *WHY, *DESPITE)
    (tmp_path / "store" / "credit-risk" / "2.0.0" / "bundle.json").unlink()
    output = operate(topics, "deploy", "credit-risk:1.1.0", *WHY)
    assert "the decisions are not compared with the champion's: " in output
