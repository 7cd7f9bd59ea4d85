"""What a reviewer would say of a bundle before it decides anything: findings, each with what mends it.

The prohibited bases are those of Regulation B (12 CFR part 1002), which carries out the Equal Credit Opportunity Act.
A finding points at a rule; whether a use of a model is lawful is for whoever uses it to find out.
"""

import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import CARD_FILE, GOLDEN_FILE, MANIFEST_FILE, Manifest
from scorer.core.features import CATEGORIES
from scorer.core.policy import OUTCOMES
from scorer.core.score import Bundle
from scorer.errors import BundleError, ModelError

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""An error should keep a bundle from deciding; a warning needs somebody's answer; a note is good to know."""

Rule = Literal[
    "manifest",
    "opens",
    "basis",
    "age",
    "elderly",
    "income",
    "thresholds",
    "figures",
    "libraries",
    "card",
    "columns",
    "golden",
    "effect",
]
"""The kinds of findings, for scripts."""

# Words in the name of a field that stand for a prohibited basis (§1002.2(z)). Age has rules of its own, below.
_BASES: Final = {
    "race": "race",
    "ethnicity": "race",
    "color": "color",
    "colour": "color",
    "religion": "religion",
    "nationality": "national origin",
    "origin": "national origin",
    "sex": "sex",
    "gender": "sex",
    "marital": "marital status",
    "assistance": "income from public assistance",
    "welfare": "income from public assistance",
}
_ELDERLY_FROM: Final = 62  # §1002.2(o)
_AGES: Final = np.arange(18, 121, dtype=np.float32)  # as the contract has them
_MADE_ANEW: Final = "get it again from where it came, or make it again with `scorer train`; a bundle is never edited"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a reviewer would say."""

    severity: Severity
    rule: Rule
    where: str
    """The place in the manifest, or the file."""
    what: str
    mend: str


def lint_bundle(folder: Path) -> list[Finding]:
    """Reviews a bundle.

    Args:
        folder: the bundle's folder.

    Returns:
        What there is to say, errors first. A bundle that cannot be opened is reviewed as far as its manifest goes.
    """
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        return [Finding("error", "manifest", MANIFEST_FILE, str(error), _MADE_ANEW)]
    found = [finding for rule in _RULES for finding in rule(manifest)]
    try:
        bundle = load_bundle(folder)
        found += [finding for probe in _PROBES for finding in probe(manifest, bundle)]
    except (BundleError, ModelError) as error:
        found.append(Finding("error", "opens", str(folder), str(error), _MADE_ANEW))
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _find_prohibited_bases(manifest: Manifest) -> Iterator[Finding]:
    for field in manifest.features.fields:
        for basis in sorted({_BASES[word] for word in re.split(r"[\W_]+", field.lower()) if word in _BASES}):
            yield Finding(
                "error",
                "basis",
                f"features: {field}",
                f"the model uses {field}: {basis} is a prohibited basis (12 CFR 1002.2(z)), which no system that "
                "evaluates creditworthiness may take into account (12 CFR 1002.6(b)(1))",
                f"train without it: scorer train … --drop {field}",
            )


def _find_age(manifest: Manifest) -> Iterator[Finding]:
    if "age" in manifest.features.fields:
        yield Finding(
            "warning",
            "age",
            "features: age",
            "the model uses age: that is allowed only in an empirically derived, demonstrably and statistically sound "
            "credit scoring system (12 CFR 1002.2(p): drawn from applicants of a recent period, validated, and "
            "revalidated), and only if the age of an applicant of 62 or more is not assigned a negative factor or "
            "value (12 CFR 1002.6(b)(2)(ii))",
            "keep the evidence of both with the model, or train without it: scorer train … --drop age",
        )


def _find_part_time(manifest: Manifest) -> Iterator[Finding]:
    if "job=partime" in manifest.features.columns:
        yield Finding(
            "note",
            "income",
            "features: job",
            "the model tells part-time work apart: income may not be discounted because it is from part-time "
            "employment, though its amount and how long it will probably last may be considered (12 CFR 1002.6(b)(5))",
            "be able to show that it is not the part-time income that is discounted",
        )


def _find_thresholds(manifest: Manifest) -> Iterator[Finding]:
    """Thresholds out of order are no manifest; these are in order, and leave a decision out."""
    policy = manifest.policy
    faults = {
        "maybe_above and declined_above are the same: nobody is ever MAYBE, so no person ever looks": (
            policy.maybe_above == policy.declined_above
        ),
        "maybe_above is 0: nobody is APPROVED but with a probability of exactly 0": policy.maybe_above == 0,
        "declined_above is 1: nobody is ever DECLINED, since no probability is above it": policy.declined_above == 1,
    }
    for what, holds in faults.items():
        if holds:
            yield Finding(
                "warning", "thresholds", "policy", what, "make the bundle with thresholds apart, within 0 to 1"
            )


def _find_figures(manifest: Manifest) -> Iterator[Finding]:
    metrics = manifest.metrics
    measure = "measure it on applications whose outcome is known, none of which it was trained on"
    if metrics is None:
        yield Finding("warning", "figures", "metrics", "no figures: nobody can tell how good the model is", measure)
        return
    if metrics.holdout.rows == 0:
        yield Finding("warning", "figures", "metrics.holdout", "the AUC was measured on no rows", measure)
    elif metrics.holdout.auc <= 0.5:
        what = f"an AUC of {metrics.holdout.auc:.4f} is no better than chance"
        yield Finding("warning", "figures", "metrics.holdout", what, "look for what is wrong with the training data")
    if not any(found.rows for found in metrics.calibration.bins):
        yield Finding("warning", "figures", "metrics.calibration", "the calibration was measured on no rows", measure)
    never = [name for name, rows in metrics.decisions.by_decision.items() if rows.ok + rows.default == 0]
    if never:
        what = f"on the held-out rows the policy decides {' and '.join(never)} not once"
        yield Finding("warning", "figures", "metrics.decisions", what, "move the thresholds, or say why it should")


def _find_libraries(manifest: Manifest) -> Iterator[Finding]:
    """Other versions than it was made with; the golden examples say whether it matters, for what they reach."""
    for name, made_with in manifest.libraries.items():
        here = platform.python_version() if name == "python" else _version_here(name)
        if here not in (None, made_with):
            severity: Severity = "warning" if name.startswith(manifest.runner) else "note"
            what = f"made with {name} {made_with}, and here is {here}"
            yield Finding(
                severity, "libraries", f"libraries.{name}", what, f"install {name} {made_with}, or train again"
            )
    if manifest.platform != platform.machine():
        what = f"made on {manifest.platform}, and this is {platform.machine()}: probabilities may differ by a millionth"
        yield Finding("note", "libraries", "platform", what, "decide on the architecture that it was made on")


def _version_here(name: str) -> str | None:
    """The installed version; None where only training needs the library and it is not here."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _find_card(manifest: Manifest) -> Iterator[Finding]:
    if CARD_FILE not in manifest.files:
        what = "no model card: what it is for, and its limits, stand nowhere"
        yield Finding("warning", "card", CARD_FILE, what, _MADE_ANEW)


