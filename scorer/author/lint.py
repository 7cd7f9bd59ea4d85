"""Reviews a bundle before deployment: a list of findings, each with its fix.

The prohibited bases are those of Regulation B (12 CFR part 1002), which implements the Equal Credit Opportunity Act.
A finding refers to a rule; the user of a model is responsible for verifying that its use is lawful.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.bases import find_bases
from schemas.contract import Contract
from schemas.printable import printable
from scorer.author.counterfactual import check_counterfactuals
from scorer.author.finding import SEVERITIES, Finding, Severity
from scorer.author.policy_check import find_conditions, find_thresholds
from scorer.author.reasons_check import check_reasons
from scorer.bundle.golden import EXAMPLE_BYTES_MAX
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import CARD_FILE, GOLDEN_FILE, MANIFEST_FILE, Manifest
from scorer.core.features import one_hot_columns
from scorer.core.policy import LABELS
from scorer.core.score import Bundle
from scorer.errors import BundleError, ModelError

_ELDERLY_FROM: Final = 62  # §1002.2(o)
_AGES: Final = np.arange(18, 121, dtype=np.float32)  # the contract's limits
_REPLACE_BUNDLE: Final = (
    "get the bundle again from its source, or make it again with `scorer train`; a bundle must not be edited"
)


ReadApplications = Callable[[Contract], Iterable[Sequence[bytes]]]
"""Reads batches of applications of a contract."""


def lint_bundle(
    folder: Path, read_applications: ReadApplications | None = None, opened: Bundle | None = None
) -> list[Finding]:
    """Reviews a bundle.

    Args:
        folder: the bundle's folder.
        read_applications: reads applications on which reasons are tested; None tests none.
        opened: the bundle, if it is already open.

    Returns:
        The findings, errors first. Of a bundle that cannot be opened, only the manifest is reviewed.
    """
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        return [Finding("error", "manifest", MANIFEST_FILE, str(error), _REPLACE_BUNDLE)]
    findings = [finding for rule in _RULES for finding in rule(manifest)]
    try:
        bundle = opened or load_bundle(folder)
        findings += [finding for probe in _PROBES for finding in probe(manifest, bundle)]
        if read_applications:
            findings += _test_reasons(manifest, bundle, read_applications)
    except (BundleError, ModelError) as error:
        findings.append(Finding("error", "opens", str(folder), str(error), _REPLACE_BUNDLE))
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _find_prohibited_bases(manifest: Manifest) -> Iterator[Finding]:
    for field in manifest.features.fields:
        for basis in find_bases(field):
            yield Finding(
                "error",
                "basis",
                f"features: {field}",
                f"the model uses {field}: {basis} is a prohibited basis (12 CFR 1002.2(z)), which a system that "
                "evaluates creditworthiness must not take into account (12 CFR 1002.6(b)(1))",
                f"train without it: scorer train … --drop {field}",
            )


def _find_age(manifest: Manifest) -> Iterator[Finding]:
    if "age" in manifest.features.fields:
        yield Finding(
            "warning",
            "age",
            "features: age",
            "the model uses age, which is allowed only in an empirically derived, demonstrably and statistically sound "
            "credit scoring system (12 CFR 1002.2(p): drawn from applicants of a recent period, validated, and "
            "revalidated), and only if the age of an applicant of 62 or more is not assigned a negative factor or "
            "value (12 CFR 1002.6(b)(2)(ii))",
            "keep evidence for both conditions with the model, or train without it: scorer train … --drop age",
        )


def _find_part_time(manifest: Manifest) -> Iterator[Finding]:
    if "job=partime" in manifest.features.columns:
        yield Finding(
            "note",
            "income",
            "features: job",
            "the model distinguishes part-time work: income must not be discounted because it is from part-time "
            "employment, but its amount and probable continuance may be considered (12 CFR 1002.6(b)(5))",
            "be prepared to show that the model does not discount part-time income as such",
        )


def _find_thresholds(manifest: Manifest) -> Iterator[Finding]:
    yield from find_thresholds(manifest.policy)


def _find_figures(manifest: Manifest) -> Iterator[Finding]:
    metrics = manifest.metrics
    fix = "evaluate it on applications with a known outcome that it was not trained on"
    if metrics is None:
        yield Finding("warning", "figures", "metrics", "no metrics: the model's quality is unknown", fix)
        return
    if metrics.holdout.rows == 0:
        yield Finding("warning", "figures", "metrics.holdout", "the AUC was measured on 0 rows", fix)
    elif metrics.holdout.auc <= 0.5:
        what = f"an AUC of {metrics.holdout.auc:.4f} is no better than chance"
        yield Finding("warning", "figures", "metrics.holdout", what, "check the training data and the labels")
    if not any(bin_.rows for bin_ in metrics.calibration.bins):
        yield Finding("warning", "figures", "metrics.calibration", "the calibration was measured on 0 rows", fix)
    missing_labels = [name for name, rows in metrics.decisions.by_decision.items() if rows.ok + rows.default == 0]
    if missing_labels:
        what = f"on the held-out rows the policy never decides {' or '.join(missing_labels)}"
        yield Finding("warning", "figures", "metrics.decisions", what, "adjust the thresholds, or document the reason")


def _find_libraries(manifest: Manifest) -> Iterator[Finding]:
    """Finds differences between installed versions and those that the bundle was made with.

    The golden examples show whether a difference matters, as far as they cover it.
    """
    for name, made_with in manifest.libraries.items():
        installed = platform.python_version() if name == "python" else _installed_version(name)
        if installed not in (None, made_with):
            severity: Severity = "warning" if name.startswith(manifest.runner) else "note"
            what = f"made with {name} {made_with}, but {installed} is installed"
            yield Finding(
                severity, "libraries", f"libraries.{name}", what, f"install {name} {made_with}, or train again"
            )
    if manifest.platform != platform.machine():
        what = (
            f"made on {manifest.platform}, but this machine is {platform.machine()}: probabilities may differ by 1e-6"
        )
        yield Finding("note", "libraries", "platform", what, "run workers on the architecture that it was made on")


def _installed_version(name: str) -> str | None:
    """Returns the installed version; None if the library is not installed, because only training needs it."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _find_card(manifest: Manifest) -> Iterator[Finding]:
    if CARD_FILE not in manifest.files:
        what = "no model card: the model's purpose and limitations are not documented"
        yield Finding("warning", "card", CARD_FILE, what, _REPLACE_BUNDLE)


