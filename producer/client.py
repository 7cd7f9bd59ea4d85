"""Client for publishers in Python: validates applications, sends them, and can wait for a decision.

    with ApplicationPublisher(Settings(bootstrap_servers="kafka:9092")) as publisher:
        for application in applications:
            publisher.publish(application)

Leaving the block waits until the broker has acknowledged all records, or raises `NotDeliveredError`.
"""

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel

from producer.deployed import find_deployed_contract
from producer.errors import (
    DecisionTimeoutError,
    Fault,
    InvalidApplicationError,
    NotDeliveredError,
    RejectedError,
)
from producer.kafka import SLICE_S, Sender
from producer.results import decode_result, position_of, source_of
from producer.settings import Settings
from producer.tail import TopicTail
from producer.validation import validate_application
from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.decision import Decision
from schemas.files import dump_application
from schemas.records import Malformed, Mark
from schemas.rights import Operation, to_topic

_LOGGER: Final = logging.getLogger("producer")


class ApplicationPublisher(Sender):
    """Sends applications to the scorer's input topic; use it as a context manager.

    Sending is idempotent: retries do not lose, duplicate or reorder records. The client is not thread-safe.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        headers: Mapping[str, str] | None = None,
        contract: Contract | None = None,
    ) -> None:
        """Opens the client; no request is sent to the broker until the block is entered.

        Args:
            settings: brokers, topics and librdkafka properties; `producer.settings.load_settings()` reads those of the
                command line. The properties override the defaults of this class, except for idempotence.
            headers: headers to add to every record.
            contract: the contract that applications are validated against, as `schemas.contract_parser.parse_contract`
                reads it; default: that of the deployed bundle, which is read when the block is entered, and
                credit-application, which is shipped, before the first deployment.

        Raises:
            MisuseError: librdkafka rejects a property.
        """
        super().__init__(settings or Settings(), headers or {})
        self.contract = contract or shipped_contract()
        self._finds_contract = contract is None

    def publish(self, application: BaseModel | Mapping[str, object]) -> None:
        """Validates an application and sends it, without waiting for the acknowledgement.

        Args:
            application: the contract's properties by name, or a pydantic model that has them; any other properties are
                sent, too.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
        """
        key, value = self._write(application)
        self.send(key, value)

    def flush(self, timeout_s: float | None = None) -> None:
        """Waits like `drain`, and raises an error if any record failed.

        Raises:
            NotDeliveredError: records failed since the client was opened, or are not acknowledged yet.
        """
        waiting = self.wait_for_delivery(timeout_s)
        if self.failed or waiting:
            raise NotDeliveredError(
                f"{self.failed + waiting} of {self.sent} applications were not delivered: {self._reason()}"
            )

    def decide(self, application: BaseModel | Mapping[str, object], timeout_s: float = 10.0) -> Decision:
        """Sends one application and waits for its decision.

        Args:
            application: the application, as for `publish`.
            timeout_s: maximum time in seconds, including sending.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
            NotDeliveredError: it was not acknowledged in time.
            RejectedError: the scorer rejected it; it is a dead letter now.
            DecisionTimeoutError: it is on the topic, but was not decided in time.
        """
        key, value = self._write(application)
        deadline_s = time.monotonic() + timeout_s
        topics = (self._settings.decisions_topic, self._settings.dead_letters_topic)
        # If brokers create topics on use, a producer's metadata request creates the topic, and a consumer's does not.
        for topic in topics:
            self._require_topic(to_topic(Operation.READ, topic))
        with TopicTail(self._settings, topics) as tail:
            delivered = self._deliver(key, value, deadline_s)
            while (left_s := deadline_s - time.monotonic()) > 0:
                message = tail.poll(min(left_s, SLICE_S))
                if message is None or message.key() != key:
                    continue
                result = decode_result(message, self._settings.dead_letters_topic)
                if isinstance(result, Malformed | Mark) or source_of(result) != position_of(delivered):
                    continue
                if isinstance(result, Decision):
                    return result
                raise RejectedError(result.code, result.reason)
        raise DecisionTimeoutError(
            f"not decided within {timeout_s:g} s. The application is on {delivered.topic()}, partition "
            f"{delivered.partition()}, offset {delivered.offset()}, and a worker will decide it: is one running?"
        )

    def _write(self, application: BaseModel | Mapping[str, object]) -> tuple[bytes, bytes]:
        """Validates an application, and returns the key and value of its record."""
        members = application.model_dump(exclude_unset=True) if isinstance(application, BaseModel) else application
        try:
            value = dump_application(members, self.contract)
        except (TypeError, ValueError) as error:
            reason = f"cannot be written as JSON: {type(error).__name__}"
            raise InvalidApplicationError((Fault("", reason),)) from None
        return validate_application(value, self.contract).encode(), value

    def __enter__(self) -> Self:
        """Verifies that a broker responds and has the topic, and reads the deployed contract if none was given.

        If that cannot be read, for example because a permission is missing, a warning is logged, and credit-application
        is used.

        Raises:
            BrokerUnreachableError: no broker responds.
            TopicMissingError: the topic does not exist.
            NotAllowedError: this user is not authorized to write to it.
        """
        self._require_topic(self._needed)
        if self._finds_contract:
            known = find_deployed_contract(self._settings)
            known.require_broker()
            if known.error:
                _LOGGER.warning("%s", known.note)
            self.contract = known.contract
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()  # the block failed: queued records must not be sent later
