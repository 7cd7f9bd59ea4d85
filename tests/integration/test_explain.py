"""`scorer explain` on a real broker: by both ids, from one partition of each topic, with the bytes reproduced."""

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


def test_a_decision_is_explained_by_either_id(broker: Broker, tmp_path: Path) -> None:
    """Among other applications; the decision's bytes are reproduced."""
    topics = Topics(broker.bootstrap_servers, 3)
    producer = Producer({"bootstrap.servers": topics.servers, "partitioner": "murmur2_random"})
    for number in range(30):
        value = dump_application(APPLICATIONS["plain"] | {"application_id": f"a-{number}"}, shipped_contract())
        producer.produce(topics.applications, value, f"a-{number}")
    assert producer.flush(WAIT_S) == 0
    decide(topics, GOOD, tmp_path / "w.log")
    code, out, errors = scorer(topics, "explain", "a-7", "--json")
    assert code == 0, errors
    explained = json.loads(out)
    assert (explained["application_id"], explained["reproduced"], explained["other_decisions"]) == ("a-7", True, [])
    assert explained["contributions"]
    code, out, errors = scorer(topics, "explain", explained["decision_id"], "--json")
    assert code == 0, errors
    assert json.loads(out) == explained
    code, _, errors = scorer(topics, "explain", "nobody")
    assert code == 1
    assert "no decision with the application id nobody" in errors
