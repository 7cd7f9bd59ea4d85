"""The states of a link's deliveries: every pair of them is either in the table or refused."""

from concurrent.futures import Future
from itertools import product

import numpy as np
import pytest

from scorer.core.score import Scores
from scorer.stream.delivery import Delivered
from scorer.stream.in_flight import Deliveries, DeliveryState, InFlight
from scorer.stream.worker import Batch
from tests.fakes import tiny_bundle

NOTHING = Scores(tiny_bundle().reference, [], np.empty(0, np.float32), np.empty(0, np.intp), np.empty(0, np.intp))
BATCH = InFlight(Batch([], {}), NOTHING, [], Future[Delivered](), 0.0)
IDLE, IN_FLIGHT, STOPPED = DeliveryState
LEGAL = {IDLE: {IN_FLIGHT, STOPPED}, IN_FLIGHT: {IDLE, STOPPED}, STOPPED: {STOPPED}}


def deliveries_in(state: DeliveryState) -> Deliveries:
    """Deliveries in a state."""
    deliveries = Deliveries()
    if state is IN_FLIGHT:
        deliveries.begin(BATCH)
    elif state is STOPPED:
        deliveries.stop()
    return deliveries


@pytest.mark.parametrize(("before", "after"), [*product(DeliveryState, DeliveryState)], ids=lambda state: state.name)
def test_every_pair_is_legal_or_refused(before: DeliveryState, after: DeliveryState) -> None:
    """A change that the table lists happens; any other one is refused, and names both states."""
    deliveries = deliveries_in(before)
    if after in LEGAL[before]:
        deliveries.enter(after)
        assert deliveries.state is after
    else:
        with pytest.raises(AssertionError, match=rf"from {before} to {after}$"):
            deliveries.enter(after)
        assert deliveries.state is before


def test_a_delivery_is_taken_once() -> None:
    """Whoever takes the delivery in flight waits for it; nobody else does."""
    deliveries = deliveries_in(IN_FLIGHT)
    assert deliveries.take() is BATCH
    assert deliveries.take() is deliveries.in_flight is None


@pytest.mark.parametrize("before", DeliveryState, ids=lambda state: state.name)
def test_nothing_is_taken_of_a_stopped_link(before: DeliveryState) -> None:
    """A link can stop in any state, and twice: a fenced one is closed afterwards. What is in flight is left alone."""
    deliveries = deliveries_in(before)
    for _ in range(2):
        deliveries.stop()
        assert deliveries.are_stopped
        assert deliveries.take() is None
