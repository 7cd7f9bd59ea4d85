"""The state of a link's deliveries, of which at most one is in flight, and every transition between the states."""

from collections.abc import Mapping
from concurrent.futures import Future
from enum import Enum
from typing import Final, NamedTuple

from confluent_kafka import TopicPartition

from scorer.core.score import Scores
from scorer.stream.delivery import Delivered
from scorer.stream.worker import Batch


class DeliveryState(Enum):
    """Whether a batch can be published."""

    IDLE = "no delivery is in flight, or its end is being waited for"
    IN_FLIGHT = "a batch is being delivered in the background"
    STOPPED = "the link cannot continue, or is closed: nothing is delivered"


TRANSITIONS: Final[Mapping[tuple[DeliveryState, DeliveryState], str]] = {
    (DeliveryState.IDLE, DeliveryState.IN_FLIGHT): "a batch is published",
    (DeliveryState.IN_FLIGHT, DeliveryState.IDLE): "its end is waited for: the next publish, a rebalance or a shutdown",
    (DeliveryState.IDLE, DeliveryState.STOPPED): "the delivery or a poll failed finally, or the link is closed",
    (DeliveryState.IN_FLIGHT, DeliveryState.STOPPED): "a poll failed finally while the batch was being delivered",
    (DeliveryState.STOPPED, DeliveryState.STOPPED): "a stopped link is closed, or closed again",
}
"""Every legal transition, with what causes it."""


class InFlight(NamedTuple):
    """A batch that is being delivered."""

    batch: Batch
    scores: Scores
    offsets: list[TopicPartition]
    """The offsets that are committed with it."""
    delivery: Future[Delivered]
    ends_at: float
    """The end of its time limit, on the monotonic clock."""


class Deliveries:
    """The delivery in flight, if any. Used in the loop's thread only, in which the consumer's callbacks run, too."""

    def __init__(self) -> None:
        self.state = DeliveryState.IDLE
        """Set by `enter`."""
        self.in_flight: InFlight | None = None
        """Set by `begin` when a batch is published; cleared by `take`."""

    @property
    def are_stopped(self) -> bool:
        """Whether the link cannot continue."""
        return self.state is DeliveryState.STOPPED

    def begin(self, in_flight: InFlight) -> None:
        """A batch is being delivered."""
        self.enter(DeliveryState.IN_FLIGHT)
        self.in_flight = in_flight

    def take(self) -> InFlight | None:
        """Returns the delivery in flight, whose end the caller waits for; None if none is, or the link is stopped."""
        if self.state is not DeliveryState.IN_FLIGHT:
            return None
        self.enter(DeliveryState.IDLE)
        in_flight, self.in_flight = self.in_flight, None
        return in_flight

    def stop(self) -> None:
        """The link cannot continue; a delivery that is in flight is not waited for."""
        self.enter(DeliveryState.STOPPED)

    def enter(self, state: DeliveryState) -> None:
        """Changes the state.

        Raises:
            AssertionError: `TRANSITIONS` does not list the change.
        """
        assert (self.state, state) in TRANSITIONS, f"deliveries cannot change from {self.state} to {state}"
        self.state = state
