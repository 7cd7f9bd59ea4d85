"""Decides which deployment events are valid: all, or only those signed by enough trusted keys, once each.

An event's signatures are headers of its record. They cover its bytes, the cluster and the topic: a copy of the record
elsewhere is not signed. A copy in the same topic repeats an earlier event, and is ignored.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scorer.bundle.signing import event_statement
from scorer.logs import TRUST_CHANGED, log
from scorer.settings import Settings
from scorer.store.trust import Trust
from scorer.stream.history_record import Line

SIGNATURE_HEADER = "signature"
"""A record has one for each key that has signed it."""


class Approvals:
    """Validates the records of the deployment history, which is read once from its first record on."""

    def __init__(self, settings: Settings, cluster_id: str) -> None:
        """Reads the file of trusted keys, if the settings name one.

        Raises:
            SettingsError: the file cannot be read, or is invalid.
        """
        self._topic = settings.deployments_topic
        self._cluster_id = cluster_id
        self._signatures_required = settings.deployment_signatures if settings.require_signatures else 0
        self.trust = None if settings.trusted_keys is None else Trust(Path(settings.trusted_keys))
        self._seen: dict[str, int] = {}
        """By event id, the offset of its first valid record."""

    @property
    def required_trust(self) -> Trust | None:
        """The keys of which one must have signed a bundle; None if bundles need no signature."""
        return self.trust if self._signatures_required else None

    def judge(self, line: Line, value: bytes | None, signatures: Iterable[str]) -> Line:
        """Returns the line with the names of its signers; if it is not valid, with its fault instead of its event."""
        if line.event is None or self.trust is None:
            return line
        statement = event_statement(self._cluster_id, self._topic, value or b"")
        signers = tuple(self.trust.signers("deployments", statement, signatures))
        if not self._signatures_required:
            return replace(line, signers=signers)
        if len(signers) < self._signatures_required:
            names = ", ".join(signers) or "none"
            return replace(
                line,
                event=None,
                signers=signers,
                fault=f"signature: {self._signatures_required} of the trusted keys must sign it; signed by: {names}",
            )
        first = self._seen.setdefault(line.event.event_id, line.offset)
        if first != line.offset:
            return replace(line, event=None, fault=f"event_id: duplicate of the event at offset {first}")
        return replace(line, signers=signers)

    def begin_again(self) -> bool:
        """Reloads the trusted keys file; True if it changed, so that the history must be read and validated again."""
        if self.trust is None:
            return False
        trust = self.trust.reloaded()
        if trust is self.trust:
            return False
        self.trust = trust
        self._seen.clear()
        log(TRUST_CHANGED, keys=[key.name for key in trust.keys if not key.revoked])
        return True
