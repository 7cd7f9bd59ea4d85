"""Computes the partition of a key as Kafka's Java clients and this project's publishers do (murmur2)."""

from collections.abc import Iterator
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_UNSIGNED: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF


def find_partition(key: bytes, partitions: int) -> int:
    """Returns the partition, 0 to `partitions` - 1, in which records with this key are."""
    return (murmur2(key) & _POSITIVE) % partitions


def murmur2(key: bytes) -> int:
    """Returns the hash of a key, an unsigned number of 32 bits."""
    digest = _SEED ^ len(key)
    for word in _words(key):
        mixed = (word * _FACTOR) & _UNSIGNED
        mixed = ((mixed ^ mixed >> 24) * _FACTOR) & _UNSIGNED
        digest = (digest * _FACTOR) & _UNSIGNED ^ mixed
    rest = key[len(key) // 4 * 4 :]
    if rest:
        digest = ((digest ^ int.from_bytes(rest, "little")) * _FACTOR) & _UNSIGNED
    digest = ((digest ^ digest >> 13) * _FACTOR) & _UNSIGNED
    return digest ^ digest >> 15


def _words(key: bytes) -> Iterator[int]:
    for begin in range(0, len(key) // 4 * 4, 4):
        yield int.from_bytes(key[begin : begin + 4], "little")
