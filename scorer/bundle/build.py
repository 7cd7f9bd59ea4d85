"""A model with its encoding, policy and figures, to a bundle's folder with golden examples and a model card."""

import hashlib
import platform
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from schemas.application import CONTRACT_VERSION
from scorer.bundle.boosters import check_booster
from scorer.bundle.golden import made_up_matrix, write_golden
from scorer.bundle.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    Calibration,
    Decisions,
    Features,
    Manifest,
    Metrics,
    Setting,
    Training,
)
from scorer.bundle.onnx_runner import open_onnx
from scorer.bundle.runners import open_model
from scorer.core.features import CATEGORIES, NUMBERS, FeatureEncoding
from scorer.core.policy import Policy
from scorer.errors import ModelError


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
    metrics: Metrics | None
    """None where nobody has measured."""
    training: Training | None
    """None where it was not `scorer train` that trained the model."""
    libraries: dict[str, str]
    """By name, the version that the model was made with."""
    labels: dict[str, str]
    runner_settings: Mapping[str, Setting] = field(default_factory=dict)
    model_file: str = "model.ubj"


def build_bundle(draft: Draft, folder: Path) -> Manifest:
    """Writes a bundle.

    Args:
        draft: what it is made of.
        folder: an empty folder.

    Returns:
        The bundle's manifest. The same draft gives the same bytes on the same platform, and so the same digest.

    Raises:
        BundleError: the runner cannot open the model, or not with these columns; an XGBoost model does not give
            probabilities of default (`check_booster`); an ONNX model has two columns that are not those of two classes;
            or a row's probability depends on its batch.
        ModelError: the model fails on the golden examples, or gives something that is no probability.
        ValueError: something breaks the manifest's limits.
    """
    encoding = FeatureEncoding(draft.features.columns, draft.features.missing_number)
    if draft.runner == "xgboost":
        check_booster(draft.model, draft.features)
    model = open_model(draft.runner, draft.model_file, draft.model, draft.features.columns, draft.runner_settings)
    try:
        golden = write_golden(encoding, model, draft.policy)
    except ModelError as error:
        raise ModelError(
            "the model fails on the golden examples, which are made-up applications up to the contract's limits, "
            f"some with unknown numbers: {error}"
        ) from error
    if draft.runner == "onnx":
        opened = open_onnx(draft.model, draft.features.columns, draft.runner_settings)
        opened.require_two_classes(made_up_matrix(encoding))
    contents = {
        draft.model_file: draft.model,
        GOLDEN_FILE: golden,
        CARD_FILE: _write_card(draft).encode(),
    }
    settings: dict[str, Any] = {"runner_settings": dict(draft.runner_settings)} if draft.runner_settings else {}
    manifest = Manifest(
        manifest_version=2 if settings else 1,
        name=draft.name,
        version=draft.version,
        created=draft.created,
        contract_version=CONTRACT_VERSION,
        runner=draft.runner,
        **settings,
        model=draft.model_file,
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
    policy = draft.policy
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
        *(_write_figures(draft.metrics) if draft.metrics else [_NO_FIGURES]),
        "## Limits",
        _LIMITS if draft.training else _LIMITS_UNKNOWN,
        "## Prohibited bases",
        _write_bases(draft),
    ]
    return "\n\n".join(_wrap(block) for block in blocks) + "\n"


_NO_FIGURES: Final = "None: nobody measured this model when the bundle was made."
_LIMITS: Final = """\
- The outcomes are those of loans that were granted. How those who were refused would have paid, nobody knows.
- Everything is of one file, one time, one currency: where any of them differs, train again, and measure.
- One split was measured. A difference of a hundredth between two models may be chance.
- The contract's limits are wider than the data: far from what was seen, trees repeat the nearest answer."""
_LIMITS_UNKNOWN: Final = """\
- The model was trained elsewhere. On which applications, when and by which recipe, only whoever trained it can say.
- The contract's limits are wider than any data: what the model gives far from what it has seen, it has not learnt."""


def _wrap(block: str) -> str:
    """A paragraph or a list in lines that can be read in a terminal; a table stays as it is."""
    if block.startswith("|"):
        return block
    wrap = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)
    wrap.subsequent_indent = "  " if block.startswith("- ") else ""
    return "\n".join(wrap.fill(line) for line in block.splitlines())


def _write_ingredients(draft: Draft) -> str:
    missing = "left to the model" if draft.features.missing is None else f"taken as {draft.features.missing:g}"
    left_out = sorted({*CATEGORIES, *NUMBERS} - set(draft.features.fields))
    libraries = ", ".join(f"{name} {version}" for name, version in draft.libraries.items())
    lines = [
        *_write_origin(draft),
        f"- A category is one column for each of its values, an unknown number is {missing}.",
        f"- Fields used: {', '.join(draft.features.fields)}.",
        f"- Fields left out: {', '.join(left_out) or 'none'}.",
        f"- Libraries: {libraries}.",
        *([f"- To be made again with: {_write_command(draft, draft.training)}"] if draft.training else []),
    ]
    return "\n".join(lines)


def _write_origin(draft: Draft) -> list[str]:
    """Where the model comes from, and which rows its figures."""
    lines = []
    if draft.metrics:
        dataset = draft.metrics.dataset
        lines.append(
            f"- Data: a file of {dataset.rows} rows with sha256 {dataset.sha256}; {dataset.rows_labelled} of them say "
            f"what became of the loan and are of use, {dataset.rows_refused} are no applications by contract "
            f"{CONTRACT_VERSION}."
        )
    if draft.training:
        parameters = ", ".join(f"{name} {value}" for name, value in draft.training.parameters.items())
        lines.append(
            f"- Recipe: {draft.training.rounds} rounds of {draft.runner}, {parameters}. After the credit-risk service "
            "of ML Zoomcamp, module 7."
        )
    else:
        settings = ", ".join(f"{name} {value}" for name, value in draft.runner_settings.items())
        lines.append(f"- Model: {draft.model_file}, run by {draft.runner}{f' with {settings}' if settings else ''}.")
    return lines


def _write_figures(metrics: Metrics) -> list[str]:
    holdout = metrics.holdout
    return [
        f"Area under the ROC curve: **{holdout.auc:.4f}** on {holdout.rows} rows. {holdout.what}",
        *_write_decisions(metrics.decisions),
        *_write_calibration(metrics.calibration),
    ]


def _write_command(draft: Draft, training: Training) -> str:
    drops = "".join(f" --drop {name}" for name in training.dropped_fields)
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
