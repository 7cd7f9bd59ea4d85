"""Builds a bundle's folder from a draft: the model, the manifest, golden examples and a model card."""

import hashlib
import platform
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from schemas.contract import CONTRACT_FILE
from schemas.contracts import shipped_contract
from schemas.profile import PROFILE_FILE, Profile
from scorer.author.boosters import check_booster
from scorer.author.draft_reasons import choose_reasons
from scorer.author.model_input import ModelInput
from scorer.bundle.explainer import describe_explainer, make_explainer
from scorer.bundle.golden import golden_matrix, write_golden
from scorer.bundle.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    Calibration,
    ContractReference,
    Decisions,
    Manifest,
    Metrics,
    Setting,
    Training,
)
from scorer.bundle.onnx_runner import open_onnx
from scorer.bundle.runners import open_model
from scorer.core.catalogue import Reasons
from scorer.core.decide import Decider
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.reasons import Explainer
from scorer.core.score import Model
from scorer.errors import BundleError, ModelError


@dataclass(frozen=True, slots=True)
class Draft:
    """The content from which a bundle is built."""

    name: str
    version: str
    created: datetime
    """In UTC."""
    runner: str
    model: bytes
    inputs: ModelInput
    policy: Policy
    metrics: Metrics | None
    """None if the model was not evaluated."""
    training: Training | None
    """None unless `scorer train` trained the model."""
    libraries: dict[str, str]
    """Version of each library that the model was made with, by name."""
    labels: dict[str, str]
    runner_settings: Mapping[str, Setting] = field(default_factory=dict)
    model_file: str = "model.ubj"
    reasons: Reasons | None = None
    """How decisions are explained; None if they are not."""
    profile: Profile | None = None
    """Statistics of the applications that the model was trained on; only a bundle with its own contract has them."""
    other_files: Mapping[str, bytes] = field(default_factory=dict)
    """Content of files that this module does not write, by name."""


