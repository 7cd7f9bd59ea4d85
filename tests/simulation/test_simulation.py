"""The real loop on fake links that go wrong by chance: several workers, a few thousand short lives, and checkers.

A failure prints its seed. `SIMULATION_SEED=17 pytest tests/simulation` runs that one alone, in both modes of delivery.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import get_args

import pytest

from schemas.decision import BundleReference
from schemas.rejection import AT_HEADER
from scorer.core.score import Result, Scores
from scorer.stream.worker import Batch, run
from tests.contract.fake_link import CrashError, Delivery, FakeKafka, FakeLink, Fault, Written
from tests.engines import with_chosen_engine
from tests.fakes import BROKEN_PRICE, RECORD_BYTES_MAX, CountingMonitor, application, tiny_bundle

SEEDS = [int(os.environ["SIMULATION_SEED"])] if "SIMULATION_SEED" in os.environ else range(1_500)
REFERENCE = tiny_bundle()
BUNDLE = with_chosen_engine(REFERENCE)
# Turns until a run must be over although things go wrong; most need about forty.
TURNS_MAX = 2_000

LinkMaker = Callable[..., FakeLink]


class Dice:
    """Faults by chance, until calm is wanted."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.calm = False

    def in_publish(self) -> Fault | None:
        """One publish in five goes wrong."""
        return self._random.choice(list(Fault)) if self.happens(0.2) else None

    def rebalance_during_poll(self) -> bool:
        return self.happens(0.1)

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return not self.calm and self._random.random() < probability


class Simulation:
    """Some workers on one FakeKafka, all of it decided by a seed."""

    def __init__(self, seed: int, delivery: Delivery, make_link: LinkMaker = FakeLink) -> None:
        self.random = Random(seed)
        self.dice = Dice(self.random)
        self.kafka = FakeKafka(partition_count=self.random.randint(1, 4))
        self._delivery = delivery
        self._make_link = make_link
        self._unpublished = [make_value(self.random, i) for i in range(self.random.randint(5, 40))]
        self.published: list[tuple[int, int]] = []
        self._workers: list[FakeLink | None] = [None] * self.random.randint(1, 3)
        self._busy: set[int] = set()
        self._dead: list[FakeLink] = []

    def play(self) -> None:
        """Plays until every record has been committed."""
        for turn in range(TURNS_MAX):
            self.dice.calm = turn > TURNS_MAX // 2
            self._publish_some()
            self.world_goes_on()
            self.turn_of(self.random.randrange(len(self._workers)))
            if not self._unpublished and self.kafka.committed == ends_of(self.kafka):
                return
        raise AssertionError(f"not done after {TURNS_MAX} turns")

    def turn_of(self, number: int) -> None:
        """One worker runs a few rounds of the loop, and then perhaps stops; or dies in it."""
        if number in self._busy:
            return
        link = self._workers[number] or self._open()
        self._workers[number] = link
        rounds = self.random.randint(1, 3)
        monitor = Interruptions(self)
        self._busy.add(number)
        try:
            run(link, lambda: BUNDLE, monitor, RECORD_BYTES_MAX, lambda: monitor.polls >= rounds)
        except CrashError:
            self._dead.append(link)
            self._workers[number] = None
        else:
            if self.dice.happens(0.1):
                link.close()
                self._workers[number] = None
        finally:
            self._busy.remove(number)

    def world_goes_on(self) -> None:
        """What happens elsewhere while one worker is in the middle of something."""
        if self.dice.happens(0.2):
            self.turn_of(self.random.randrange(len(self._workers)))
        if self.dice.happens(0.05):
            self.kafka.rebalance(shift=self.random.randrange(3))
        if self._dead and self.random.random() < 0.3:
            self.kafka.leave(self._dead.pop())  # the group learns of a death when the session ends

    def _open(self) -> FakeLink:
        return self._make_link(
            self.kafka, self._delivery, batch_records_max=self.random.randint(1, 8), faults=self.dice
        )

    def _publish_some(self) -> None:
        for _ in range(self.random.randint(0, 3)):
            if self._unpublished:
                partition = self.random.randrange(self.kafka.partition_count)
                if self.random.random() < 0.1:
                    self.kafka.append_marker(partition)
                self.published.append((partition, len(self.kafka.logs[partition])))
                self.kafka.append(partition, self._unpublished.pop(), self.random.choice((None, b"key")))


def ends_of(kafka: FakeKafka) -> dict[int, int]:
    """Where each partition that has anything ends."""
    return {partition: len(log) for partition, log in enumerate(kafka.logs) if log}


class Interruptions:
    """A Monitor that lets the world go on between the steps of the loop."""

    def __init__(self, simulation: Simulation) -> None:
        self.polls = 0
        self._simulation = simulation

    def lap(self, stage: str) -> None:
        if stage in {"encode", "publish"}:
            self._simulation.world_goes_on()

    def polled(self, _: Batch) -> None:
        self.polls += 1
        self._simulation.world_goes_on()

    def serving(self, _: BundleReference) -> None:
        """It is always the same one."""

    def deciding(self, engine: str, fault: str) -> None:
        """It is always the same one."""


def make_value(random: Random, number: int) -> bytes | None:
    """Mostly a sound application; sometimes one that is not, or on which the model fails."""
    sound = application(f"a-{number}", amount=random.randint(1, 1_000))
    others = (None, b"", sound[:-1], application(f"a-{number}", age=17), application(f"a-{number}", price=BROKEN_PRICE))
    return random.choice(others) if random.random() < 0.2 else sound


