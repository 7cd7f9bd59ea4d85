"""What a bundle says of itself: `bundle.json`, its limits and its digest.

No field has a default: what is digested is what stands in the file, so that a digest does not move with this code. A
field more or less is a new `manifest_version`; a manifest is written in the oldest one that has what it says. Version 1
has no `runner_settings`.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from schemas.decision import NAME_PATTERN, VERSION_PATTERN, BundleReference, Outcome
from schemas.printable import NO_CONTROLS, printable
from scorer.core.policy import OUTCOMES, Policy
from scorer.errors import BundleError

MANIFEST_VERSIONS: Final = (1, 2)
MANIFEST_FILE: Final = "bundle.json"
GOLDEN_FILE: Final = "golden.jsonl"
CARD_FILE: Final = "model-card.md"

MANIFEST_BYTES_MAX: Final = 1 << 20  # a hundred times what the shipped ones have
FILE_BYTES_MAX: Final = 256 << 20  # a thousand times the shipped model; it is read into memory whole
FILES_MAX: Final = 16  # a model, golden examples, a card, and room for a few papers
_COLUMNS_MAX: Final = 1_000  # the contract gives 30
_FAULTS_SHOWN_MAX: Final = 5
_FIELD_CHARACTERS_MAX: Final = 100


def _require_utc(moment: datetime) -> datetime:
    if moment.utcoffset() != timedelta(0):
        msg = "must be in UTC"
        raise ValueError(msg)
    return moment


Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Version = Annotated[str, Field(pattern=f"^{VERSION_PATTERN}$")]
# Neither a folder nor `..` nor anything hidden can be written so: no path in a manifest leads out of the bundle.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_CONTROLS)]
Sentence = Annotated[str, Field(max_length=1_000, pattern=NO_CONTROLS)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Utc = Annotated[AwareDatetime, AfterValidator(_require_utc)]
Setting = str | int | float | bool
RunnerSettings = Annotated[dict[Word, Sentence | int | float | bool], Field(max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Features(_Part):
    """How applications become the model's matrix (`scorer.core.features.FeatureEncoding`)."""

    columns: Annotated[tuple[Word, ...], Field(min_length=1, max_length=_COLUMNS_MAX)]
    missing: float | None
    """What stands for an unknown number; null is NaN, which leaves it to the model."""

    @property
    def missing_number(self) -> float:
        """What stands for an unknown number, as the encoding takes it."""
        return np.nan if self.missing is None else self.missing

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have a column, by name."""
        return tuple(sorted({column.partition("=")[0] for column in self.columns}))


class Dataset(_Part):
    """The file that the figures come from: which it was and how many of its rows were of use."""

    sha256: Sha256
    rows: Count
    rows_labelled: Count
    rows_refused: Count


class Holdout(_Part):
    """How well the model puts defaults before the others (area under the ROC curve), on rows that it did not see."""

    auc: Share
    rows: Count
    what: Sentence


class CalibrationBin(_Part):
    """The held-out rows whose prediction lies in one of equal parts of 0 to 1; no rows, no figures."""

    rows: Count
    predicted_mean: Share | None
    observed_share: Share | None


class Calibration(_Part):
    """Whether what is predicted is what happens; the Brier score is the mean squared difference, 0 at best."""

    brier: Share
    bins: Annotated[tuple[CalibrationBin, ...], Field(min_length=1, max_length=100)]
    what: Sentence

    def label(self, place: int) -> str:
        """The range of predictions that the bin at this place holds."""
        return f"{place / len(self.bins):.1f} to {(place + 1) / len(self.bins):.1f}"


class Outcomes(_Part):
    """Rows by what became of the loan."""

    ok: Count
    default: Count


class Decisions(_Part):
    """What the policy would have decided on the held-out rows, against what became of them."""

    by_decision: dict[Outcome, Outcomes]
    what: Sentence


class Metrics(_Part):
    """The figures, each said for what it is."""

    dataset: Dataset
    holdout: Holdout
    calibration: Calibration
    decisions: Decisions


class Training(_Part):
    """What must be repeated to get the model's bytes again."""

    parameters: Annotated[dict[Word, Sentence | int | float], Field(max_length=64)]
    rounds: Count
    dropped_fields: Annotated[tuple[Word, ...], Field(max_length=64)]


