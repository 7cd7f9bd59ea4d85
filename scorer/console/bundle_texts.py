"""What the manifests of bundles say about their decisions: the sentences of reasons, and the policy in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.core.catalogue import Entry
from scorer.errors import BundleError
from scorer.store.store import BundleStore

_LANGUAGE: Final = "en"
_BUNDLES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class BundleText:
    """What a manifest says.

    Attributes:
        policy: thresholds and rules, a line each; empty if the bundle is not available.
        sentences: the sentence of each reason by code; empty without a catalogue.
        fault: why the bundle is not available; empty if it is.
    """

    policy: tuple[str, ...] = ()
    sentences: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    def explain(self, codes: Sequence[str]) -> list[dict[str, Any]]:
        """Reasons as JSON, with their sentences; null where the sentence is not known."""
        return [{"code": code, "text": self.sentences.get(code)} for code in codes]


class BundleTexts:
    """Reads manifests from the store, each once; several threads may use it at once."""

    def __init__(self, store: str | None) -> None:
        """Opens the store.

        Raises:
            MisuseError: no installed filesystem supports the store's URL.
        """
        self._store = BundleStore(store)
        self._texts: dict[BundleReference, BundleText] = {}
        """Written by `of`, in any thread: a text that is read twice is the same."""

    def of(self, reference: BundleReference) -> BundleText:
        """What a bundle's manifest says. A bundle that is not available is looked up again at the next call."""
        if (known := self._texts.get(reference)) is not None:
            return known
        try:
            manifest = read_manifest(self._store.locate(reference).folder)
        except BundleError as error:
            return BundleText(fault=str(error))
        catalogue = manifest.reasons.catalogue if manifest.reasons else ()
        text = BundleText(tuple(manifest.policy.lines()), {entry.code: _sentence(entry) for entry in catalogue})
        if len(self._texts) >= _BUNDLES_MAX:  # a forged decision can name any bundle, but only stored ones are kept
            self._texts.clear()
        self._texts[reference] = text
        return text


def _sentence(entry: Entry) -> str:
    """English if the catalogue has it, otherwise its first language."""
    return entry.text.get(_LANGUAGE) or next(iter(entry.text.values()))
