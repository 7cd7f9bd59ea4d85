"""The table of Kafka's errors: each flag and each code of librdkafka, and what follows from it."""

from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from scorer.errors import BrokerError
from scorer.stream import faults
from scorer.stream.faults import (
    BY_CODE,
    Deadline,
    Fault,
    cause_of_abort,
    must_stop,
    raise_on_partition_error,
    retry_transient,
    triage,
)

CODES = {
    name: code
    for name in dir(KafkaError)
    if not name.startswith("__") and isinstance(code := getattr(KafkaError, name), int) and code != KafkaError.NO_ERROR
}
# Codes after which a batch starts over. A new release of librdkafka may add codes: they have to be read and listed here
# or in the table.
STARTS_OVER = set(
    """
    _BAD_MSG _BAD_COMPRESSION _DESTROY _MSG_TIMED_OUT _PARTITION_EOF _UNKNOWN_GROUP _EXISTING_SUBSCRIPTION
    _ASSIGN_PARTITIONS _REVOKE_PARTITIONS _CONFLICT _STATE _NO_OFFSET _KEY_SERIALIZATION _VALUE_SERIALIZATION
    _KEY_DESERIALIZATION _VALUE_DESERIALIZATION _READ_ONLY _NOENT _UNDERFLOW _INVALID_TYPE _PURGE_QUEUE _PURGE_INFLIGHT
    _INCONSISTENT _GAPLESS_GUARANTEE _MAX_POLL_EXCEEDED _APPLICATION _ASSIGNMENT_LOST _NOOP _AUTO_OFFSET_RESET
    _LOG_TRUNCATION _INVALID_DIFFERENT_RECORD UNKNOWN OFFSET_OUT_OF_RANGE INVALID_MSG ILLEGAL_GENERATION
    UNKNOWN_MEMBER_ID REBALANCE_IN_PROGRESS TOPIC_ALREADY_EXISTS INVALID_PARTITIONS INVALID_REPLICATION_FACTOR
    INVALID_REPLICA_ASSIGNMENT OUT_OF_ORDER_SEQUENCE_NUMBER DUPLICATE_SEQUENCE_NUMBER INVALID_TXN_STATE
    INVALID_PRODUCER_ID_MAPPING LOG_DIR_NOT_FOUND UNKNOWN_PRODUCER_ID NON_EMPTY_GROUP GROUP_ID_NOT_FOUND
    TOPIC_DELETION_DISABLED MEMBER_ID_REQUIRED ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS GROUP_SUBSCRIBED_TO_TOPIC
    RESOURCE_NOT_FOUND DUPLICATE_RESOURCE INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION FEATURE_UPDATE_FAILED
    UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID FENCED_MEMBER_EPOCH STALE_MEMBER_EPOCH MISMATCHED_ENDPOINT_TYPE
    UNSUPPORTED_ENDPOINT_TYPE UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE INVALID_REGISTRATION TRANSACTION_ABORTABLE
    INVALID_RECORD_STATE SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH FENCED_STATE_EPOCH INVALID_VOTER_KEY
    DUPLICATE_VOTER VOTER_NOT_FOUND STREAMS_INVALID_TOPOLOGY STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED
    SHARE_SESSION_LIMIT_REACHED
    """.split()  # noqa: SIM905  (eighty quoted names are read worse)
)