# The checkers


def source_of(written: Written) -> tuple[int, int]:
    """Partition and offset of the record that a decision or a dead letter is about."""
    headers = dict(written.headers)
    if "dlq.code" in headers:
        return int(headers["dlq.partition"] or -1), int(headers["dlq.offset"] or -1)
    source = json.loads(written.value or b"")["source"]
    return source["partition"], source["offset"]


def check_nothing_lost(played: Simulation) -> None:
    """Each record has an result that a reader sees."""
    sources = {source_of(written) for written in (*played.kafka.decisions, *played.kafka.dead_letters)}
    assert sources == set(played.published)


def check_exactly_once(played: Simulation) -> None:
    """Each record has exactly one result that a reader sees."""
    counts = Counter(source_of(written) for written in (*played.kafka.decisions, *played.kafka.dead_letters))
    assert counts == Counter(played.published)


def check_order(played: Simulation) -> None:
    """Of each partition, results come in the order of its records; of one that comes again the first time counts."""
    for topic in (played.kafka.decisions, played.kafka.dead_letters):
        last: dict[int, int] = {}
        for partition, offset in dict.fromkeys(source_of(written) for written in topic):
            assert offset > last.get(partition, -1)
            last[partition] = offset


def check_same_as_undisturbed(played: Simulation) -> None:
    """Keys, bytes and headers are those of one worker to whom nothing ever happened (but for when it was).

    That one decides with the Python engine.
    """
    calm = FakeKafka(partition_count=played.kafka.partition_count)
    calm.logs = played.kafka.logs
    run(FakeLink(calm), lambda: REFERENCE, CountingMonitor(), RECORD_BYTES_MAX, lambda: calm.committed == ends_of(calm))
    for written, expected in ((played.kafka.decisions, calm.decisions), (played.kafka.dead_letters, calm.dead_letters)):
        assert set(map(without_time, written)) == set(map(without_time, expected))


def without_time(written: Written) -> Written:
    """A record without the header that says when it was written."""
    return Written(written.key, written.value, tuple(h for h in written.headers if h[0] != AT_HEADER))


def simulate(seed: int, delivery: Delivery, make_link: LinkMaker = FakeLink) -> None:
    """Plays one seed and checks it; a failure says how to play it again."""
    try:
        played = Simulation(seed, delivery, make_link)
        played.play()
        check_nothing_lost(played)
        check_order(played)
        check_same_as_undisturbed(played)
        if delivery == "exactly-once":
            check_exactly_once(played)
    except AssertionError as failure:
        raise AssertionError(f"seed {seed}, {delivery}: SIMULATION_SEED={seed} runs it alone\n{failure}") from failure


def simulate_many(seeds: Iterable[int], delivery: Delivery, make_link: LinkMaker = FakeLink) -> None:
    """Plays seeds until one fails."""
    for seed in seeds:
        simulate(seed, delivery, make_link)


# The tests


@pytest.mark.parametrize("delivery", get_args(Delivery))
def test_worker(delivery: Delivery) -> None:
    """Whatever goes wrong, nothing is lost, order is kept, the bytes are the same; and exactly once nothing doubles."""
    simulate_many(SEEDS, delivery)


def test_reproducible() -> None:
    """A seed decides everything: played twice, it writes the same records in the same order."""
    first, second = Simulation(3, "at-least-once"), Simulation(3, "at-least-once")
    for simulation in (first, second):
        simulation.play()
    assert first.kafka.decisions == second.kafka.decisions
    assert first.kafka.dead_letters == second.kafka.dead_letters
    assert len(first.kafka.decisions) > len(set(first.kafka.decisions)), "choose a seed in which something goes wrong"


class CommitsFirst(FakeLink):
    """Broken: the offsets are committed before the results are out."""

    def publish(self, batch: Batch, scores: Scores) -> None:
        self._kafka.committed.update(batch.offsets_next)
        super().publish(batch, scores)


class KeepsWhatItLost(FakeLink):
    """Broken: what was polled before a partition was taken away is committed all the same."""

    def _owns(self, _: Batch) -> bool:
        return True


class ForgetsDeadLetters(FakeLink):
    """Broken: dead letters leave before the transaction, and again when its batch comes again."""

    def _write_before_commit(self, batch: Batch, results: Sequence[Result], bundle: BundleReference) -> None:
        decisions = list(self._kafka.decisions)
        self._write(batch, results, bundle)
        self._kafka.decisions[:] = decisions


class Overtakes(FakeLink):
    """Broken: a batch is written backwards."""

    def _write(self, batch: Batch, results: Sequence[Result], bundle: BundleReference) -> None:
        super()._write(Batch(batch.records[::-1], batch.offsets_next), results[::-1], bundle)


@pytest.mark.parametrize("broken", [CommitsFirst, KeepsWhatItLost, ForgetsDeadLetters, Overtakes])
def test_checkers_can_fail(broken: type[FakeLink]) -> None:
    """Each of these links breaks one promise, and some seed shows it."""
    with pytest.raises(AssertionError, match=r"SIMULATION_SEED=\d+ runs it alone"):
        simulate_many(range(200), "exactly-once", broken)
