"""What the manifests of bundles say about their decisions: the sentences of reasons, and the policy in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.core.policy import Thresholds
from scorer.errors import BundleError, MisuseError
from scorer.store.store import BundleStore

_BUNDLES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class BundleText:
    """What a manifest says.

    Attributes:
        policy: thresholds and rules, a line each; empty if the bundle is not available.
        sentences: the sentence of each reason by code, in English or else in the catalogue's first language; empty
            without a catalogue.
        fault: why the bundle is not available; empty if it is.
        thresholds: the general thresholds; None if the bundle is not available.
        has_conditions: whether rules or segments decide as well.
    """

    policy: tuple[str, ...] = ()
    sentences: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    thresholds: Thresholds | None = None
    has_conditions: bool = False

    def explain(self, codes: Sequence[str]) -> list[dict[str, Any]]:
        """Reasons as JSON, with their sentences; null where the sentence is not known."""
        return [{"code": code, "text": self.sentences.get(code)} for code in codes]

    def policy_as_json(self) -> dict[str, Any]:
        """The general thresholds as JSON; null if the bundle is not available, with the fault."""
        return {
            "maybe_above": self.thresholds and self.thresholds.maybe_above,
            "declined_above": self.thresholds and self.thresholds.declined_above,
            "has_conditions": self.has_conditions,
            "fault": self.fault,
        }


class BundleTexts:
    """Reads manifests from the store, each once; several threads may use it at once."""

    def __init__(self, store: str | None) -> None:
        """Opens the store on request: the console works without it."""
        self._store = store
        self._texts: dict[BundleReference, BundleText] = {}
        """Written by `of`, in any thread: a text that is read twice is the same."""

    def of(self, reference: BundleReference) -> BundleText:
        """What a bundle's manifest says. A bundle that is not available is looked up again at the next call."""
        if (known := self._texts.get(reference)) is not None:
            return known
        try:
            manifest = read_manifest(BundleStore(self._store).locate(reference).folder)
        except (BundleError, MisuseError) as error:
            return BundleText(fault=str(error))
        catalogue = manifest.reasons.catalogue if manifest.reasons else ()
        text = BundleText(
            policy=tuple(manifest.policy.lines()),
            sentences={entry.code: entry.sentence() for entry in catalogue},
            thresholds=manifest.policy,
            has_conditions=manifest.policy.has_conditions,
        )
        if len(self._texts) >= _BUNDLES_MAX:  # a forged decision can name any bundle, but only stored ones are kept
            self._texts.clear()
        self._texts[reference] = text
        return text
