"""Which events of the history count: all, or those alone that enough trusted keys have signed, once each.

An event's signatures are headers of its record. They cover its bytes, the cluster and the topic: the same record
published elsewhere is not signed. Published again in the same topic it repeats an event that was there, and counts for
nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scorer.bundle.signing import event_statement
from scorer.bundle.trust import Trust
from scorer.logs import TRUST_CHANGED, log
from scorer.settings import Settings
from scorer.stream.line import Line

SIGNATURE_HEADER = "signature"
"""There is one for each key that has signed."""


class Approvals:
    """Judges the lines of one reading of the history, from its first line on."""

    def __init__(self, settings: Settings, cluster_id: str) -> None:
        """Reads the file of trusted keys, if the settings name one.

        Raises:
            SettingsError: it cannot be read, or is wrong.
        """
        self._topic = settings.deployments_topic
        self._cluster_id = cluster_id
        self._needed = settings.deployment_signatures if settings.require_signatures else 0
        self.trust = None if settings.trusted_keys is None else Trust(Path(settings.trusted_keys))
        self._seen: dict[str, int] = {}
        """By event id, the offset of the line that counts."""

    @property
    def required_trust(self) -> Trust | None:
        """The keys of which one must have signed a bundle; None where bundles need no signature."""
        return self.trust if self._needed else None

    def judge(self, line: Line, value: bytes | None, signatures: Iterable[str]) -> Line:
        """The line with the names of those who signed it; if it does not count, with its fault instead of its event."""
        if line.event is None or self.trust is None:
            return line
        statement = event_statement(self._cluster_id, self._topic, value or b"")
        signers = tuple(self.trust.signers("deployments", statement, signatures))
        if not self._needed:
            return replace(line, signers=signers)
        if len(signers) < self._needed:
            have = f"{', '.join(signers)} alone" if signers else "none"
            return replace(
                line,
                event=None,
                signers=signers,
                fault=f"signature: {self._needed} of the trusted keys must have signed it, and {have} has",
            )
        first = self._seen.setdefault(line.event.event_id, line.offset)
        if first != line.offset:
            return replace(line, event=None, fault=f"event_id: it repeats the event at offset {first}")
        return replace(line, signers=signers)

    def begin_again(self) -> bool:
        """Whether the file of trusted keys has changed, so that the history is to be read and judged again."""
        if self.trust is None:
            return False
        trust = self.trust.renewed()
        if trust is self.trust:
            return False
        self.trust = trust
        self._seen.clear()
        log(TRUST_CHANGED, keys=[key.name for key in trust.keys if not key.revoked])
        return True
