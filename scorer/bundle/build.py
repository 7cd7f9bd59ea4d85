"""A model with its encoding, policy and figures, to a bundle's folder with golden examples and a model card."""

import hashlib
import platform
import textwrap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.application import CONTRACT_VERSION
from scorer.bundle.golden import write_golden
from scorer.bundle.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MANIFEST_VERSION,
    Calibration,
    Decisions,
    Features,
    Manifest,
    Metrics,
    Training,
)
from scorer.bundle.runners import open_model
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy

_MODEL_FILES: Final = {"xgboost": "model.ubj"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a bundle is made of."""

    name: str
    version: str
    created: datetime
    """In UTC."""
    runner: str
    model: bytes
    features: Features
    policy: Policy
    metrics: Metrics
    training: Training
    libraries: dict[str, str]
    """By name, the version that the model was made with."""
    labels: dict[str, str]


def build_bundle(draft: Draft, folder: Path) -> Manifest:
    """Writes a bundle.

    Args:
        draft: what it is made of.
        folder: an empty folder.

    Returns:
        The bundle's manifest. The same draft gives the same bytes on the same platform, and so the same digest.

    Raises:
        BundleError: the runner cannot open the model, or not with these columns.
        ModelError: the model fails on the golden examples.
        ValueError: something breaks the manifest's limits.
    """
    model_file = _MODEL_FILES[draft.runner]
    encoding = FeatureEncoding(draft.features.columns, draft.features.missing_number)
    model = open_model(draft.runner, model_file, draft.model, draft.features.columns)
    contents = {
        model_file: draft.model,
        GOLDEN_FILE: write_golden(encoding, model, draft.policy),
        CARD_FILE: _write_card(draft).encode(),
    }
    manifest = Manifest(
        manifest_version=MANIFEST_VERSION,
        name=draft.name,
        version=draft.version,
        created=draft.created,
        contract_version=CONTRACT_VERSION,
        runner=draft.runner,
        model=model_file,
        features=draft.features,
        policy=draft.policy,
        metrics=draft.metrics,
        training=draft.training,
        libraries=draft.libraries,
        platform=platform.machine(),
        labels=draft.labels,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _write_card(draft: Draft) -> str:
    """The model card: what whoever answers for the model's use must know. In Markdown."""
    holdout, policy = draft.metrics.holdout, draft.policy
    purpose = (
        "Gives a credit application a probability of default from 0 to 1. The policy that goes with it: above "
        f"{policy.declined_above:g} DECLINED, above {policy.maybe_above:g} MAYBE (a person looks), else APPROVED."
    )
    blocks = [
        f"# {draft.name} {draft.version}",
        purpose,
        "## Made of",
        _write_ingredients(draft),
        "## Figures",
        f"Area under the ROC curve: **{holdout.auc:.4f}** on {holdout.rows} rows. {holdout.what}",
        *_write_decisions(draft.metrics.decisions),
        *_write_calibration(draft.metrics.calibration),
        "## Limits",
        _LIMITS,
        "## Prohibited bases",
        _write_bases(draft),
    ]
    return "\n\n".join(_wrap(block) for block in blocks) + "\n"


_LIMITS: Final = """\
- The outcomes are those of loans that were granted. How those who were refused would have paid, nobody knows.
- Everything is of one file, one time, one currency: where any of them differs, train again, and measure.
- One split was measured. A difference of a hundredth between two models may be chance.
- The contract's limits are wider than the data: far from what was seen, trees repeat the nearest answer."""


def _wrap(block: str) -> str:
    """A paragraph or a list in lines that can be read in a terminal; a table stays as it is."""
    if block.startswith("|"):
        return block
    wrap = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)
    wrap.subsequent_indent = "  " if block.startswith("- ") else ""
    return "\n".join(wrap.fill(line) for line in block.splitlines())


def _write_ingredients(draft: Draft) -> str:
    dataset, training = draft.metrics.dataset, draft.training
    parameters = ", ".join(f"{name} {value}" for name, value in training.parameters.items())
    missing = "left to the model" if draft.features.missing is None else f"taken as {draft.features.missing:g}"
    libraries = ", ".join(f"{name} {version}" for name, version in draft.libraries.items())
    return f"""\
- Data: a file of {dataset.rows} rows with sha256 {dataset.sha256}; {dataset.rows_labelled} of them say what became \
of the loan and are of use, {dataset.rows_refused} are no applications by contract {CONTRACT_VERSION}.
- Recipe: {training.rounds} rounds of {draft.runner}, {parameters}. A category is one column for each of its values, \
an unknown number is {missing}. After the credit-risk service of ML Zoomcamp, module 7.
- Fields used: {", ".join(draft.features.fields)}.
- Fields left out: {", ".join(training.dropped_fields) or "none"}.
- Libraries: {libraries}.
- To be made again with: {_write_command(draft)}"""


def _write_command(draft: Draft) -> str:
    drops = "".join(f" --drop {field}" for field in draft.training.dropped_fields)
    return f"`scorer train DATA --name {draft.name} --version {draft.version}{drops}`"


def _write_decisions(decisions: Decisions) -> tuple[str, str]:
    rows = [f"| {name} | {by.ok} | {by.default} |" for name, by in decisions.by_decision.items()]
    return decisions.what, "\n".join(["| the policy says | paid | defaulted |", "| :-- | --: | --: |", *rows])


def _write_calibration(calibration: Calibration) -> tuple[str, str]:
    rows = [
        f"| {calibration.label(place)} | {found.rows} "
        f"| {_figure(found.predicted_mean)} | {_figure(found.observed_share)} |"
        for place, found in enumerate(calibration.bins)
    ]
    head = ["| predicted | rows | mean predicted | share that defaulted |", "| :-- | --: | --: | --: |"]
    return f"Brier score: **{calibration.brier:.4f}**. {calibration.what}", "\n".join([*head, *rows])


def _figure(share: float | None) -> str:
    return "" if share is None else f"{share:.3f}"


def _write_bases(draft: Draft) -> str:
    use = "**Uses `marital`**" if "marital" in draft.features.fields else "Makes no use of `marital`"
    age = "Uses `age`, which §1002.6(b)(2)(ii) allows only where older applicants are not rated lower for it. "
    return (
        f"{use}: marital status is a prohibited basis under Regulation B (12 CFR §1002.6(b)(1)). "
        f"{age if 'age' in draft.features.fields else ''}These are mechanisms, not legal advice: whether a use of this "
        "model is lawful is for whoever uses it to find out."
    )