def build_bundle(draft: Draft, folder: Path, passed: Callable[[str], None] = lambda _: None) -> Manifest:
    """Writes a bundle to a folder.

    Args:
        draft: the bundle's content.
        folder: an empty folder.
        passed: called with a line of text on how decisions are explained.

    Returns:
        The bundle's manifest. The same draft gives the same bytes on the same platform, and so the same digest.

    Raises:
        BundleError: the runner cannot open the model, or not with these columns; an XGBoost model does not output
            probabilities of default (`check_booster`); an ONNX model has two output columns that are not the
            probabilities of two classes; a row's probability depends on its batch; or the model or the contract does
            not allow these reasons, or a rule of the policy does not fit them.
        ModelError: the model fails on the golden examples, or outputs a number that is not a probability.
        ValueError: a value exceeds the manifest's limits.
    """
    inputs = draft.inputs
    encoding = inputs.encoding
    if draft.runner == "xgboost":
        check_booster(draft.model, inputs)
    model = open_model(
        draft.runner, draft.model_file, draft.model, inputs.columns, draft.runner_settings, encoding.categories
    )
    _check_reasons_of_rules(draft)
    explainer = make_explainer(draft.reasons, encoding, model) if draft.reasons else None
    if explainer:
        passed(describe_explainer(explainer))
    golden = _write_golden(encoding, model, draft.policy, explainer)
    if draft.runner == "onnx":
        onnx_model = open_onnx(draft.model, inputs.columns, draft.runner_settings)
        onnx_model.require_two_classes(golden_matrix(encoding))
    contents = _write_files(draft, golden)
    settings, version = _write_version(draft)
    manifest = Manifest(
        manifest_version=version,
        name=draft.name,
        version=draft.version,
        created=draft.created,
        runner=draft.runner,
        **settings,
        model=draft.model_file,
        features=inputs.features,
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


def _check_reasons_of_rules(draft: Draft) -> None:
    try:
        draft.policy.check_reasons(draft.reasons.codes if draft.reasons else ())
    except ValueError as error:
        raise BundleError(f"policy: {error}") from None


def _write_files(draft: Draft, golden: bytes) -> dict[str, bytes]:
    """Returns the content of each file except the manifest, by name."""
    card = _write_card(draft).encode()
    contents = {**draft.other_files, draft.model_file: draft.model, GOLDEN_FILE: golden, CARD_FILE: card}
    if _carries_contract(draft):
        contents[CONTRACT_FILE] = draft.inputs.contract.canonical
        if draft.profile:
            contents[PROFILE_FILE] = draft.profile.dump()
    return contents


def _write_golden(encoding: FeatureEncoding, model: Model, policy: Policy, explainer: Explainer | None) -> bytes:
    try:
        return write_golden(encoding, model, Decider(policy, encoding.contract), explainer)
    except ModelError as error:
        raise ModelError(
            "the model fails on the golden examples, which are synthetic applications up to the contract's limits, "
            f"some with unknown numbers: {error}"
        ) from error


def _write_version(draft: Draft) -> tuple[dict[str, Any], Literal[1, 2, 3]]:
    """Returns the fields that not all manifests have, and the oldest manifest version that has them."""
    contract = draft.inputs.contract
    settings = {"runner_settings": dict(draft.runner_settings)}
    if not _carries_contract(draft):
        named = {"contract_version": contract.version}
        return (named | settings, 2) if draft.runner_settings else (named, 1)
    sha256 = hashlib.sha256(contract.canonical).hexdigest()
    reference = ContractReference(file=CONTRACT_FILE, name=contract.name, version=contract.version, sha256=sha256)
    reasons = {"reasons": draft.reasons} if draft.reasons else {}
    return {**settings, "contract": reference, **reasons}, 3


def _carries_contract(draft: Draft) -> bool:
    """Whether the contract is in the bundle, whose manifest then has version 3."""
    return draft.inputs.has_own_contract or draft.reasons is not None or draft.policy.has_conditions


def _write_card(draft: Draft) -> str:
    """Returns the model card in Markdown, for those who are responsible for the model's use."""
    policy = draft.policy
    purpose = (
        "Predicts the probability of default of a credit application, from 0 to 1. Policy: above "
        f"{policy.declined_above:g} DECLINED, above {policy.maybe_above:g} MAYBE (manual review), otherwise APPROVED."
    )
    blocks = [
        f"# {draft.name} {draft.version}",
        purpose,
        *_write_exceptions(draft.policy),
        "## Model details",
        _write_details(draft),
        "## Metrics",
        *(_write_metrics(draft.metrics) if draft.metrics else [_NO_METRICS]),
        "## Limitations",
        _LIMITATIONS if draft.training else _LIMITATIONS_UNKNOWN,
        "## Prohibited bases",
        _write_prohibited_bases(draft),
    ]
    return "\n\n".join(_wrap(block) for block in blocks) + "\n"


def _write_exceptions(policy: Policy) -> list[str]:
    """Returns what comes before the general thresholds, and when a second reviewer is needed."""
    exceptions = policy.exceptions()
    listed = ["Before that, the first of these that applies:", "\n".join(f"- {one}." for one in exceptions)]
    return [*(listed if exceptions else []), *(f"{one}." for one in policy.second_review())]


_NO_METRICS: Final = "None: this model was not evaluated when the bundle was built."
_PROFILE: Final = (
    f"- Profile: {PROFILE_FILE} has rounded quantiles and shares of each field in the training data, without those of "
    "fewer than ten rows; `producer load` generates similar applications from it."
)
_LIMITATIONS: Final = """\
- The outcomes are those of granted loans. It is unknown how declined applicants would have paid (reject inference).
- The data comes from one file, one period and one currency: if any of these differs, train and evaluate again.
- The metrics come from a single split. A difference of 0.01 between two models may be chance.
- The contract's limits are wider than the data: outside the range of the data, trees repeat the nearest prediction."""
_LIMITATIONS_UNKNOWN: Final = """\
- The model was trained elsewhere. Its training data, date and method are known only to those who trained it.
- The contract's limits are wider than any training data: predictions outside the range of the data are not learned."""


def _wrap(block: str) -> str:
    """Wraps a paragraph or a list for reading in a terminal; a table is returned unchanged."""
    if block.startswith("|"):
        return block
    wrap = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)
    wrap.subsequent_indent = "  " if block.startswith("- ") else ""
    return "\n".join(wrap.fill(line) for line in block.splitlines())


def _write_details(draft: Draft) -> str:
    missing = "left to the model" if draft.inputs.missing is None else f"encoded as {draft.inputs.missing:g}"
    left_out = sorted(draft.inputs.contract.inputs.keys() - set(draft.inputs.encoding.fields))
    libraries = ", ".join(f"{name} {version}" for name, version in draft.libraries.items())
    lines = [
        *_write_origin(draft),
        f"- Encoding: {_describe_categories(draft.inputs.encoding)}; an unknown number is {missing}.",
        f"- Fields used: {', '.join(draft.inputs.encoding.fields)}.",
        *[f"- Derived column: {name} = {text}." for name, text in draft.inputs.features.derived.items()],
        f"- Fields left out: {', '.join(left_out) or 'none'}.",
        *([f"- Reasons: {len(draft.reasons.catalogue)} in the catalogue ({MANIFEST_FILE})."] if draft.reasons else []),
        *([_PROFILE] if draft.profile and _carries_contract(draft) else []),
        f"- Libraries: {libraries}.",
        *([f"- Command to reproduce it: {_write_command(draft, draft.training)}"] if draft.training else []),
    ]
    return "\n".join(lines)


