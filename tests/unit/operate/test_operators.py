"""What an operator is told when Kafka refuses a writer."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError, DeploymentError, SettingsError
from scorer.operate import operators
from scorer.operate.operators import explain_errors, open_writer
from scorer.settings import Settings
from scorer.stream.rights import to_transactions

SETTINGS = Settings(bootstrap_servers="kafka-1:9093", kafka={"security.protocol": "SASL_SSL", "sasl.username": "ana"})
NEEDED = to_topic(Operation.WRITE, "scorer.deployments"), to_transactions("scorer.deployments-writer")
COMMAND = "kafka-acls.sh --bootstrap-server kafka-1:9093 --command-config admin.properties --add"


def refuse(code: int) -> None:
    """Kafka refuses a writer with an error that is fatal to it."""
    with explain_errors(SETTINGS, DeploymentError("overtaken"), lambda why: f"not written: {why}", NEEDED):
        raise KafkaException(KafkaError(code, fatal=True))


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH])
def test_another_operator_was_faster(code: int) -> None:
    """Only what fences a writer says that another one has begun."""
    with pytest.raises(DeploymentError, match="overtaken"):
        refuse(code)


def test_a_missing_right_is_not_another_operator() -> None:
    """The transactional id and the right to it are named.

    It was told as another operator who had been quicker, so that somebody in an emergency tried for ever.
    """
    with pytest.raises(BrokerError) as refusal:
        refuse(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    assert str(refusal.value).endswith(
        "Allow User:ana Write on transactional id scorer.deployments-writer: "
        f"`{COMMAND} --allow-principal User:ana --operation Write --transactional-id scorer.deployments-writer`"
    )


@pytest.mark.parametrize(
    "code", [KafkaError._FATAL, KafkaError.INVALID_TRANSACTION_TIMEOUT, KafkaError.FENCED_INSTANCE_ID]
)
def test_other_fatal_errors(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is fatal is told as what it is."""
    monkeypatch.setattr(operators, "lacking", lambda *_: [])
    with pytest.raises(BrokerError, match="not written"):
        refuse(code)


def test_a_topic_that_an_aborted_transaction_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that Kafka says is that the transaction is in no state to be committed, the rights are asked for."""
    monkeypatch.setattr(operators, "lacking", lambda _, rights: list(rights))
    with pytest.raises(BrokerError, match=r"Allow User:ana Write on topic scorer\.deployments: "):
        refuse(KafkaError.INVALID_TXN_STATE)


@pytest.mark.parametrize(("properties", "timeout"), [({}, "30000"), ({"transaction.timeout.ms": "9000"}, "9000")])
def test_the_writer_is_lossless_and_shares_its_id(
    monkeypatch: pytest.MonkeyPatch, properties: dict[str, str], timeout: str
) -> None:
    """The transactional id and the lossless properties are fixed; the transaction's timeout can be lowered."""
    configs: list[dict[str, Any]] = []
    monkeypatch.setattr(operators, "Producer", configs.append)
    open_writer(Settings(kafka=properties), "scorer.deployments-writer", {"linger.ms": 5})
    fixed = {"transactional.id": "scorer.deployments-writer", "enable.idempotence": True, "acks": "all"}
    expected = fixed | {"transaction.timeout.ms": timeout, "linger.ms": 5}
    assert {name: configs[0][name] for name in expected} == expected


def test_a_wrong_property_is_an_error_of_the_settings() -> None:
    """A property that librdkafka rejects is named."""
    with pytest.raises(SettingsError, match=r"no\.such\.property"):
        open_writer(SETTINGS, "scorer.deployments-writer", {"no.such.property": "1"})
