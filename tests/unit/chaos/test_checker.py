"""The checker of the fault tests: it finds each kind of failure in a made-up history, and nothing in a good one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.checker import Verdict, judge
from tests.chaos.history import (
    ACT,
    ALL_PARTITIONS,
    FAULT,
    HEALED,
    TO_THE_END,
    UNKNOWN,
    Arrival,
    Cause,
    Event,
    Exit,
    History,
    Offsets,
    Published,
    Recorder,
    Result,
    Sample,
    Waiver,
    frame,
)
from tests.chaos.scenario import CLEAR_EXITS, Expectation

STRICT = Expectation()
FAULT_AT_S, HEALED_AT_S, END_S = 10, 20, 100


def published(number: int, *, valid: bool = True, acked_s: float | None = None, key: str = "k") -> Published:
    """An application that was acknowledged: number n at offset n of partition 0, n seconds after the beginning."""
    at_s = float(number) if acked_s is None else acked_s
    return Published(number, key, 0, number, at_s, at_s, valid)


def result(number: int, *, offset: int | None = None, dead: bool = False, source: int | None = None) -> Result:
    """Its decision or dead letter."""
    position = number if offset is None else offset
    return Result(
        "dead letter" if dead else "decision", 0, position, number, "k", 0, number if source is None else source
    )


def made_up(
    records: Sequence[Published],
    results: Sequence[Result],
    *,
    samples: Sequence[Sample] = (),
    offsets: Sequence[Offsets] = (),
    arrived_s: dict[int, float] | None = None,
) -> History:
    """A history in which results arrive half a second after their application, but for those of `arrived_s`."""
    late = arrived_s or {}
    arrivals = [Arrival(r.kind, r.partition, r.offset, late.get(r.number, r.number + 0.5)) for r in results]
    return History(
        published=frame("published", *records),
        arrivals=frame("arrivals", *arrivals),
        results=frame("results", *results),
        samples=frame("samples", *samples),
        offsets=frame("offsets", *offsets),
        events=(Event(FAULT_AT_S, FAULT, "a fault"), Event(HEALED_AT_S, HEALED, "a fault")),
    )


def good(count: int = 40) -> tuple[list[Published], list[Result]]:
    """So many applications, every fifth invalid, and the right results."""
    records = [published(n, valid=n % 5 != 0) for n in range(count)]
    return records, [result(n, dead=n % 5 == 0) for n in range(count)]


def worker(progress: Sequence[int], *, ready: bool = True, pid: int = 7, number: int = 0) -> list[Sample]:
    """A sample per second of a worker with partition 0, which commits a record in these seconds."""
    consumed, samples = 0.0, []
    for at_s in range(END_S):
        consumed += at_s in progress
        samples.append(Sample(at_s, number, pid, True, ready, "0", consumed, 150.0))
    return samples


def lag(seconds: Sequence[int] = range(END_S)) -> list[Offsets]:
    """A look per second at partition 0, which has a record to decide in these seconds."""
    return [Offsets(at_s, 0, 5, 6 if at_s in seconds else 5) for at_s in range(END_S)]


def failures(verdict: Verdict) -> str:
    """All failures in one text."""
    return "; ".join(verdict.failures)


def test_a_good_history_holds() -> None:
    """Where everything is decided once, in order, with the right label, nothing is found; and it is counted."""
    verdict = judge(made_up(*good()), STRICT)
    assert verdict.holds, failures(verdict)
    assert (verdict.figures.acknowledged, verdict.figures.decided, verdict.figures.dead_letters) == (40, 32, 8)


def test_lost_by_id_and_by_offset() -> None:
    """An application without a result is lost; so is a record of which no result speaks, whatever the ids say."""
    records, results = good()
    assert "1 lost" in failures(judge(made_up(records, results[:-1]), STRICT))
    elsewhere = [*results[:-1], result(39, source=999)]
    verdict = judge(made_up(records, elsewhere), STRICT)
    assert "1 lost" in failures(verdict)
    assert "1 with the wrong source" in failures(verdict)


def test_what_the_scenario_deleted_is_not_lost() -> None:
    """Records that the scenario deleted may be undecided, but not those that came later or stand elsewhere."""
    records, results = good()
    history = replace(made_up(records, results[:10]), waivers=(Waiver(29.5, ALL_PARTITIONS, 0, TO_THE_END),))
    assert "10 lost" in failures(judge(history, STRICT))
    some = replace(history, waivers=(Waiver(100, 0, 0, 35), Waiver(100, 1, 0, TO_THE_END)))
    assert "5 lost" in failures(judge(some, STRICT))
    everything = judge(replace(history, waivers=(Waiver(100, 0, 10, TO_THE_END),)), STRICT)
    assert everything.holds
    assert everything.figures.waived == 30


def test_doubled() -> None:
    """A second result of an application, or of a record, is a failure; at least once it is counted and allowed."""
    records, results = good()
    twice = made_up(records, [*results, result(39, offset=90), result(39, offset=91)])
    verdict = judge(twice, STRICT)
    assert "1 doubled" in failures(verdict)
    assert verdict.figures.extra == 2
    assert judge(twice, Expectation(doubled=True)).holds
    of_one_record = made_up(records, [*results[:-1], result(39, source=38)])
    assert "1 doubled" in failures(judge(of_one_record, STRICT))


def test_published_twice() -> None:
    """An application of which the topic has two records has two results, one of each: that is its publisher's doing."""
    records, results = good()
    verdict = judge(made_up(records, [*results, result(39, offset=90, source=90)]), STRICT)
    assert verdict.holds, failures(verdict)
    assert verdict.figures.published_twice == 1
    of_anothers_record = judge(made_up(records, [*results, result(39, offset=90, source=38)]), STRICT)
    assert "1 doubled" in failures(of_anothers_record)
    of_unknown_records = [*results[:-1], result(39, source=90), result(39, offset=90, source=91)]
    assert "1 doubled" in failures(judge(made_up(records, of_unknown_records), STRICT))


