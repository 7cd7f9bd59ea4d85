"""A key's partition is the one that Kafka's clients choose."""

import pytest

from scorer.operate.partitioner import find_partition, murmur2


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hashes_of_kafkas_own_tests(key: bytes, expected: int) -> None:
    """As in `UtilsTest.testMurmur2` of Apache Kafka."""
    assert murmur2(key) == expected % 2**32


def test_a_partition_exists() -> None:
    """Whatever the sign of the hash."""
    assert {find_partition(str(number).encode(), 3) for number in range(100)} == {0, 1, 2}
