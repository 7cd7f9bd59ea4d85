"""Sets two bundles side by side in words: contract, model, fields, policy, reasons and figures."""

from collections.abc import Collection
from typing import Final, NamedTuple

from scorer.bundle.facts import describe_contract
from scorer.bundle.manifest import Manifest

_NAMES_SHOWN_MAX: Final = 10
_NONE: Final = ("none",)


class Fact(NamedTuple):
    """A fact about two bundles, each as lines of text."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether it is another for the second bundle."""
        return self.before != self.after


def compare_facts(before: Manifest, after: Manifest) -> list[Fact]:
    """Returns the facts in which a reviewer compares two bundles, in a fixed order; equal ones are included."""
    old, new = _describe(before, after), _describe(after, before)
    return [Fact(name, old.get(name, _NONE), new.get(name, _NONE)) for name in old | new]


def _describe(manifest: Manifest, other: Manifest) -> dict[str, tuple[str, ...]]:
    features, training = manifest.features, manifest.training
    facts = {
        "created": f"{manifest.created:%Y-%m-%d}",
        "contract": describe_contract(manifest),
        "model": manifest.runner + (f", {training.rounds} rounds" if training else ""),
        "fields": _count(features.fields, other.features.fields),
        "columns": f"{len(features.columns):,}",
        "unknown numbers": "left to the model" if features.missing is None else f"replaced by {features.missing:g}",
        "reasons": _count(*(m.reasons.codes if m.reasons else () for m in (manifest, other))),
    }
    lines = {name: (text,) for name, text in facts.items()} | {"policy": tuple(manifest.policy.lines())}
    return lines | _figures(manifest)


def _figures(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    metrics = manifest.metrics
    if metrics is None:
        return {}
    held_out = metrics.holdout.rows
    figures = {
        "data": f"{metrics.dataset.rows:,} rows, sha256 {metrics.dataset.sha256[:12]}…",
        "held-out rows": f"{held_out:,}",
        "AUC": f"{metrics.holdout.auc:.4f}",
        "Brier score": f"{metrics.calibration.brier:.4f}",
    }
    for label, outcomes in metrics.decisions.by_decision.items():
        rows = outcomes.ok + outcomes.default
        defaulted = f", of which {outcomes.default / rows:.1%} defaulted" if rows else ""
        figures[f"held out: {label}"] = f"{rows / max(held_out, 1):.1%}{defaulted}"
    return {name: (text,) for name, text in figures.items()}


def _count(names: Collection[str], others: Collection[str]) -> str:
    """The number of names, and which of them the other bundle lacks."""
    only = sorted(set(names) - set(others))
    if not only:
        return f"{len(names):,}"
    more = f" and {len(only) - _NAMES_SHOWN_MAX} more" if len(only) > _NAMES_SHOWN_MAX else ""
    return f"{len(names):,}, only here: {', '.join(only[:_NAMES_SHOWN_MAX])}{more}"
