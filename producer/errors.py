"""What can go wrong for a publisher, as a tree, each with its exit code.

- PublisherError               exit code 1
  - MisuseError                exit code 2: the call or a setting is wrong; nothing was begun
  - InvalidApplicationError    the contract refuses the application; it was not sent
  - BrokerUnreachableError     no broker answers
  - TopicMissingError          the broker has no such topic
  - NotAllowedError            the broker does not allow it to this user
  - NotDeliveredError          sent, and not acknowledged
  - DecisionTimeoutError       acknowledged, and not decided in time
  - RejectedError              decided to be undecidable: it is a dead letter now

No message ever holds the value of an applicant's field.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong with an application.

    Attributes:
        field: the contract's field; "" if it is about the value as a whole.
        rule: the rule that is broken, in words, without the value.
    """

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}" if self.field else self.rule


class PublisherError(Exception):
    """Something that a publisher must know of; `str()` of it is the whole message for the user."""

    exit_code = 1


class MisuseError(PublisherError):
    """The call or a setting is wrong; nothing was begun."""

    exit_code = 2


class InvalidApplicationError(PublisherError):
    """The contract refuses the application; nothing was sent.

    Attributes:
        faults: every fault found, in the contract's order.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("the application is not what the contract says: " + "; ".join(map(str, faults)))
        self.faults = faults


class BrokerUnreachableError(PublisherError):
    """No broker answers."""


class TopicMissingError(PublisherError):
    """The broker has no such topic."""


class NotAllowedError(PublisherError):
    """The broker does not allow it to this user; the message says which right is missing."""


class NotDeliveredError(PublisherError):
    """One or more applications were not acknowledged by the broker; whether they are on the topic is not known."""


class DecisionTimeoutError(PublisherError):
    """The application is on the topic, and no decision on it came in time. It may still come."""


class RejectedError(PublisherError):
    """The application became a dead letter.

    Attributes:
        code: why, as in `schemas.rejection.RejectionCode`.
        reason: the fields and rules concerned.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the scorer rejected the application ({code}): {reason}")
        self.code = code
        self.reason = reason
