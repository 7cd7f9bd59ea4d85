"""Puts an explanation together for people and scripts: sentences of the catalogue, other decisions, and the proof."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.contract import Value
from schemas.decision import REASONS_MAX, Label
from schemas.printable import printable
from schemas.review import Review
from scorer.bundle.runners import GuardedModel
from scorer.core.catalogue import Entry
from scorer.core.explanation import Explanation, explain_record
from scorer.core.policy import Thresholds
from scorer.core.records import Record
from scorer.core.score import Bundle
from scorer.core.slow_decode import Rejection
from scorer.errors import ExplanationError, MisuseError
from scorer.replay.lookup import Lookup


class Sentence(NamedTuple):
    """A reason with its sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision with everything that explains it.

    Attributes:
        application_id, decision_id: as in the decision.
        explanation: of the recomputed decision.
        sentences: the reasons with their sentences; None without a catalogue.
        lookup: the decision on the topic; None for an application from a file.
        has_thresholds: whether the model's thresholds of numbers are known, so that numbers were tried as changes.
        reviewers_reason: the reason of the review that counts; None if the decision was not reviewed.
    """

    application_id: str
    decision_id: str
    explanation: Explanation
    sentences: tuple[Sentence, ...] | None
    lookup: Lookup | None
    has_thresholds: bool
    reviewers_reason: Sentence | None = None

    @property
    def review(self) -> Review | None:
        """The review of the decision that counts."""
        return self.lookup.review if self.lookup else None

    @property
    def label_of_record(self) -> Label:
        """The label of the review if the decision was reviewed, otherwise that of the decision."""
        return self.review.label if self.review else self.explanation.label

    @property
    def reasons_of_record(self) -> tuple[Sentence, ...]:
        """At most four reasons for the label of record: that of the reviewer, then those of the bundle."""
        sentences = self.sentences or ()
        if self.reviewers_reason is not None:
            others = (one for one in sentences if one.code != self.reviewers_reason.code)
            sentences = (self.reviewers_reason, *others)
        return sentences[:REASONS_MAX]

    @property
    def is_reproduced(self) -> bool | None:
        """Whether recomputing gave the bytes of the decision on the topic; None for an application from a file."""
        return None if self.lookup is None else self.lookup.value == self.explanation.decision

    def as_json(self) -> dict[str, Any]:
        """The explanation for scripts."""
        others = () if self.lookup is None else self.lookup.others
        return {
            "decision_id": self.decision_id,
            "application_id": self.application_id,
            **self.explanation.as_json(),
            "reasons": None if self.sentences is None else [one._asdict() for one in self.sentences],
            "review": None if self.review is None else self.review.model_dump(mode="json"),
            "decision_of_record": self.label_of_record,
            "reproduced": self.is_reproduced,
            "current_decision_id": None if self.lookup is None else self.lookup.current_id,
            "other_decisions": [
                {"decision_id": one.decision_id, "decision": one.decision, "supersedes": one.supersedes or None}
                for one in others
            ],
        }

    def basis(self) -> str:
        """Says which rule or thresholds decided."""
        explanation = self.explanation
        if explanation.rule is not None:
            return f"rule {explanation.rule.id}: {explanation.rule.label} if {explanation.rule.when}"
        segment = " = ".join(explanation.segment) + ": " if explanation.segment else ""
        thresholds = Thresholds(maybe_above=explanation.maybe_above, declined_above=explanation.declined_above)
        return f"{segment}{thresholds.describe()}"

    def reviewed(self) -> str:
        """Says what the review says; or that none counts yet."""
        if self.review is None or self.reviewers_reason is None:
            return "none yet"
        day = self.review.at.date().isoformat()
        return f"{self.review.label} by {self.review.reviewer} on {day}: {self.reviewers_reason.text}"

    def change(self) -> str:
        """Says what would have had to differ."""
        change, explanation = self.explanation.change, self.explanation
        if change is not None:
            return (
                f"{printable(change.field)}: {show(change.after)} instead of {show(change.before)} would have led to "
                f"{change.label} (PD {change.probability_of_default:.4f})"
            )
        if explanation.label == "APPROVED":
            return "nothing: APPROVED is the mildest label"
        tried = "" if self.has_thresholds else " (the model's numbers were not tried: its thresholds are not known)"
        return f"none: no change of a single field, prohibited bases left out, leads to a milder label{tried}"

    def proof(self) -> str:
        """Says whether the decision was reproduced."""
        if self.lookup is None:
            return "not compared: the application is from a file"
        count = f"{len(self.lookup.value):,} bytes"
        return f"recomputing gives the same {count}" if self.is_reproduced else f"recomputing does NOT give the {count}"


def explain(
    record: Record, bundle: Bundle, entries: Sequence[Entry] | None, language: str | None, bytes_max: int
) -> Explained:
    """Explains the decision of a bundle on one record.

    Args:
        record: the application's record.
        bundle: the bundle.
        entries: its catalogue; None if it has none.
        language: of the sentences; None is English if the catalogue has it, otherwise its first language.
        bytes_max: maximum size of a value, in bytes.

    Raises:
        MisuseError: the catalogue has no sentence in this language.
        ExplanationError: the bundle rejects the record.
        BundleUnusableError, ModelError: the model fails.
    """
    model = bundle.model if isinstance(bundle.model, GuardedModel) and bundle.model.can_explain else None
    trees = model.trees() if model else None
    _require_language(entries, language)
    explanation = explain_record(record, bundle, bytes_max, model, trees)
    if isinstance(explanation, Rejection):
        at = f"{record.topic()}[{record.partition()}]@{record.offset()}"
        raise ExplanationError(
            f"{bundle.reference.short} rejects the record {at}: {explanation.code}: {explanation.reason}"
        )
    sentences = None
    if entries is not None:
        sentences = tuple(find_sentence(code, entries, language) for code in explanation.reasons)
    (application_id,) = bundle.decoder.decode_batch([record.value()], bytes_max).columns.ids
    decision_id = f"{record.topic()}:{record.partition()}:{record.offset()}@{bundle.reference.digest[:12]}"
    return Explained(application_id, decision_id, explanation, sentences, None, trees is not None)


def find_sentence(reason: str, entries: Sequence[Entry] | None, language: str | None) -> Sentence:
    """Returns a reason with its sentence; one that is not a code of the catalogue, such as a reviewer's, is a text.

    Args:
        reason: a code, or a text.
        entries: the catalogue; None if the bundle has none.
        language: of the sentence, as in `explain`.
    """
    texts = {entry.code: entry.sentence(language) for entry in entries or ()}
    return Sentence(reason, texts.get(reason, reason))


def show(value: Value | None) -> str:
    """A value for people."""
    if isinstance(value, str):
        return printable(value)
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else f"{value:.9g}"


def _require_language(entries: Sequence[Entry] | None, language: str | None) -> None:
    languages = sorted({one for entry in entries or () for one in entry.text})
    if entries is not None and language is not None and language not in languages:
        raise MisuseError(f"--language {printable(language, 40)}: the catalogue has {', '.join(languages)}")
