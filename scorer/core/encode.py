"""Encodes decisions as JSON."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference, decision_id
from scorer.core.policy import LABELS
from scorer.core.reasons import NONE

# Placeholder of a value in a template. No topic and no file has this name.
_PLACEHOLDER: Final = "\0"
_PLACEHOLDER_JSON: Final = msgspec.json.encode(_PLACEHOLDER)


class DecisionEncoder:
    """Encodes the decisions of one bundle.

    The JSON encoder encodes the values column by column. The text between the values is the same for all records of a
    partition: once per batch, it is cut out of an encoded decision with placeholders.

    Attributes:
        to_id: the text between the first offset and the application's id.
        outcomes: by label, the text between the application's id and the PD.
        end: the text after the second offset.
        codes: the codes of reasons.
    """

    def __init__(self, bundle: BundleReference, codes: Sequence[str] = ()) -> None:
        """Prepares the texts.

        Args:
            bundle: the bundle that decides.
            codes: the codes of its catalogue of reasons.
        """
        self._reference = bundle
        self.codes = tuple(codes)
        self._bundle = bundle.model_dump()
        self._encoder = msgspec.json.Encoder()
        _, self.to_id, to_label, to_probability, _, self.end = self._split_template("", 0)
        self.outcomes: dict[str, bytes] = {
            name: to_label + self._encoder.encode(name) + to_probability for name in LABELS
        }

    def encode(
        self,
        source: tuple[str, Sequence[int], Sequence[int]],
        application_ids: Sequence[str],
        outcomes: Sequence[str],
        probabilities: Sequence[float],
        reasons: NDArray[np.uint8] | None = None,
    ) -> list[bytes]:
        """Encodes n decisions.

        Args:
            source: the topic of the applications' records, their n partitions and n offsets.
            application_ids: the applications' ids.
            outcomes: the labels: APPROVED, MAYBE or DECLINED.
            probabilities: the PDs, 0 to 1.
            reasons: as `scorer.core.reasons` chooses them, shape (n, 4); None if decisions have none.

        Returns:
            Each decision as JSON in UTF-8, in order; equal values give equal bytes.
        """
        topic, partitions, offsets = source
        frames = self.frames(topic, partitions)
        starts = {partition: start for partition, start, _ in frames}
        to_offsets = {partition: to_offset for partition, _, to_offset in frames}
        written_offsets = self._encode_each(offsets)
        pieces = zip(
            map(starts.__getitem__, partitions),
            written_offsets,
            repeat(self.to_id),
            self._encode_each(application_ids),
            map(self.outcomes.__getitem__, outcomes),
            self._encode_each(probabilities),
            repeat(b"") if reasons is None else self.write_reasons(reasons),
            map(to_offsets.__getitem__, partitions),
            written_offsets,
            repeat(self.end),
            strict=False,  # some of the iterators are infinite
        )
        return list(map(b"".join, pieces))

    def write_reasons(self, reasons: NDArray[np.uint8]) -> list[bytes]:
        """Returns the text of each decision's reasons, which follows its PD; empty if it has none.

        Args:
            reasons: indexes into `codes`, shape (n, 4), `NONE` after the last one.
        """
        keys = np.ascontiguousarray(reasons).view(np.uint32).ravel()
        distinct, first, which = np.unique(keys, return_index=True, return_inverse=True)
        texts = [self._write_reasons(reasons[row]) for row in first.tolist()]
        assert len(texts) == len(distinct), "one text per combination"
        return [texts[index] for index in which.tolist()]

    def _write_reasons(self, row: NDArray[np.uint8]) -> bytes:
        codes = [self.codes[index] for index in row.tolist() if index != NONE]
        return b',"reasons":' + self._encoder.encode(codes) if codes else b""

    def frames(self, topic: str, partitions: Iterable[int]) -> list[tuple[int, bytes, bytes]]:
        """Returns each of the partitions with the texts before the first offset, and between the PD and the second."""
        templates = {partition: self._split_template(topic, partition) for partition in set(partitions)}
        return [(partition, template[0], template[4]) for partition, template in templates.items()]

    def _split_template(self, topic: str, partition: int) -> list[bytes]:
        """Returns an encoded decision of a partition, split at its placeholders: offset, id, label, PD, offset."""
        decision = {
            "decision_id": decision_id(topic, partition, _PLACEHOLDER, self._reference),
            "application_id": _PLACEHOLDER,
            "decision": _PLACEHOLDER,
            "probability_of_default": _PLACEHOLDER,
            "bundle": self._bundle,
            "source": {"topic": topic, "partition": partition, "offset": _PLACEHOLDER},
        }
        placeholder = _PLACEHOLDER_JSON.strip(b'"')
        return self._encoder.encode(decision).replace(_PLACEHOLDER_JSON, placeholder).split(placeholder)

    def _encode_each(self, values: Sequence[object]) -> list[bytes]:
        """Encodes each value as JSON, which never contains a line break."""
        return self._encoder.encode_lines(values).splitlines()


class _Identified(msgspec.Struct, gc=False):
    application_id: str


_decode_id = msgspec.json.Decoder(_Identified).decode


def id_of(decision: bytes) -> bytes:
    """Returns the application id of an encoded decision, in UTF-8."""
    return _decode_id(decision).application_id.encode()