def _find_columns(manifest: Manifest) -> Iterator[Finding]:
    """Categories that the contract lets in and the model does not know: all their columns are 0, as if left empty."""
    columns = manifest.features.columns
    for field in manifest.features.fields:
        unknown = [value for value in CATEGORIES.get(field, ()) if f"{field}={value}" not in columns]
        if unknown:
            yield Finding(
                "warning",
                "columns",
                f"features: {field}",
                f"no column for {', '.join(f'{field}={value}' for value in unknown)}: such an application is scored "
                f"as if it had no {field}",
                "train on data that has every category, or be sure that none such is sent",
            )


_RULES: Final[tuple[Callable[[Manifest], Iterator[Finding]], ...]] = (
    _find_prohibited_bases,
    _find_age,
    _find_part_time,
    _find_thresholds,
    _find_figures,
    _find_libraries,
    _find_card,
    _find_columns,
)


def _probe_golden(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    decided = set(bundle.policy.decide(bundle.golden_probabilities).tolist())
    never = [name for place, name in enumerate(OUTCOMES) if place not in decided]
    if never:
        what = f"of {len(bundle.golden_matrix)} golden examples none comes to {' or '.join(never)}"
        mend = "nothing, if the policy is meant so: a slip in it would not show in the examples"
        yield Finding("note", "golden", f"{manifest.name}: {GOLDEN_FILE}", what, mend)


def _probe_effects(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    for field in manifest.features.fields:
        varied = _vary(bundle, field)
        if not any((bundle.model.predict(matrix) != bundle.golden_probabilities).any() for matrix in varied):
            yield Finding(
                "note",
                "effect",
                f"features: {field}",
                f"{field} has no effect: whatever it is, each golden example keeps its probability",
                f"ask for less: train without it (scorer train … --drop {field})",
            )


def _vary(bundle: Bundle, field: str) -> Iterator[NDArray[np.float32]]:
    """The golden examples' matrix with one field at each value that it has in any of them, for all at once."""
    places = [place for place, column in enumerate(bundle.encoding.columns) if column.partition("=")[0] == field]
    for values in np.unique(bundle.golden_matrix[:, places], axis=0):
        matrix = bundle.golden_matrix.copy()
        matrix[:, places] = values
        yield matrix


def _probe_elderly(manifest: Manifest, bundle: Bundle) -> Iterator[Finding]:
    """Compares the ages from 62 on with the younger one that each example does best with, as §1002.2(v) does."""
    if "age" not in manifest.features.fields:
        return
    column = bundle.encoding.columns.index("age")
    by_age = []
    for age in _AGES:
        matrix = bundle.golden_matrix.copy()
        matrix[:, column] = age
        by_age.append(bundle.model.predict(matrix))
    younger, elderly = np.split(np.stack(by_age), [np.searchsorted(_AGES, _ELDERLY_FROM)])
    worse = elderly.max(axis=0).astype(np.float64) - younger.min(axis=0)
    count = np.count_nonzero(worse > 0)
    if count:
        yield Finding(
            "warning",
            "elderly",
            "features: age",
            f"in {count} of {len(worse)} golden examples an age from {_ELDERLY_FROM} on has a higher probability of "
            f"default than the younger age that is best, by up to {worse.max():.3f}, all else being equal: a negative "
            "value, as 12 CFR 1002.2(v) puts it",
            "train without it (scorer train … --drop age), or with a model that cannot rate the elderly lower",
        )


_PROBES: Final[tuple[Callable[[Manifest, Bundle], Iterator[Finding]], ...]] = (
    _probe_golden,
    _probe_effects,
    _probe_elderly,
)
