"""Two bundles with different contracts replace each other while applications of both kinds arrive on one topic.

`make swaps` runs it at full size: ten swaps under 5,000 applications per second.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from producer.generator import generate_applications
from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.records import Mark, ReadDecision, read_results, timestamp_ms
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.local.broker import Broker
from scorer.store.store import BundleStore
from tests.integration.flow import flowing
from tests.integration.test_deployments import metadata_of, stored
from tests.integration.worker_process import Topics, WorkerProcess, wait_until, worker
from tests.unit.bundle.contracts import car_loan, car_loan_bundle

pytestmark = pytest.mark.broker
PARTITIONS = 4
SWAPS = int(os.environ.get("SWAPS", "4"))
PER_S = int(os.environ.get("SWAPS_PER_S", "1000"))
BUNDLES = (DEFAULT_BUNDLE, "car-loan:1.0.0")
"""The champion at the start, and the bundle that replaces it and is replaced in turns."""


class Result(NamedTuple):
    """The result of a record, a decision or a dead letter, and its position."""

    topic: str
    partition: int
    offset: int
    source: tuple[int, int]
    """Partition and offset of the record."""
    bundle: str
    """The name of the bundle in it."""
    kind: str
    """The name of the bundle whose contract the record satisfies."""
    decided: bool
    at_ms: int


class Findings(NamedTuple):
    """Violations, all of which must be 0."""

    lost: int
    duplicated: int
    wrong: int
    """Results that are not their bundle's: it decides its own kind, and rejects the other one."""
    out_of_turn: int
    """Partitions whose results are not by the bundles in the order in which these were deployed."""
    mixed: int
    """Transactions with results of both bundles."""


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own."""
    return Topics(broker.bootstrap_servers, PARTITIONS)


def both_kinds() -> Iterator[tuple[bytes, bytes]]:
    """Applications of both contracts in turns, by keys that tell them apart."""
    for number, record in enumerate(generate_applications(seed=3)):
        yield record.key, record.value
        loan_id = f"car-{number}"
        yield loan_id.encode(), car_loan(loan_id, salary=number * 37 % 5_000)


def test_swaps_of_contracts(topics: Topics, tmp_path: Path) -> None:
    """Each record has one result, by the bundle that its batch had, and no worker stops or restarts."""
    car_loan_bundle(tmp_path / "store" / "car-loan" / "1.0.0")
    store = BundleStore(str(tmp_path / "store"))
    bundles = [store.open(name).reference for name in BUNDLES]
    with ExitStack() as stack:
        own = stack.enter_context(stored(topics, tmp_path / "store"))
        workers = [stack.enter_context(worker(own, tmp_path / f"{name}.log")) for name in "ab"]
        for at_work in workers:
            wait_until(lambda w=at_work: len(w.probe("/readyz")["partitions"]) == 2, "partitions shared")  # type: ignore[misc]
        flow = stack.enter_context(flowing(topics, both_kinds(), PER_S))
        wait_until(lambda: len(topics.committed()) == PARTITIONS, "every partition decided")
        turns = [bundles[turn % 2] for turn in range(SWAPS + 1)]
        for number, (previous, wanted) in enumerate(pairwise(turns)):
            topics.publish(event(number, previous, wanted), topic=topics.deployments, key=None)
            wait_until(lambda w=wanted: {m.bundle for m in metadata_of(topics)} == {str(w)}, "all have switched")  # type: ignore[misc]
            wait_for_progress(topics)
        published = flow.stop()
        wait_until(lambda: topics.committed() == published, "every application committed")
        require_no_restart(workers)
    results = list(read_all(topics))
    figures = figures_of(results)
    findings = check(results, published, [bundle.name for bundle in turns])
    logging.getLogger(__name__).info("%s %s", figures, findings)
    assert findings == Findings(0, 0, 0, 0, 0)
    assert min(figures[f"{kind} {bundle.name}"] for kind in ("decided", "rejected") for bundle in bundles) > 0


def event(number: int, previous: BundleReference, wanted: BundleReference) -> bytes:
    """An operator makes a bundle the champion."""
    return (
        DeploymentEvent(
            event_id=f"swap-{number}",
            slot="champion",
            action="deploy",
            bundle=wanted,
            previous=previous,
            actor="ana",
            reason="its turn",
            at=datetime.now(UTC),
        )
        .model_dump_json()
        .encode()
    )


def wait_for_progress(topics: Topics) -> None:
    """Waits until each partition has further results."""
    before = topics.committed()
    wait_until(
        lambda: all(offset > before[partition] for partition, offset in topics.committed().items()),
        "progress of every partition",
    )


def require_no_restart(workers: Iterable[WorkerProcess]) -> None:
    """Every worker has switched each time, has started once, and shuts down cleanly."""
    for at_work in workers:
        assert f'scorer_bundle_switches_total{{result="switched"}} {SWAPS}.0' in at_work.get("/metrics")[1]
        assert at_work.terminate() == 0
        assert len(at_work.events("worker_started")) == 1


def read_all(topics: Topics) -> Iterator[Result]:
    """All committed results of both topics."""
    for topic in (topics.decisions, topics.dead_letters):
        for message, result in read_results(
            topics.read(topic), topics.dead_letters, lambda malformed: pytest.fail(str(malformed))
        ):
            assert not isinstance(result, Mark)
            decided = isinstance(result, ReadDecision)
            yield Result(
                topic,
                message.partition() or 0,
                message.offset() or 0,
                (result.source_partition, result.source_offset)
                if isinstance(result, ReadDecision)
                else (result.partition, result.offset),
                result.bundle.name if isinstance(result, ReadDecision) else result.bundle.partition(":")[0],
                "car-loan" if (message.key() or b"").startswith(b"car-") else "credit-risk",
                decided,
                timestamp_ms(message),
            )


def check(results: list[Result], published: dict[int, int], turns: list[str]) -> Findings:
    """Counts what went wrong.

    A partition's results come from one worker, and are in the partition of the same number; the marker at the end of a
    transaction occupies an offset: results without a gap are one transaction.

    Args:
        results: all of them.
        published: how many records each partition has.
        turns: the bundles' names in the order in which they were deployed.
    """
    assert all(result.partition == result.source[0] for result in results)
    times = Counter(result.source for result in results)
    sources = {(partition, offset) for partition, records in published.items() for offset in range(records)}
    out_of_turn = 0
    for _, in_partition in groupby(sorted(results, key=lambda r: r.source), key=lambda r: r.source[0]):
        out_of_turn += [bundle for bundle, _ in groupby(result.bundle for result in in_partition)] != turns
    transactions: dict[tuple[str, int, int], set[str]] = {}
    for number, result in enumerate(sorted(results, key=lambda r: r[:3])):
        transactions.setdefault((result.topic, result.partition, result.offset - number), set()).add(result.bundle)
    assert len(transactions) > len(turns) * PARTITIONS
    return Findings(
        lost=len(sources - times.keys()),
        duplicated=sum(number > 1 for number in times.values()) + len(times.keys() - sources),
        wrong=sum((result.bundle == result.kind) != result.decided for result in results),
        out_of_turn=out_of_turn,
        mixed=sum(len(names) > 1 for names in transactions.values()),
    )


def figures_of(results: list[Result]) -> Counter[str]:
    """The number of results by bundle, the duration, and the longest pause between two results."""
    figures = Counter(f"{'decided' if result.decided else 'rejected'} {result.bundle}" for result in results)
    at_ms = sorted(result.at_ms for result in results)
    figures["seconds"] = (at_ms[-1] - at_ms[0]) // 1_000
    figures["longest pause in ms"] = max(late - early for early, late in pairwise(at_ms))
    return figures