_RULES: Final[tuple[Callable[[Manifest], Iterator[Finding]], ...]] = (
    _find_prohibited_bases,
    _find_age,
    _find_part_time,
    _find_thresholds,
    _find_figures,
    _find_libraries,
    _find_card,
)


def _probe_marked_bases(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    """Finds fields that the contract marks as a prohibited basis, unless their names say so already."""
    named = {finding.where for finding in _find_prohibited_bases(manifest)}
    fields = bundle.encoding.contract.inputs
    for name in bundle.encoding.fields:
        basis = fields[name].prohibited
        if basis not in {"", "age"} and f"features: {name}" not in named:
            yield Finding(
                "error",
                "basis",
                f"features: {name}",
                f"the model uses {name}, which the contract marks as a prohibited basis: {printable(basis)} (12 CFR "
                "1002.6(b)(1))",
                f"train without it: scorer train … --drop {name}",
            )


def _probe_columns(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    """Finds categories that the contract allows but the model lacks: they are scored as if the field were missing.

    A column of indexes has all of them.
    """
    columns = manifest.features.columns
    for name in bundle.encoding.fields:
        if name in bundle.encoding.categories:
            continue
        field = bundle.encoding.contract.inputs[name]
        unknown = [column for column in one_hot_columns(field) if column not in columns]
        if unknown:
            yield Finding(
                "warning",
                "columns",
                f"features: {name}",
                f"no column for {', '.join(unknown)}: such an application is scored as if it had no {name}",
                "train on data that has every category, or make sure that no such application is sent",
            )


def _probe_policy(_: Manifest, bundle: Bundle) -> Iterator[Finding]:
    yield from find_conditions(bundle.policy, bundle.encoding.contract)


def _probe_reasons(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    if manifest.reasons and bundle.explainer:
        yield from check_reasons(manifest.reasons, manifest.policy, bundle.encoding, bundle.explainer.is_used)


def _test_reasons(manifest: Manifest, bundle: Bundle, read_applications: ReadApplications) -> Iterator[Finding]:
    if manifest.reasons and bundle.explainer:
        batches = read_applications(bundle.encoding.contract)
        yield from check_counterfactuals(manifest.reasons, bundle.explainer, bundle, batches)
    else:
        what = "the bundle has no catalogue of reasons: none was tested on applications"
        yield Finding("note", "reasons", "reasons", what, "build it with a catalogue, if decisions need reasons")


def _probe_golden(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    columns = bundle.decoder.decode_batch(bundle.golden_values, EXAMPLE_BYTES_MAX).columns
    decided = set(bundle.policy.decide(bundle.golden_probabilities, columns.values).labels.tolist())
    missing_labels = [name for index, name in enumerate(LABELS) if index not in decided]
    if missing_labels:
        what = f"none of the {len(bundle.golden_matrix)} golden examples is {' or '.join(missing_labels)}"
        fix = "no action is needed if the policy is intended; the examples would not reveal a mistake in it"
        yield Finding("note", "golden", f"{manifest.name}: {GOLDEN_FILE}", what, fix)


def _probe_effects(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    for field in manifest.features.fields:
        varied = _vary(bundle, field)
        if not any((bundle.model.predict(matrix) != bundle.golden_probabilities).any() for matrix in varied):
            yield Finding(
                "note",
                "effect",
                f"features: {field}",
                f"{field} has no effect: no value of it changes the probability of any golden example",
                f"collect less data: train without it (scorer train … --drop {field})",
            )


def _vary(bundle: Bundle, field: str) -> Iterator[NDArray[np.float32]]:
    """Yields the golden examples' matrix with one field set in all rows to each of its values in the examples."""
    positions = [
        position for position, column in enumerate(bundle.encoding.columns) if column.partition("=")[0] == field
    ]
    for values in np.unique(bundle.golden_matrix[:, positions], axis=0):
        matrix = bundle.golden_matrix.copy()
        matrix[:, positions] = values
        yield matrix


def _probe_elderly(_: Manifest, bundle: Bundle) -> Iterator[Finding]:
    """Compares ages from 62 on with the most favorable younger age of each golden example, as in §1002.2(v)."""
    fields = bundle.encoding.contract.inputs
    for name in bundle.encoding.fields:
        if name not in bundle.encoding.columns or name in bundle.encoding.categories:
            continue
        if name == "age" or fields[name].prohibited == "age":
            yield from _probe_age(bundle, name)


def _probe_age(bundle: Bundle, name: str) -> Iterator[Finding]:
    column = bundle.encoding.columns.index(name)
    by_age = []
    for age in _AGES:
        matrix = bundle.golden_matrix.copy()
        matrix[:, column] = age
        by_age.append(bundle.model.predict(matrix))
    younger, elderly = np.split(np.stack(by_age), [np.searchsorted(_AGES, _ELDERLY_FROM)])
    increase = elderly.max(axis=0).astype(np.float64) - younger.min(axis=0)
    count = np.count_nonzero(increase > 0)
    if count:
        yield Finding(
            "warning",
            "elderly",
            f"features: {name}",
            f"in {count} of {len(increase)} golden examples an age of {_ELDERLY_FROM} or more has a higher probability "
            f"of default than the most favorable younger age, by up to {increase.max():.3f}, all else being equal; 12 "
            "CFR 1002.2(v) calls this a negative value",
            f"train without it (scorer train … --drop {name}), or with a model that cannot rate older applicants lower",
        )


_PROBES: Final[tuple[Callable[[Manifest, Bundle], Iterator[Finding]], ...]] = (
    _probe_marked_bases,
    _probe_columns,
    _probe_policy,
    _probe_reasons,
    _probe_golden,
    _probe_effects,
    _probe_elderly,
)
