"""What a worker commits with its offsets as metadata: the bundle, the topics' ids, a refused deployment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Brokers keep at most offset.metadata.max.bytes, 4,096 by default; four topics with the longest names and ids take
# 1,200 of them, and a bundle's reference 200.
_BYTES_MAX: Final = 3_500


@dataclass(frozen=True, slots=True)
class CommittedMetadata:
    """What a committed offset says besides the offset."""

    bundle: str = ""
    """Which bundle decided, as `name:version@digest`; empty where nothing was decided yet."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """By name, the id (KIP-516) of each topic that the worker knew; a topic that was created again has another id."""
    refused: str = ""
    """Why the deployed bundle could not be loaded; empty if it decides."""

    def encode(self) -> str:
        """The text that is committed; the refusal is cut where it would be too long for the broker."""
        refused = self.refused
        while len(text := self._json(refused)) > _BYTES_MAX and refused:
            # Each character takes at least one byte; the loop ends after a few rounds where it takes more.
            refused = refused[: max(0, len(refused) - max(1, (len(text) - _BYTES_MAX) // 6))]
        return text

    def _json(self, refused: str) -> str:
        content: dict[str, Any] = {"bundle": self.bundle}
        if self.topic_ids:
            content["topics"] = dict(sorted(self.topic_ids.items()))
        if refused:
            content["refused"] = refused
        return json.dumps(content, separators=(",", ":"))


def decode_metadata(text: str | None) -> CommittedMetadata:
    """Reads the metadata of a committed offset.

    Offsets that a tool committed have none, or something of the tool's own: then nothing is known, which is no error.
    """
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        return CommittedMetadata()
    if not isinstance(content, dict):
        return CommittedMetadata()
    topics = content.get("topics")
    return CommittedMetadata(
        bundle=_text(content.get("bundle")),
        topic_ids={name: _text(topic_id) for name, topic_id in topics.items()} if isinstance(topics, dict) else {},
        refused=_text(content.get("refused")),
    )


def _text(value: object) -> str:
    """A text that can be encoded; JSON can spell half a surrogate pair, which cannot."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
