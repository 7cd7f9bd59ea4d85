"""A probability of default to a decision."""

from typing import Annotated, Final, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.decision import Outcome

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
"""APPROVED, MAYBE, DECLINED: the decision that a policy's number stands for is found at its place."""

Threshold = Annotated[float, Field(ge=0, le=1)]


class Policy(BaseModel):
    """The thresholds, compared strictly: a probability equal to one stays on the milder side.

    Compared are the float32's exact values as doubles, so that a reader of decisions who repeats it finds the same.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    maybe_above: Threshold = 0.3
    declined_above: Threshold = 0.5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.maybe_above > self.declined_above:
            msg = f"maybe_above ({self.maybe_above}) must not be greater than declined_above ({self.declined_above})"
            raise ValueError(msg)
        return self

    def decide(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """Decides for each probability.

        Args:
            probabilities: shape (n,), finite, 0 to 1.

        Returns:
            Shape (n,): places in `OUTCOMES`.
        """
        exact = probabilities.astype(np.float64)
        return np.add(exact > self.maybe_above, exact > self.declined_above, dtype=np.intp)