def test_each_code_is_classified() -> None:
    """Each code that librdkafka knows is either in the table or listed as one after which a batch starts over."""
    in_table = {name for name, code in CODES.items() if code in BY_CODE}
    assert in_table.isdisjoint(STARTS_OVER)
    assert in_table | STARTS_OVER == set(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_without_a_flag_the_code_decides(name: str) -> None:
    """An error without a flag is what the table says of its code, and abortable if the table says nothing."""
    assert triage(KafkaError(CODES[name])) is BY_CODE.get(CODES[name], Fault.ABORTABLE)


@pytest.mark.parametrize("name", sorted(CODES))
def test_flags_come_before_the_code(name: str) -> None:
    """Whatever the code: a fatal error is fatal, an abortable one is aborted and never retried.

    Abortable errors of a transaction have the codes of retriable ones. The code used to be asked alone: after an outage
    of some 20 s a worker repeated a call that only an abort could help, without end, alive and ready.
    """
    code = CODES[name]
    assert triage(KafkaError(code, fatal=True)) is Fault.FATAL
    assert triage(KafkaError(code, fatal=True, retriable=True, txn_requires_abort=True)) is Fault.FATAL
    expected = Fault.FATAL if BY_CODE.get(code) is Fault.FATAL else Fault.ABORTABLE
    assert triage(KafkaError(code, txn_requires_abort=True)) is expected
    assert triage(KafkaError(code, retriable=True, txn_requires_abort=True)) is expected
    expected = Fault.FATAL if BY_CODE.get(code) is Fault.FATAL else Fault.RETRIABLE
    assert triage(KafkaError(code, retriable=True)) is expected


@pytest.mark.parametrize("name", sorted(CODES))
def test_what_follows_an_abort(name: str) -> None:
    """After an abort a worker starts over, unless the cause is a right or a setting; a reader stops at those too."""
    error = KafkaError(CODES[name])
    stays = BY_CODE.get(CODES[name]) is Fault.NON_RETRIABLE
    assert (cause_of_abort(error) is Fault.NON_RETRIABLE) == stays
    assert must_stop(error) == (stays or BY_CODE.get(CODES[name]) is Fault.FATAL)


class Script:
    """A call that fails with these errors, one after another, and then succeeds."""

    def __init__(self, *errors: KafkaError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise KafkaException(self.errors.pop(0))
        return "done"


def test_retries_while_the_error_is_transient() -> None:
    """Retriable errors are retried until the call succeeds."""
    call = Script(KafkaError(KafkaError._TRANSPORT), KafkaError(KafkaError.UNKNOWN, retriable=True))
    assert retry_transient(call, should_stop=lambda: False) == "done"
    assert call.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._TIMED_OUT, txn_requires_abort=True),
        KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED),
        KafkaError(KafkaError._STATE),
        KafkaError(KafkaError._TIMED_OUT, fatal=True),
    ],
    ids=lambda error: error.str(),
)
def test_does_not_retry_what_is_not_transient(error: KafkaError) -> None:
    """Any other error is raised at once."""
    call = Script(error)
    with pytest.raises(KafkaException) as raised:
        retry_transient(call, should_stop=lambda: False)
    assert raised.value.args[0] is error
    assert call.calls == 1


def test_stops_on_request() -> None:
    """When the caller's time is over the last error is named, and that nothing is lost."""
    call = Script(*[KafkaError(KafkaError._TIMED_OUT)] * 9)
    with pytest.raises(BrokerError, match=r"time limit \(Local: Timed out\).*Nothing is lost"):
        retry_transient(call, should_stop=lambda: call.calls == 3)
    assert call.calls == 3


def test_partitions_have_errors_of_their_own() -> None:
    """An answer in which one partition failed is an error, not an answer."""
    fine = TopicPartition("t", 0)
    failed = cast("TopicPartition", SimpleNamespace(error=KafkaError(KafkaError.NOT_COORDINATOR)))
    assert raise_on_partition_error([fine]) == [fine]
    assert raise_on_partition_error(None) == []
    with pytest.raises(KafkaException) as raised:
        raise_on_partition_error([fine, failed])
    assert raised.value.args[0].code() == KafkaError.NOT_COORDINATOR


@pytest.mark.parametrize(
    ("elapsed_s", "stopping", "expected"), [(4.9, False, False), (5.1, False, True), (0.0, True, True)]
)
def test_a_deadline_ends_by_time_or_by_a_stop(
    monkeypatch: pytest.MonkeyPatch, elapsed_s: float, stopping: bool, expected: bool
) -> None:
    """A deadline of 5 s has passed after 5 s, or as soon as the process must stop."""
    now_s = [100.0]
    monkeypatch.setattr(faults, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    deadline = Deadline(5.0, lambda: stopping)
    now_s[0] += elapsed_s
    assert deadline() is expected