def test_an_unknown_offset() -> None:
    """A record whose acknowledgement did not name its offset is judged by its id alone."""
    records, results = good()
    unknown = [*records[:-2], *(record._replace(offset=UNKNOWN) for record in records[-2:])]
    assert judge(made_up(unknown, results), STRICT).holds, failures(judge(made_up(unknown, results), STRICT))
    assert "1 lost" in failures(judge(made_up(unknown, results[:-1]), STRICT))


def test_a_topic_that_was_created_again_is_judged_by_ids() -> None:
    """The same offsets of an older topic are no doubles, and hide no losses."""
    records, results = good()
    second = [published(n, acked_s=50.0)._replace(offset=n - 40) for n in range(40, 60)]
    decided = [result(n, source=n - 40) for n in range(40, 60)]
    history = replace(
        made_up([*records, *second], [*results, *decided]), waivers=(Waiver(45, ALL_PARTITIONS, 0, TO_THE_END),)
    )
    assert judge(history, STRICT).holds, failures(judge(history, STRICT))
    skipped = made_up([*records, *second], [*results, *decided[:-3]])
    assert "3 lost" in failures(judge(replace(skipped, waivers=history.waivers), STRICT))


def test_out_of_order() -> None:
    """Results of one key in another order than their applications are a failure, and repeated ones are not."""
    records = [published(n) for n in range(4)]
    swapped = [result(0), result(2, offset=1), result(1, offset=2), result(3)]
    assert "1 out of order" in failures(judge(made_up(records, swapped), STRICT))
    repeated = [*(result(n) for n in range(4)), *(result(n, offset=n + 2) for n in range(2, 4))]
    assert judge(made_up(records, repeated), Expectation(doubled=True)).holds
    by_key = [record._replace(key=f"k{record.number}") for record in records]
    assert judge(made_up(by_key, [one._replace(key=f"k{one.number}") for one in swapped]), STRICT).holds
    assert "4 with the wrong source or key" in failures(judge(made_up(by_key, swapped), STRICT))


def test_wrong_kind() -> None:
    """A valid application that is rejected and an invalid one that is decided are failures."""
    records = [published(0), published(1, valid=False)]
    verdict = judge(made_up(records, [result(0, dead=True), result(1)]), STRICT)
    assert "2 with a label of the wrong kind" in failures(verdict)


def test_times() -> None:
    """The pause is the longest gap, to the end of the run where some never came; recovery ends with the last late."""
    records, results = good()
    late = dict.fromkeys(range(10, 20), 26.0)
    figures = judge(made_up(records, results, arrived_s=late), STRICT).figures
    assert figures.pause_s == pytest.approx(26.0 - 20.5, abs=11)
    assert figures.recovery_s == pytest.approx(6.0)
    assert figures.latency_max_s == pytest.approx(16.0)
    assert figures.publisher_pause_s == pytest.approx(1.0)
    lost = judge(made_up(records, results[:10], samples=worker(range(END_S))), STRICT).figures
    assert lost.recovery_s is None
    assert lost.pause_s == pytest.approx(END_S - 1 - 9.5)


def test_every_worker_decides_again() -> None:
    """A worker with work that commits nothing after the healing fails, and so does one that takes too long."""
    records, results = good()

    def decide(samples: list[Sample], offsets: list[Offsets], limit_s: float = 60) -> Verdict:
        expect = Expectation(decides_again_s=limit_s, stuck_s=END_S)
        return judge(made_up(records, results, samples=samples, offsets=offsets), expect)

    assert decide(worker([5, 30]), lag()).figures.decides_again_s == pytest.approx(10)
    assert "worker 0 decided again never" in failures(decide(worker([5]), lag()))
    assert "worker 0 decided again after 65 s" in failures(decide(worker([5, 85]), lag()))
    assert decide(worker([5]), lag([])).holds
    assert "decided again never" in failures(decide(worker([5], ready=False), lag([])))
    stopped = [sample for sample in worker([5]) if sample.at_s < HEALED_AT_S]
    assert decide(stopped, lag()).holds


