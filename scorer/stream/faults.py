"""Classifies Kafka errors: retry the call, abort the batch, stop because a retry does not help, or give up.

librdkafka reports abortable transaction errors with the codes of retriable ones (a timeout, a coordinator that moved);
only flags distinguish them. So the flags are checked first, and the code only if no flag is set.
"""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.unreadable import END_OF_PARTITION, OUT_OF_RANGE, UNREADABLE
from scorer.errors import BrokerError
from scorer.logs import BROKER_RETRIED, log

T = TypeVar("T")

# Timeout of one attempt of a retried call: short, so that a shutdown is noticed between attempts.
ATTEMPT_S: Final = 5.0
# Pause between attempts, for brokers that answer at once that they are not ready.
_PAUSE_S: Final = 0.2


class Fault(Enum):
    """How to handle an error."""

    RETRIABLE = "the same call can succeed in a moment"
    ABORTABLE = "the batch is aborted and its records are polled again"
    NON_RETRIABLE = "a permission, a limit or a setting is wrong: waiting does not help"
    FATAL = "the client cannot continue: it was fenced, or librdkafka gave up"


class Report(Enum):
    """What a consumer returns in place of a record."""

    END = "the partition has no more records for now"
    UNREADABLE = "a record batch is corrupt, or too large once decompressed"
    OUT_OF_RANGE = "there is no record at the position, and the consumer stops fetching the partition"
    TRANSIENT = "the consumer continues by itself"
    FINAL = "a right, a setting or the client is wrong: waiting does not help"


class Fenced(Exception):  # noqa: N818  (caught and explained by the link, which knows more)
    """The consumer was replaced by another member of the group."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.error = error


_FATAL: Final = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
_RETRIABLE: Final = frozenset(
    {
        # Local: connections, coordinators and metadata that are not available yet.
        KafkaError._TRANSPORT,
        KafkaError._FAIL,
        KafkaError._RESOLVE,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._NODE_UPDATE,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._RETRY,
        KafkaError._QUEUE_FULL,
        KafkaError._ISR_INSUFF,
        KafkaError._INTR,
        KafkaError._OUTDATED,
        KafkaError._PARTIAL,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._DESTROY_BROKER,
        # Brokers that start, stop, elect leaders or throttle.
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.STALE_CTRL_EPOCH,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_CONTROLLER,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
        KafkaError.OPERATION_NOT_ATTEMPTED,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.REASSIGNMENT_IN_PROGRESS,
        KafkaError.FETCH_SESSION_ID_NOT_FOUND,
        KafkaError.INVALID_FETCH_SESSION_EPOCH,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.STALE_BROKER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNRELEASED_INSTANCE_ID,
        KafkaError.UNKNOWN_CONTROLLER_ID,
        KafkaError.REBOOTSTRAP_REQUIRED,
    }
)
_NON_RETRIABLE: Final = frozenset(
    {
        # Rights and credentials.
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        KafkaError.DELEGATION_TOKEN_AUTH_DISABLED,
        KafkaError.DELEGATION_TOKEN_NOT_FOUND,
        KafkaError.DELEGATION_TOKEN_OWNER_MISMATCH,
        KafkaError.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        KafkaError.DELEGATION_TOKEN_EXPIRED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SECURITY_DISABLED,
        KafkaError.INVALID_PRINCIPAL_TYPE,
        KafkaError.PRINCIPAL_DESERIALIZATION_FAILURE,
        KafkaError.UNACCEPTABLE_CREDENTIAL,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        # Missing topics, and records that a topic's configuration rejects.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.INVALID_COMMIT_OFFSET_SIZE,
        # The group and the client's settings.
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.GROUP_MAX_SIZE_REACHED,
        KafkaError.UNSUPPORTED_ASSIGNOR,
        KafkaError.INVALID_REGULAR_EXPRESSION,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REQUEST,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError._NOT_CONFIGURED,
        KafkaError._INVALID_ARG,
        KafkaError._UNKNOWN_PROTOCOL,
        KafkaError._CRIT_SYS_RESOURCE,
        KafkaError._FS,
    }
)
BY_CODE: Final[Mapping[int, Fault]] = {
    **dict.fromkeys(_FATAL, Fault.FATAL),
    **dict.fromkeys(_RETRIABLE, Fault.RETRIABLE),
    **dict.fromkeys(_NON_RETRIABLE, Fault.NON_RETRIABLE),
}
"""Codes that are not ABORTABLE. All other codes are: the batch is aborted and its records are polled again."""
_REPORTS: Final[Mapping[int, Report]] = {
    END_OF_PARTITION: Report.END,
    **dict.fromkeys(UNREADABLE, Report.UNREADABLE),
    **dict.fromkeys(OUT_OF_RANGE, Report.OUT_OF_RANGE),
}


def triage(error: KafkaError) -> Fault:
    """Classifies the error of a call.

    An abortable error stays abortable until the transaction is aborted, whatever its code. After the abort,
    `cause_of_abort` classifies its cause.
    """
    if error.fatal() or error.code() in _FATAL:
        return Fault.FATAL
    if error.txn_requires_abort():
        return Fault.ABORTABLE
    if error.retriable():
        return Fault.RETRIABLE
    return BY_CODE.get(error.code(), Fault.ABORTABLE)


def cause_of_abort(error: KafkaError) -> Fault:
    """Why a batch was aborted: NON_RETRIABLE if the next attempt would fail in the same way, else ABORTABLE."""
    return Fault.NON_RETRIABLE if error.code() in _NON_RETRIABLE else Fault.ABORTABLE


def must_stop(error: KafkaError) -> bool:
    """Whether a reader of a topic cannot continue after this error; all other errors are transient."""
    return triage(error) in {Fault.FATAL, Fault.NON_RETRIABLE}


def classify(error: KafkaError) -> Report:
    """Classifies what a consumer returned in place of a record."""
    if error.code() in _REPORTS:
        return _REPORTS[error.code()]
    return Report.FINAL if must_stop(error) else Report.TRANSIENT


class Deadline:
    """A time limit that ends early when the process must stop; a `should_stop` for `retry_transient`."""

    def __init__(self, limit_s: float, should_stop: Callable[[], bool] = lambda: False) -> None:
        self._ends_at = time.monotonic() + limit_s
        self._should_stop = should_stop

    def __call__(self) -> bool:
        return time.monotonic() > self._ends_at or self._should_stop()


def retry_transient(call: Callable[[], T], should_stop: Callable[[], bool]) -> T:
    """Retries a call until it succeeds, as long as its errors are retriable.

    Args:
        call: one attempt, with its own timeout.
        should_stop: checked after each failed attempt; True ends the retries.

    Raises:
        KafkaException: the error is not retriable.
        BrokerError: `should_stop` returned True; the message has the error of the last attempt.
    """
    while True:
        try:
            return call()
        except KafkaException as failure:
            error = failure.args[0]
            if triage(error) is not Fault.RETRIABLE:
                raise
            if should_stop():
                raise BrokerError(
                    f"the broker did not answer within the time limit ({error.str()}). Nothing is lost: uncommitted "
                    "records will be processed again"
                ) from failure
            log(BROKER_RETRIED, error=error.str())
            time.sleep(_PAUSE_S)


def raise_on_partition_error(partitions: list[TopicPartition] | None) -> list[TopicPartition]:
    """Returns the partitions of a response if none of them has an error.

    Raises:
        KafkaException: the error of the first partition that has one.
    """
    for tp in partitions or ():
        if tp.error is not None:
            raise KafkaException(tp.error)
    return partitions or []
