"""The errors of the publisher's client, with their exit codes.

- PublisherError               exit code 1
  - MisuseError                exit code 2: a call or a setting is invalid; nothing was sent
  - InvalidApplicationError    the application is invalid; it was not sent
  - BrokerUnreachableError     no broker responds
  - TopicMissingError          the topic does not exist
  - NotAllowedError            the user is not authorized
  - NotDeliveredError          sent, but not acknowledged
  - DecisionTimeoutError       acknowledged, but not decided in time
  - RejectedError              rejected by the scorer: it is a dead letter now

Messages never contain the value of an applicant's field.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One fault of an application.

    Attributes:
        field: the contract's field; "" if the fault concerns the whole value.
        rule: the broken rule as text, without the value.
    """

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}" if self.field else self.rule


class PublisherError(Exception):
    """Base class of the publisher's errors; `str()` gives the complete message for the user."""

    exit_code = 1


class MisuseError(PublisherError):
    """A call or a setting is invalid; nothing was sent."""

    exit_code = 2


class InvalidApplicationError(PublisherError):
    """The application is invalid; it was not sent.

    Attributes:
        faults: all faults, in the order of the contract's fields.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("invalid application: " + "; ".join(map(str, faults)))
        self.faults = faults


class BrokerUnreachableError(PublisherError):
    """No broker responds."""


class TopicMissingError(PublisherError):
    """The topic does not exist."""


class NotAllowedError(PublisherError):
    """The user is not authorized; the message names the missing ACL."""


class NotDeliveredError(PublisherError):
    """The broker did not acknowledge one or more applications; they may or may not be on the topic."""


class DecisionTimeoutError(PublisherError):
    """The application is on the topic, but was not decided in time. It may still be decided."""


class RejectedError(PublisherError):
    """The scorer rejected the application: it is a dead letter now.

    Attributes:
        code: the code, as in `schemas.rejection.RejectionCode`.
        reason: the fields, and the rules that they break.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the scorer rejected the application ({code}): {reason}")
        self.code = code
        self.reason = reason
