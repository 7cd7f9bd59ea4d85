"""The swap's checks: each finds what it looks for, and where the swaps were."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.swap import _ROW, Findings, check, swaps

PER_TURN = 4
"""Decisions of a partition before, between and after the swaps, in transactions of two."""
SOUND = Findings(lost=0, duplicated=0, unknown_bundle=0, out_of_order=0, mixed=0, transactions=12)


@dataclass
class Log:
    """Decisions in two partitions, and how many applications there were."""

    rows: NDArray[np.void]
    count: int


@pytest.fixture
def log() -> Log:
    """A run in which all went well: two partitions, each decided by the first, the second and the first bundle."""
    rows = []
    for partition in (0, 1):
        for i in range(3 * PER_TURN):
            offset = i + i // 2  # after two decisions comes the marker of their transaction
            rows.append((2 * i + partition, 0.0, partition, offset, partition, i, i // PER_TURN % 2))
    return Log(np.array(rows, dtype=_ROW), len(rows))


def test_valid(log: Log) -> None:
    """Where all went well, nothing is found, in whatever order it was read."""
    assert check(log.rows, log.count) == SOUND
    assert check(log.rows[::-1], log.count) == SOUND
    assert SOUND.ok


def test_lost_and_duplicated(log: Log) -> None:
    """An application without a decision is lost, one with two is doubled."""
    log.rows["number"][3] = log.rows["number"][2]
    findings = check(log.rows, log.count)
    assert (findings.lost, findings.duplicated) == (1, 1)
    assert not findings.ok


def test_mixed(log: Log) -> None:
    """A transaction with decisions of both bundles is found, although the bundles take their turns."""
    log.rows["version"][PER_TURN - 1] = 1
    findings = check(log.rows, log.count)
    assert (findings.mixed, findings.out_of_order) == (1, 0)
    assert not findings.ok


def test_out_of_order(log: Log) -> None:
    """A partition in which a bundle comes back for one transaction is found."""
    log.rows["version"][PER_TURN : PER_TURN + 2] = 0
    log.rows["version"][:2] = 1
    findings = check(log.rows, log.count)
    assert (findings.mixed, findings.out_of_order) == (0, 1)


def test_unknown_bundle(log: Log) -> None:
    """A decision by another bundle is found."""
    log.rows["version"][-2:] = -1
    assert check(log.rows, log.count).unknown_bundle == 2


def test_swaps() -> None:
    """A swap begins before the first decision of the one that comes, and ends after the last of the one that goes."""
    version = np.zeros(1_000, dtype=np.int8)
    version[300:600] = 1
    version[290], version[310] = 1, 0  # another worker was quicker, another one later
    version[595], version[604] = 0, 1
    assert swaps(version, rate=50) == [slice(240, 360), slice(545, 654)]