def _describe_categories(encoding: FeatureEncoding) -> str:
    if not encoding.categories:
        return "one column per value of a category"
    return "one column per category, with the index of its value in the contract (categorical splits)"


def _write_origin(draft: Draft) -> list[str]:
    """Returns the origin of the model and of its metrics."""
    lines = []
    if draft.metrics:
        dataset = draft.metrics.dataset
        lines.append(
            f"- Data: a file of {dataset.rows} rows with sha256 {dataset.sha256}; {dataset.rows_labelled} rows have "
            f"an outcome and were used, {dataset.rows_refused} are invalid by contract {draft.inputs.contract.version}."
        )
    if draft.training:
        parameters = ", ".join(f"{name} {value}" for name, value in draft.training.parameters.items())
        lines.append(
            f"- Training: {draft.training.rounds} rounds of {draft.runner}, {parameters}. Based on the credit-risk "
            "service of ML Zoomcamp, module 7."
        )
    else:
        settings = ", ".join(f"{name} {value}" for name, value in draft.runner_settings.items())
        lines.append(f"- Model: {draft.model_file}, runner {draft.runner}{f' with {settings}' if settings else ''}.")
    return lines


def _write_metrics(metrics: Metrics) -> list[str]:
    holdout = metrics.holdout
    return [
        f"Area under the ROC curve: **{holdout.auc:.4f}** on {holdout.rows} rows. {holdout.what}",
        *_write_decisions(metrics.decisions),
        *_write_calibration(metrics.calibration),
    ]


def _write_command(draft: Draft, training: Training) -> str:
    inputs = draft.inputs
    is_own = inputs.contract.sha256 != shipped_contract().sha256
    options = [
        *([f"--contract {CONTRACT_FILE}", "--target COLUMN=VALUE"] if is_own else []),
        *(f"--drop {name}" for name in training.dropped_fields),
        *(f"--derive '{name} = {text}'" for name, text in inputs.features.derived.items()),
        *(["--categories native"] if inputs.encoding.categories else []),
        *_write_reasons_option(draft),
    ]
    return f"`{' '.join(['scorer train DATA', f'--name {draft.name} --version {draft.version}', *options])}`"


def _write_reasons_option(draft: Draft) -> list[str]:
    """Returns the option that gives the bundle its reasons, unless they are those without an option."""
    inputs = draft.inputs
    model = open_model(draft.runner, draft.model_file, draft.model, inputs.columns, {}, inputs.encoding.categories)
    if draft.reasons == choose_reasons(None, inputs, model):
        return []
    if draft.reasons is None:
        return ["--reasons none"]
    return [f"--reasons {'draft' if draft.reasons == choose_reasons('draft', inputs, model) else 'FILE'}"]


def _write_decisions(decisions: Decisions) -> tuple[str, str]:
    rows = [f"| {name} | {counts.ok} | {counts.default} |" for name, counts in decisions.by_decision.items()]
    return decisions.what, "\n".join(["| decision | paid back | defaulted |", "| :-- | --: | --: |", *rows])


def _write_calibration(calibration: Calibration) -> tuple[str, str]:
    rows = [
        f"| {calibration.label(position)} | {bin_.rows} "
        f"| {_format_share(bin_.predicted_mean)} | {_format_share(bin_.observed_share)} |"
        for position, bin_ in enumerate(calibration.bins)
    ]
    head = ["| predicted | rows | mean prediction | share that defaulted |", "| :-- | --: | --: | --: |"]
    return f"Brier score: **{calibration.brier:.4f}**. {calibration.what}", "\n".join([*head, *rows])


def _format_share(share: float | None) -> str:
    return "" if share is None else f"{share:.3f}"


def _write_prohibited_bases(draft: Draft) -> str:
    fields = draft.inputs.contract.inputs
    used = draft.inputs.encoding.fields
    marked = [name for name, field in fields.items() if field.prohibited and field.prohibited != "age"]
    basis = "a prohibited basis under Regulation B (12 CFR §1002.6(b)(1))"
    uses = [
        f"{'**Uses' if name in used else 'Does not use'} `{name}`{'**' if name in used else ''}: "
        f"{fields[name].prohibited} is {basis}. "
        for name in marked
    ]
    ages = [
        f"Uses `{name}`, which §1002.6(b)(2)(ii) allows only if older applicants are not rated lower for it. "
        for name in used
        if fields[name].prohibited == "age"
    ]
    return (
        f"{''.join([*uses, *ages])}These are mechanisms, not legal advice: the user of this "
        "model is responsible for verifying that its use is lawful."
    )
