"""The bundles of the store for the pages: the newest ones, one bundle with its card, and how two of them differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from scorer.author.diff import compare_manifests
from scorer.author.facts import compare_facts
from scorer.bundle.facts import describe_contract, describe_manifest
from scorer.bundle.load import read_manifest
from scorer.bundle.manifest import CARD_FILE, Manifest, Metrics
from scorer.store.entry import Entry
from scorer.store.store import BundleStore

PAGE_MAX: Final = 25
"""Bundles per response; the page asks for more."""
_CARD_BYTES_MAX: Final = 262_144
_VALUE_CHARACTERS_MAX: Final = 400


class BundlePage(NamedTuple):
    """What the page of one bundle shows.

    Attributes:
        reference: `name:version`.
        digest: the full digest.
        facts: lines of text by title.
        figures: the metrics by title; empty if the model was not evaluated.
        decisions: label, loans that were paid back, and defaults, on the held-out rows.
        calibration: range of predictions, rows, mean prediction, and share of defaults, on the held-out rows.
        card: the model card, in Markdown; empty without one.
    """

    reference: str
    digest: str
    facts: Mapping[str, Sequence[str]]
    figures: Mapping[str, str]
    decisions: Sequence[tuple[str, int, int]]
    calibration: Sequence[tuple[str, int, str, str]]
    card: str


def list_bundles(store: str | None, first: int) -> dict[str, Any]:
    """A page of the bundles of a store and of the shipped ones, as JSON: the newest first, damaged ones last.

    Args:
        store: the store; None has none.
        first: the index of the first bundle.

    Raises:
        MisuseError: no installed filesystem supports the store's URL.
        BundleError: the store is unreachable.
    """
    bundles = BundleStore(store)
    entries = sorted(bundles.entries(), key=_created, reverse=True)
    tags = bundles.notes.tags()
    shown = entries[first : first + PAGE_MAX]
    return {
        "total": len(entries),
        "first": first,
        "bundles": [_row(entry, entry.tags_among(tags)) for entry in shown],
    }


def _created(entry: Entry) -> float:
    return entry.manifest.created.timestamp() if entry.manifest else 0.0


def _row(entry: Entry, tags: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"reference": entry.reference, "shipped": entry.shipped, "tags": list(tags)}
    manifest = entry.manifest
    if manifest is None:
        return row | {"fault": entry.fault}
    return row | {
        "fault": "",
        "digest": manifest.digest,
        "created": f"{manifest.created:%Y-%m-%dT%H:%M:%SZ}",
        "auc": manifest.metrics.holdout.auc if manifest.metrics else None,
        "maybe_above": manifest.policy.maybe_above,
        "declined_above": manifest.policy.declined_above,
        "has_conditions": manifest.policy.has_conditions,
        "runner": manifest.runner,
        "contract": describe_contract(manifest),
    }


def show_bundle(store: str | None, reference: str) -> BundlePage:
    """One bundle, from its manifest and its card; nothing is verified.

    Args:
        store: the store; None has none.
        reference: as for `BundleStore.entry`.

    Raises:
        MisuseError: no installed filesystem supports the store's URL.
        BundleNotFoundError: it is not found.
        BundleError: it is damaged, or the store is unreachable.
    """
    folder = BundleStore(store).locate(reference).folder
    manifest = read_manifest(folder)
    facts = {title: [text] if isinstance(text, str) else text for title, text in describe_manifest(manifest).items()}
    card = folder / CARD_FILE
    text = card.read_bytes()[:_CARD_BYTES_MAX].decode(errors="replace") if card.is_file() else ""
    metrics = manifest.metrics
    by_decision = metrics.decisions.by_decision if metrics else {}
    return BundlePage(
        reference=f"{manifest.name}:{manifest.version}",
        digest=manifest.digest,
        facts=facts,
        figures=_figures(metrics) if metrics else {},
        decisions=[(label, outcomes.ok, outcomes.default) for label, outcomes in by_decision.items()],
        calibration=_calibration(metrics) if metrics else [],
        card=text,
    )


def _figures(metrics: Metrics) -> dict[str, str]:
    return {
        "AUC": f"{metrics.holdout.auc:.4f}",
        "Brier score": f"{metrics.calibration.brier:.4f}",
        "Held-out rows": f"{metrics.holdout.rows:,} of {metrics.dataset.rows_labelled:,}",
    }


def _calibration(metrics: Metrics) -> list[tuple[str, int, str, str]]:
    calibration = metrics.calibration
    return [
        (calibration.label(index), interval.rows, _share(interval.predicted_mean), _share(interval.observed_share))
        for index, interval in enumerate(calibration.bins)
    ]


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def diff_bundles(store: str | None, before: str, after: str) -> dict[str, Any]:
    """Two bundles in words, as `scorer bundle diff` has them, and the entries in which their manifests differ, as JSON.

    Of a fact, each bundle has lines of text; a value of an entry that one of them lacks is null.

    Raises:
        MisuseError: no installed filesystem supports the store's URL.
        BundleNotFoundError: one of them is not found.
        BundleError: one of them is damaged, or the store is unreachable.
    """
    bundles = BundleStore(store)
    manifests = _read(bundles, before), _read(bundles, after)
    return {
        "before": manifests[0].reference.short,
        "after": manifests[1].reference.short,
        "facts": [{**fact._asdict(), "differs": fact.differs} for fact in compare_facts(*manifests)],
        "changes": [
            {"where": change.where, "before": _text(change.before), "after": _text(change.after)}
            for change in compare_manifests(*manifests)
        ],
    }


def _read(bundles: BundleStore, reference: str) -> Manifest:
    return read_manifest(bundles.locate(reference).folder)


def _text(value: object) -> str | None:
    """A value of a manifest as text; a column has no value and is either included or not."""
    if value is None:
        return None
    if value is True:
        return "included"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[: _VALUE_CHARACTERS_MAX - 1]}…"