class Manifest(_Part):
    """A bundle's manifest; immutable, like the bundle."""

    manifest_version: Literal[1, 2]
    name: Name
    version: Version
    created: Utc
    contract_version: Version
    runner: Word
    runner_settings: RunnerSettings = {}
    """What the runner must know beside the model's bytes; each runner says what it takes. Since version 2."""
    model: FileName
    features: Features
    policy: Policy
    metrics: Metrics | None
    """Null where nobody has measured."""
    training: Training | None
    """Null where the model was not trained by `scorer train`."""
    libraries: Annotated[dict[Word, Word], Field(max_length=64)]
    platform: Word
    """The machine's architecture, on which the golden examples hold bit for bit."""
    labels: Annotated[dict[Word, Sentence], Field(max_length=64)]
    files: Annotated[dict[FileName, Sha256], Field(max_length=FILES_MAX)]
    """Each file's sha256, this one's own apart."""

    @model_validator(mode="after")
    def _has_its_versions_fields(self) -> Self:
        if ("runner_settings" in self.model_fields_set) != (self.manifest_version >= 2):
            msg = "runner_settings must be there from manifest_version 2 on, and not before"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        missing = [name for name in (self.model, GOLDEN_FILE) if name not in self.files]
        if missing:
            msg = f"files must name {' and '.join(missing)}"
            raise ValueError(msg)
        if MANIFEST_FILE in self.files:
            msg = f"files must not name {MANIFEST_FILE}: it cannot hold its own digest"
            raise ValueError(msg)
        if self.metrics and set(self.metrics.decisions.by_decision) != set(OUTCOMES):
            msg = f"metrics.decisions must count each of {', '.join(OUTCOMES)}"
            raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _write(self, write_all: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write_all(self)
        if self.manifest_version == 1:
            del content["runner_settings"]
        return content

    @property
    def canonical(self) -> bytes:
        """The manifest in the one form that is digested: JSON in UTF-8, keys sorted, no white space."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """The sha256 of the canonical form in hexadecimal: the bundle's, since all its files' digests are in it."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def reference(self) -> BundleReference:
        """How decisions name the bundle."""
        return BundleReference(name=self.name, version=self.version, digest=self.digest)


class _Versioned(BaseModel):
    manifest_version: int


def parse_manifest(raw: bytes) -> Manifest:
    """Reads the content of a `bundle.json`.

    Raises:
        BundleError: it is no manifest, or one of a version that this release does not know; every limit that it breaks
            is named, up to five.
    """
    try:
        found = _Versioned.model_validate_json(raw).manifest_version
        if found in MANIFEST_VERSIONS:
            return Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(f"{MANIFEST_FILE} is no manifest: {explain(error)}") from None
    known = " and ".join(map(str, MANIFEST_VERSIONS))
    raise BundleError(
        f"{MANIFEST_FILE} has manifest_version {found} and this release reads {known}: "
        "was the bundle made by another release? Install that one, or train the bundle again with this one"
    )


def explain(error: ValidationError) -> str:
    """The rules that something breaks, each with its field, up to five; none of its values.

    A field's name may be the author's own, such as that of a label: it is made printable, and cut.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{_name_field(fault['loc'])}: {_rule(fault['msg'])}" for fault in faults[:_FAULTS_SHOWN_MAX]]
    more = len(faults) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def _name_field(path: tuple[int | str, ...]) -> str:
    return printable(".".join(map(str, path)), _FIELD_CHARACTERS_MAX) or "it"


def _rule(message: str) -> str:
    return "contains a control character or a line break" if NO_CONTROLS in message else message
