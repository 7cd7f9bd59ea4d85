"""The metadata that a worker commits with its offsets: the bundle, the topics' ids, why a deployment failed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Brokers accept at most offset.metadata.max.bytes, 4,096 by default; four topics with the longest names and ids take
# 1,200 of them, and a bundle's reference 200.
_BYTES_MAX: Final = 3_500


@dataclass(frozen=True, slots=True)
class CommittedMetadata:
    """The metadata of a committed offset."""

    bundle: str = ""
    """The bundle that decided, as `name:version@digest`; empty if nothing was decided yet."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """By name, the id (KIP-516) of each topic that the worker knew; a topic that was recreated has another id."""
    refused: str = ""
    """Why the deployed bundle could not be loaded; empty if it is loaded."""

    def encode(self) -> str:
        """Returns the text to commit; `refused` is truncated if it is too long for the broker."""
        refused = self.refused
        while len(text := self._json(refused)) > _BYTES_MAX and refused:
            # Each character takes at least one byte; if it takes more, the loop ends after a few rounds.
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
    """Parses the metadata of a committed offset.

    Offsets committed by other tools have none, or text of another format: all fields are then empty, without an error.
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
    """Returns a text that can be encoded; JSON can contain half a surrogate pair, which cannot."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
