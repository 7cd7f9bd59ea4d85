"""Examples: a decision, a deployment, a review, and valid and invalid applications of the shipped contract."""

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

from schemas.contract_examples import invalid_records, valid_applications
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.deployment import DeploymentEvent
from schemas.review import Review


def _values(model: type[BaseModel]) -> dict[str, Any]:
    """The first example of every field that has examples."""
    return {name: field.examples[0] for name, field in model.model_fields.items() if field.examples}


BUNDLE: Final = BundleReference(**_values(BundleReference))
DECISION: Final = Decision(**_values(Decision), bundle=BUNDLE, source=RecordReference(**_values(RecordReference)))
DEPLOYMENT: Final = DeploymentEvent(
    event_id="2026-01-31T09:30:00Z-7f3a",
    slot="champion",
    action="deploy",
    bundle=BUNDLE,
    previous=None,
    actor="ana@lender.example",
    reason="first deployment",
    at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
)
REVIEW: Final = Review(**_values(Review), at=datetime(2026, 1, 31, 11, 0, tzinfo=UTC))

APPLICATIONS: Final = valid_applications(shipped_contract())
"""Valid applications of the shipped contract, by the name of their file."""

INVALID: Final = invalid_records(shipped_contract())
"""Records that are invalid by the shipped contract, one per code, in the order in which the codes are checked."""