def test_a_stalled_worker_that_looks_healthy() -> None:
    """Time with work, without a commit or a fault counts; it adds up over faults, and ends with the process."""
    records, results = good()

    def stuck_s(samples: list[Sample], offsets: list[Offsets]) -> float:
        return judge(made_up(records, results, samples=samples, offsets=offsets), STRICT).figures.stuck_s

    assert stuck_s(worker(range(END_S)), lag()) == 0
    assert stuck_s(worker([*range(5), *range(70, END_S)]), lag()) == pytest.approx(5 + 48, abs=2)
    assert stuck_s(worker(range(5)), lag([])) == 0
    restarted = [*worker(range(5))[:50], *worker([50, 99], pid=8)[50:]]
    assert stuck_s(restarted, lag()) == pytest.approx(48, abs=2)
    verdict = judge(made_up(records, results, samples=worker(range(5)), offsets=lag()), STRICT)
    assert "worker 0, ready and with work, committed nothing for" in failures(verdict)


def ended(cause: Cause, code: int, reason: str = "", stopping_s: float = 0.0) -> Exit:
    """The end of a process."""
    return Exit(50.0, 0, 7, code, 50.0, cause, stopping_s, reason, reason)


def test_exits() -> None:
    """A process may end by itself only where that is expected, with a message; it must heed SIGTERM in time."""
    records, results = good()

    def decide(one: Exit, expect: Expectation) -> str:
        return failures(judge(replace(made_up(records, results), exits=(one,)), expect))

    message = ended(Cause.ITSELF, 1, "process_failed: fenced")
    may_end = Expectation(exits=CLEAR_EXITS)
    assert "worker 0 ended by itself with exit code 1: process_failed: fenced" in decide(message, STRICT)
    assert not decide(message, may_end)
    assert "ended by itself" in decide(ended(Cause.ITSELF, 1, "process_crashed: KeyError"), may_end)
    assert "ended by itself" in decide(ended(Cause.ITSELF, 139, '{"event": "partitions_changed"}'), may_end)
    assert not decide(ended(Cause.KILLED, 137), STRICT)
    assert not decide(ended(Cause.STOPPED, 0, stopping_s=25.0), STRICT)
    assert "took 90 s to stop after SIGTERM" in decide(ended(Cause.KILLED, 137, stopping_s=90.0), STRICT)


def test_what_the_operator_must_be_asked_for() -> None:
    """Where the workers must ask for a command, its absence and its failure are failures."""
    expect = Expectation(must_act=r"^scorer offsets reset .*\(exit 0\)")
    history = made_up(*good())
    assert "no worker asked its operator" in failures(judge(history, expect))
    refused = Event(30, ACT, "scorer offsets reset --topic t:0 (exit 2): no")
    done = Event(30, ACT, "scorer offsets reset --topic t:0 (exit 0): done")
    assert "no worker asked" in failures(judge(replace(history, events=(*history.events, refused)), expect))
    assert judge(replace(history, events=(*history.events, done)), expect).holds


def test_memory() -> None:
    """More memory than expected is a failure."""
    records, results = good()
    history = made_up(records, results, samples=worker(range(END_S)))
    assert judge(history, Expectation(rss_mb=150)).holds
    assert "150 MB of memory (limit 149 MB)" in failures(judge(history, Expectation(rss_mb=149)))


def test_faults_that_overlap_are_one_time() -> None:
    """Nested faults count from the first beginning to the last healing; one that was not healed never ends."""
    events = (
        Event(1, FAULT, "a"), Event(2, FAULT, "b"), Event(3, HEALED, "a"), Event(4, HEALED, "b"), Event(9, FAULT, "c"),
    )  # fmt: skip
    assert list(replace(made_up([], []), events=events).faults()) == [(1, 4), (9, float("inf"))]


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Entries come back as they were recorded, with commas, quotes and lines in their texts; late ones are dropped."""
    reason = 'process_failed: "a, b"\nsecond line'
    with Recorder(tmp_path) as recorder:
        recorder.write(published(0, valid=False))
        recorder.write(result(0, dead=True))
        recorder.write(Waiver(1.5, 0, 2, TO_THE_END))
        recorder.write(ended(Cause.ITSELF, 1, reason))
        recorder.write(Event(1.0, FAULT, ""))
    recorder.write(published(1))
    history = History.read(tmp_path)
    assert history.published.rows() == [tuple(published(0, valid=False))]
    assert history.results.rows() == [tuple(result(0, dead=True))]
    assert history.waivers == (Waiver(1.5, 0, 2, TO_THE_END),)
    assert history.exits == (ended(Cause.ITSELF, 1, reason),)
    assert history.events == (Event(1.0, FAULT, ""),)
