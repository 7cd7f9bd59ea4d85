"""The manifest of a bundle, `bundle.json`: its format, limits and digest.

No field has a default: the digest covers the file's content, so it does not change with this code. Adding or removing a
field requires a new `manifest_version`; a manifest is written in the oldest version that has all its fields. Version 1
has no `runner_settings`; versions 1 and 2 are about the shipped contract, which they name by `contract_version` alone.
Of version 3, `reasons` and parts of `policy` are optional, and are not written if they are absent.
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

from schemas.decision import NAME_PATTERN, VERSION_PATTERN, BundleReference, Label
from schemas.fault_words import describe_faults
from schemas.printable import NO_CONTROLS
from scorer.core.catalogue import Reasons
from scorer.core.policy import LABELS, Policy
from scorer.errors import BundleError

MANIFEST_VERSIONS: Final = (1, 2, 3)
MANIFEST_FILE: Final = "bundle.json"
GOLDEN_FILE: Final = "golden.jsonl"
CARD_FILE: Final = "model-card.md"

MANIFEST_BYTES_MAX: Final = 1 << 20  # a hundred times the size of the shipped manifests
FILE_BYTES_MAX: Final = 256 << 20  # a thousand times the shipped model; files are read into memory
FILES_MAX: Final = 16  # a model, golden examples, a card, and a few documents
WORD_CHARACTERS_MAX: Final = 64
SENTENCE_CHARACTERS_MAX: Final = 1_000
LABELS_MAX: Final = 64
COLUMN_CHARACTERS_MAX: Final = 256
SAME_MODEL: Final = "same-model-as"
"""The label of a bundle with another policy: it names the bundle from which the model is."""
_COLUMNS_MAX: Final = 10_000  # as many as a contract's values of categories


def _require_utc(moment: datetime) -> datetime:
    if moment.utcoffset() != timedelta(0):
        msg = "must be in UTC"
        raise ValueError(msg)
    return moment


Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Version = Annotated[str, Field(pattern=f"^{VERSION_PATTERN}$")]
# Excludes folders, `..` and hidden files: no path in a manifest leads outside of the bundle.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Column = Annotated[str, Field(min_length=1, max_length=COLUMN_CHARACTERS_MAX, pattern=NO_CONTROLS)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARACTERS_MAX, pattern=NO_CONTROLS)]
Sentence = Annotated[str, Field(max_length=SENTENCE_CHARACTERS_MAX, pattern=NO_CONTROLS)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Utc = Annotated[AwareDatetime, AfterValidator(_require_utc)]
Setting = str | int | float | bool
RunnerSettings = Annotated[dict[Word, Sentence | int | float | bool], Field(max_length=64)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class ContractReference(_Section):
    """The bundle's contract: its file, and what identifies it."""

    file: FileName
    name: Name
    version: Version
    sha256: Sha256

    def __str__(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"


class Features(_Section):
    """How applications are encoded as the model's matrix (`scorer.core.features.FeatureEncoding`)."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=_COLUMNS_MAX)]
    missing: float | None
    """Replaces unknown numbers; null is NaN, which lets the model handle them."""
    derived: Annotated[dict[Column, Sentence], Field(max_length=_COLUMNS_MAX)] = {}
    """The expressions of derived columns, by name. Since version 3."""

    @property
    def missing_number(self) -> float:
        """The replacement of unknown numbers, as the encoding expects it."""
        return np.nan if self.missing is None else self.missing

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields and derived columns that the model reads, sorted by name."""
        return tuple(sorted({column.partition("=")[0] for column in self.columns}))


class Dataset(_Section):
    """The data file of the metrics: its digest, and how many of its rows were used."""

    sha256: Sha256
    rows: Count
    rows_labelled: Count
    rows_refused: Count


class Holdout(_Section):
    """How well the model ranks defaults above the others (area under the ROC curve), on held-out rows."""

    auc: Share
    rows: Count
    what: Sentence


class CalibrationBin(_Section):
    """Held-out rows with a prediction in one of equal intervals from 0 to 1; without rows the figures are null."""

    rows: Count
    predicted_mean: Share | None
    observed_share: Share | None


class Calibration(_Section):
    """How well predictions match outcomes; the Brier score is the mean squared difference, 0 at best."""

    brier: Share
    bins: Annotated[tuple[CalibrationBin, ...], Field(min_length=1, max_length=100)]
    what: Sentence

    def label(self, index: int) -> str:
        """Returns the range of predictions of the bin with this index."""
        return f"{index / len(self.bins):.1f} to {(index + 1) / len(self.bins):.1f}"


class Outcomes(_Section):
    """Number of rows by outcome of the loan."""

    ok: Count
    default: Count


class Decisions(_Section):
    """The policy's decisions on the held-out rows, by outcome of the loan."""

    by_decision: dict[Label, Outcomes]
    what: Sentence


class Metrics(_Section):
    """The metrics; `what` describes each one."""

    dataset: Dataset
    holdout: Holdout
    calibration: Calibration
    decisions: Decisions


class Training(_Section):
    """The training settings that reproduce the model's bytes."""

    parameters: Annotated[dict[Word, Sentence | int | float], Field(max_length=64)]
    rounds: Count
    dropped_fields: Annotated[tuple[Column, ...], Field(max_length=_COLUMNS_MAX)]


class Manifest(_Section):
    """A bundle's manifest; immutable, like the bundle."""

    manifest_version: Literal[1, 2, 3]
    name: Name
    version: Version
    created: Utc
    contract_version: Version | None = None
    """Version of the shipped contract; up to version 2."""
    contract: ContractReference | None = None
    """The contract in the bundle; since version 3."""
    runner: Word
    runner_settings: RunnerSettings = {}
    """Settings that the runner needs in addition to the model; each runner defines its own. Since version 2."""
    model: FileName
    features: Features
    policy: Policy
    reasons: Reasons | None = None
    """How decisions are explained; left out if they are not. Since version 3."""
    metrics: Metrics | None
    """Null if the model was not measured."""
    training: Training | None
    """Null if the model was not trained by `scorer train`."""
    libraries: Annotated[dict[Word, Word], Field(max_length=64)]
    platform: Word
    """The CPU architecture on which the golden examples are reproduced bit for bit."""
    labels: Annotated[dict[Word, Sentence], Field(max_length=LABELS_MAX)]
    files: Annotated[dict[FileName, Sha256], Field(max_length=FILES_MAX)]
    """The sha256 of each file except the manifest."""

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        for name, first, last in (("runner_settings", 2, 3), ("contract_version", 1, 2), ("contract", 3, 3)):
            if (getattr(self, name) is not None and name in self.model_fields_set) != (
                first <= self.manifest_version <= last
            ):
                span = f"version {first}" if first == last else f"versions {first} to {last}"
                msg = f"{name} is required in manifests of {span}, and not allowed in others"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_new_parts(self) -> Self:
        if ("derived" in self.features.model_fields_set) and self.manifest_version < 3:
            msg = "features.derived is not allowed in manifests before version 3"
            raise ValueError(msg)
        if self.policy.has_conditions and self.manifest_version < 3:
            names = "policy.segments, policy.rules and policy.second_review_when"
            msg = f"{names} are not allowed in manifests before version 3"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_reasons(self) -> Self:
        if "reasons" not in self.model_fields_set:
            return self
        if self.reasons is None:
            msg = "reasons is null: leave it out instead"
            raise ValueError(msg)
        if self.manifest_version < 3:
            msg = "reasons is not allowed in manifests before version 3"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        self.policy.check_reasons(self.reasons.codes if self.reasons else ())
        return self

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        needed = (self.model, GOLDEN_FILE, *([self.contract.file] if self.contract else []))
        missing = [name for name in needed if name not in self.files]
        if missing:
            msg = f"files must name {' and '.join(missing)}"
            raise ValueError(msg)
        if MANIFEST_FILE in self.files:
            msg = f"files must not name {MANIFEST_FILE}: it cannot hold its own digest"
            raise ValueError(msg)
        if self.contract and self.files[self.contract.file] != self.contract.sha256:
            msg = f"contract.sha256 differs from the sha256 of {self.contract.file} in files"
            raise ValueError(msg)
        if self.metrics and set(self.metrics.decisions.by_decision) != set(LABELS):
            msg = f"metrics.decisions must count each of {', '.join(LABELS)}"
            raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _write(self, write_all: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write_all(self)
        absent = {1: ("runner_settings", "contract"), 2: ("contract",)}.get(
            self.manifest_version, ("contract_version",)
        )
        for name in absent:
            del content[name]
        if self.manifest_version < 3:
            del content["features"]["derived"]
        if self.reasons is None:
            del content["reasons"]
        return content

    @property
    def canonical(self) -> bytes:
        """The canonical form of the manifest, which is digested: JSON in UTF-8, keys sorted, no white space."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """The hexadecimal sha256 of the canonical form: the bundle's digest, as it covers all files' digests."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def reference(self) -> BundleReference:
        """The reference by which decisions name the bundle."""
        return BundleReference(name=self.name, version=self.version, digest=self.digest)


class _Versioned(BaseModel):
    manifest_version: int


def parse_manifest(raw: bytes) -> Manifest:
    """Reads the content of a `bundle.json`.

    Raises:
        BundleError: it is not a valid manifest, or this release does not support its version; the message lists up to
            five faults.
    """
    try:
        version = _Versioned.model_validate_json(raw).manifest_version
        if version in MANIFEST_VERSIONS:
            return Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(f"{MANIFEST_FILE} is not a valid manifest: {describe_faults(error)}") from None
    *others, last = MANIFEST_VERSIONS
    supported = f"{', '.join(map(str, others))} and {last}"
    raise BundleError(
        f"{MANIFEST_FILE} has manifest_version {version}, but this release supports {supported}: was the bundle built "
        "by another release? Install that one, or train the bundle again with this one"
    )
