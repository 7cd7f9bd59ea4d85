"""The policy: maps a probability of default (PD) to a label."""

from typing import Annotated, Final, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.decision import Label

LABELS: Final[tuple[Label, ...]] = get_args(Label)
"""The labels APPROVED, MAYBE and DECLINED, from mildest to strictest; `Policy.decide` returns indexes into it."""

Threshold = Annotated[float, Field(ge=0, le=1)]


class Policy(BaseModel):
    """The thresholds; a PD equal to a threshold gets the milder label.

    PDs are compared as doubles with the exact value of the float32, so readers of decisions can repeat the comparison.
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
        """Returns the label of each PD.

        Args:
            probabilities: shape (n,), finite, 0 to 1.

        Returns:
            Shape (n,): indexes into `LABELS`.
        """
        exact = probabilities.astype(np.float64)
        return np.add(exact > self.maybe_above, exact > self.declined_above, dtype=np.intp)
