"""The policy as a bundle has it: thresholds of the probability of default (PD), in general and by segment, and rules.

`scorer.core.decide` applies it.
"""

from collections import Counter
from collections.abc import Collection
from typing import Annotated, Any, Final, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.decision import Code, Label
from schemas.printable import NO_CONTROLS, printable
from scorer.core.catalogue import FieldName

LABELS: Final[tuple[Label, ...]] = get_args(Label)
"""The labels APPROVED, MAYBE and DECLINED, from mildest to strictest; decisions are made as indexes into it."""

RULES_MAX: Final = 200  # each one is evaluated on every batch, and a person reads them
ID_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,63}$"
_CONDITION_CHARACTERS_MAX: Final = 1_000
_VALUE_CHARACTERS_MAX: Final = 256
_VALUES_MAX: Final = 10_000  # as many as a contract's values of categories

Threshold = Annotated[float, Field(ge=0, le=1)]
_Value = Annotated[str, Field(max_length=_VALUE_CHARACTERS_MAX, pattern=NO_CONTROLS)]
_Condition = Annotated[str, Field(min_length=1, max_length=_CONDITION_CHARACTERS_MAX, pattern=NO_CONTROLS)]


_OPTIONAL: Final = {"segments", "rules", "second_review_when"}


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Thresholds(_Section):
    """Two thresholds; a PD equal to a threshold gets the milder label.

    PDs are compared as doubles with the exact value of the float32, so readers of decisions can repeat the comparison.
    """

    maybe_above: Threshold
    declined_above: Threshold

    def describe(self) -> str:
        """The thresholds in words."""
        return f"above {self.declined_above:g} DECLINED, above {self.maybe_above:g} MAYBE, otherwise APPROVED"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.maybe_above > self.declined_above:
            msg = f"maybe_above ({self.maybe_above}) must not be greater than declined_above ({self.declined_above})"
            raise ValueError(msg)
        return self


class Segments(_Section):
    """Thresholds by value of one category. Other values, and unknown, have the policy's general thresholds."""

    field: FieldName
    values: Annotated[dict[_Value, Thresholds], Field(min_length=1, max_length=_VALUES_MAX)]


class Rule(_Section):
    """A rule: if its condition holds, its label replaces the model's."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    when: _Condition
    """A condition (`scorer.core.expressions`)."""
    label: Label
    reason: Code | None = None
    """A code of the bundle's catalogue of reasons."""


class Policy(Thresholds):
    """The general thresholds, and optionally segments and rules; of the rules, the first one that holds decides.

    It can also say which MAYBE decisions need a second reviewer, which has no effect on labels.
    """

    maybe_above: Threshold = 0.3
    declined_above: Threshold = 0.5
    segments: Segments | None = None
    rules: Annotated[tuple[Rule, ...], Field(strict=False, min_length=1, max_length=RULES_MAX)] = ()
    second_review_when: _Condition | None = None
    """A MAYBE decision on an application for which it holds needs two reviewers who agree."""

    @model_validator(mode="after")
    def _unique_ids(self) -> Self:
        repeated = [rule_id for rule_id, count in Counter(rule.id for rule in self.rules).items() if count > 1]
        if repeated:
            msg = f"rules: more than one has the id {printable(repeated[0])}"
            raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _write(self, write_all: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a policy does not have is left out, so that the digests of older bundles stay what they are.
        content: dict[str, Any] = write_all(self)
        return {name: value for name, value in content.items() if name not in _OPTIONAL or value}

    @property
    def has_conditions(self) -> bool:
        """Whether it depends on more than the PD, and so on the contract."""
        return bool(self.segments or self.rules or self.second_review_when)

    def check_reasons(self, codes: Collection[str]) -> None:
        """Checks that each rule has a reason if it needs one.

        Args:
            codes: those of the bundle's catalogue of reasons; none if it has no catalogue.

        Raises:
            ValueError: a rule's reason is not in the catalogue; or there is a catalogue, and a rule whose label is not
                APPROVED has no reason.
        """
        for rule in self.rules:
            if rule.reason is not None and rule.reason not in codes:
                problem = f"{rule.reason} is not in the catalogue" if codes else "the bundle has no catalogue"
                msg = f"rule {rule.id}: {problem} of reasons"
                raise ValueError(msg)
            if rule.reason is None and rule.label != LABELS[0] and codes:
                msg = f"rule {rule.id}: a rule that gives {rule.label} needs a reason of the bundle's catalogue"
                raise ValueError(msg)

    def lines(self) -> list[str]:
        """The policy in words, in the order in which it decides; last, when a second reviewer is needed."""
        return [*self.exceptions(), self.describe(), *self.second_review()]

    def exceptions(self) -> list[str]:
        """What comes before the general thresholds, in words: rules, then segments."""
        rules = [f"rule {rule.id}: {rule.label} if {rule.when}" for rule in self.rules]
        segments = [
            f"{segments.field} = {value}: {thresholds.describe()}"
            for segments in ([self.segments] if self.segments else [])
            for value, thresholds in segments.values.items()
        ]
        return [*rules, *segments]

    def second_review(self) -> list[str]:
        """When a second reviewer is needed, in words; empty if never."""
        return [f"MAYBE needs two reviewers who agree if {self.second_review_when}"] if self.second_review_when else []

    def has_labels_of(self, other: "Policy") -> bool:
        """Whether both are the same as far as labels depend on them."""
        alike = {"second_review_when": None}
        return self.model_copy(update=alike) == other.model_copy(update=alike)
