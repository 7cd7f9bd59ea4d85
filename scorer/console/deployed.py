"""The contract of the newest deployment, by which the pages describe and publish applications."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from scorer.stream.history_record import Line


class Deployed(NamedTuple):
    """The champion of the deployment history, and its contract.

    Attributes:
        contract: what an application is now.
        bundle: the champion; None before the first deployment, when workers use the default bundle.
    """

    contract: Contract
    bundle: BundleReference | None

    def as_json(self) -> dict[str, Any]:
        """The champion, and the contract's identity, by which an open page notices another one, as JSON."""
        bundle = None if self.bundle is None else str(self.bundle)
        return {"contract": str(self.contract), "sha256": self.contract.sha256, "bundle": bundle}


def not_deployed() -> Deployed:
    """Returns what counts before the first deployment: the default bundle's contract."""
    return Deployed(shipped_contract(), None)


def newest(lines: Iterable[Line], before: Deployed) -> Deployed:
    """Returns the champion and its contract after some events.

    An event without a contract is of an earlier release, whose bundles all have the shipped contract.

    Args:
        lines: new records of the history, in its order.
        before: what counted before them.
    """
    events = [line.event for line in lines if line.event is not None and line.event.slot == "champion"]
    if not events:
        return before
    return Deployed(events[-1].parse_contract() or shipped_contract(), events[-1].bundle)
