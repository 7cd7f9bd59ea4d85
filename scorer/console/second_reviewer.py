"""Determines whether a decision needs a second reviewer: by its bundle's policy, and the values of its application."""

from typing import Final, NamedTuple

from starlette.exceptions import HTTPException

from schemas.decision import BundleReference
from scorer.bundle.load import read_contract_of, read_manifest
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.expressions import Condition
from scorer.core.slow_decode import Rejection
from scorer.errors import BundleError, ExplanationError, MisuseError
from scorer.operate.application_records import Written, read_application
from scorer.settings import Settings
from scorer.store.store import BundleStore

_BUNDLES_MAX: Final = 100


class _SecondReview(NamedTuple):
    """When a bundle's decisions need a second reviewer, and how their applications are read."""

    condition: Condition
    decoder: Decoder


class SecondReviewers:
    """The conditions of bundles, each read once from the store; several threads may use it at once."""

    def __init__(self, settings: Settings) -> None:
        """Opens the store and connects on request."""
        self._settings = settings
        self._by_bundle: dict[BundleReference, _SecondReview | None] = {}
        """None for a policy without a condition. Written by `_read`, in any thread: what is read twice is the same."""

    def is_needed(self, written: Written) -> bool:
        """Whether a MAYBE decision needs two reviewers.

        A record that retention has deleted, or that the contract rejects, has no values to compare: it needs them.

        Raises:
            HTTPException: the bundle is not available, so it is not known.
            TopicsError, BrokerError: the application cannot be read.
        """
        second = self._read(written.decision.bundle)
        if second is None:
            return False
        try:
            value = read_application(self._settings, written.source).value()
        except ExplanationError:
            return True
        columns = second.decoder.decode(value, self._settings.record_bytes_max)
        return isinstance(columns, Rejection) or bool(second.condition.evaluate(columns.values)[0])

    def _read(self, reference: BundleReference) -> _SecondReview | None:
        if reference in self._by_bundle:
            return self._by_bundle[reference]
        try:
            folder = BundleStore(self._settings.store).locate(reference).folder
            second = None
            policy = read_manifest(folder).policy
            if policy.second_review_when is not None:
                _, contract = read_contract_of(folder)
                condition = Decider(policy, contract).second_review
                assert condition is not None, "the policy has one"
                second = _SecondReview(condition, Decoder(contract))
        except (BundleError, MisuseError, ValueError) as error:
            fault = f"whether it needs a second reviewer is not known, because its bundle is not available: {error}"
            raise HTTPException(503, f"the decision cannot be reviewed here: {fault}") from None
        if len(self._by_bundle) >= _BUNDLES_MAX:
            self._by_bundle.clear()
        self._by_bundle[reference] = second
        return second
