"""What every Link promises, whatever it is made of."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.rejection import DEAD_LETTER_HEADERS, RejectionCode
from scorer.core.score import score_batch
from scorer.errors import FencedError
from scorer.stream.worker import Batch, Link, run
from tests.contract.fake_link import Written
from tests.contract.stages import WAIT_S, ClosableLink, Stage
from tests.engines import with_chosen_engine
from tests.fakes import RECORD_BYTES_MAX, CountingMonitor, Tally, application, tiny_bundle

BUNDLE = with_chosen_engine(tiny_bundle())


def tally_of(link: ClosableLink) -> Tally:
    """What a link of the stage has told so far."""
    assert isinstance(link.observer, Tally)
    return link.observer


def work(link: Link, until: Callable[[], bool]) -> None:
    """Lets the worker's loop run on a link until a condition holds."""
    ends_at = time.monotonic() + WAIT_S
    run(link, lambda: BUNDLE, CountingMonitor(), RECORD_BYTES_MAX, lambda: until() or time.monotonic() > ends_at)
    assert until()


def decide(link: ClosableLink, count: int) -> None:
    """Lets the worker decide so many records."""
    tally = tally_of(link)
    wanted = tally.records + count
    work(link, lambda: tally.records >= wanted)


def poll_records(link: Link, count: int) -> Batch:
    """Polls until a batch has so many records; they are all there, but not all partitions come in one."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        batch = link.poll(BUNDLE.reference)
        if len(batch.records) >= count:
            return batch
        assert not batch.records, "came in parts: publish to one partition only"
    raise AssertionError("no records")


def publish(link: ClosableLink, batch: Batch) -> bool:
    """Scores and publishes a batch; whether it was committed."""
    aborts = tally_of(link).aborts
    link.publish(batch, score_batch(batch.records, BUNDLE, RECORD_BYTES_MAX))
    return link.settle() and tally_of(link).aborts == aborts


def sources(decisions: list[Written]) -> list[tuple[int, int]]:
    """Partition and offset that each decision is about."""
    found = [json.loads(written.value or b"")["source"] for written in decisions]
    return [(source["partition"], source["offset"]) for source in found]


def headers_of(written: Written) -> dict[str, bytes | None]:
    """A record's headers by name."""
    return dict(written.headers)


def dead_sources(dead_letters: list[Written]) -> list[tuple[int, int]]:
    """Partition and offset that each dead letter is about."""
    found = [headers_of(written) for written in dead_letters]
    return [(int(h["dlq.partition"] or -1), int(h["dlq.offset"] or -1)) for h in found]


def test_one_outcome_a_record(stage: Stage) -> None:
    """Every record polled becomes one visible outcome, decision or dead letter, and the offsets are committed."""
    for i in range(10):
        stage.append(i % 2, application(f"a-{i}", age=17 if i == 4 else 30), f"a-{i}".encode())
    decide(stage.link(), 10)
    assert Counter(sources(stage.decisions()) + dead_sources(stage.dead_letters())) == Counter(
        (i % 2, i // 2) for i in range(10)
    )
    assert stage.committed() == {0: 5, 1: 5}


def test_same_records_after_a_refused_commit(stage: Stage) -> None:
    """After a commit that failed nothing is committed, the same records come again, and what follows is decided."""
    for i in range(3):
        stage.append(0, application(f"a-{i}"))
    link = stage.link()
    first = poll_records(link, 3)
    stage.fail_next_commit(link)
    assert not publish(link, first)
    assert stage.committed().get(0, 0) == 0
    if stage.delivery == "exactly-once":
        assert stage.decisions() == []
    second = poll_records(link, 3)
    assert [r.offset() for r in second.records] == [r.offset() for r in first.records]
    assert publish(link, second)
    assert stage.committed()[0] == 3
    times = 1 if stage.delivery == "exactly-once" else 2
    assert Counter(sources(stage.decisions())) == {(0, i): times for i in range(3)}
    stage.append(0, application("a-3"))
    decide(link, 1)
    assert set(sources(stage.decisions())) == {(0, i) for i in range(4)}


def test_dead_letter_shares_the_fate_of_its_batch(stage: Stage) -> None:
    """A dead letter belongs to the same commit as its neighbours' decisions: an aborted batch leaves neither."""
    stage.append(0, application("good"))
    stage.append(0, b"bad")
    link = stage.link()
    batch = poll_records(link, 2)
    stage.fail_next_commit(link)
    assert not publish(link, batch)
    if stage.delivery == "exactly-once":
        assert stage.decisions() == stage.dead_letters() == []
    decide(link, 2)
    assert set(sources(stage.decisions())) == {(0, 0)}
    assert set(dead_sources(stage.dead_letters())) == {(0, 1)}


def test_order_in_a_partition(stage: Stage) -> None:
    """Decisions of one key stand in the order of the applications, whether or not they carry headers.

    Decisions with headers used to be sent before those without, because only the latter can be sent in one call: of
    two applications of one key in a batch, the later one's decision could overtake the earlier's.
    """
    for i in range(12):
        headers = [("traceparent", b"00-%d" % i)] if i % 3 == 1 else [("other", b"x")] if i % 3 == 2 else []
        stage.append(0, application(f"a-{i}"), b"one key", headers)
    decide(stage.link(), 12)
    assert sources(stage.decisions()) == [(0, i) for i in range(12)]


def test_dead_letter_is_the_record(stage: Stage) -> None:
    """A dead letter has the record's key, value and headers untouched, and says in headers of its own what is wrong."""
    own = (("traceparent", b"00-1"), ("x", b"1"), ("x", b"\xff"), ("null", None))
    stage.append(0, b'{"\xff', b"\x00key", own)
    stage.append(0, None, None)
    decide(stage.link(), 2)
    first, second = sorted(stage.dead_letters(), key=lambda written: written.value is None)
    assert (first.key, first.value, tuple(first.headers)[:4]) == (b"\x00key", b'{"\xff', own)
    assert (second.key, second.value) == (None, None)
    for letter, code, offset in ((first, RejectionCode.NOT_UTF8, 0), (second, RejectionCode.EMPTY, 1)):
        added = headers_of(letter)
        assert set(DEAD_LETTER_HEADERS) <= added.keys()
        assert added["dlq.code"] == code.value.encode()
        assert (added["dlq.partition"], added["dlq.offset"]) == (b"0", b"%d" % offset)
        assert added["dlq.bundle"] == f"tiny:1.0.0@{BUNDLE.reference.digest}".encode()
        assert int(added["dlq.timestamp"] or 0) > 0


def test_trace_headers_pass_through(stage: Stage) -> None:
    """A decision carries its application's trace headers and none of the others."""
    stage.append(0, application("a"), b"a", [("traceparent", b"00-1"), ("secret", b"x"), ("tracestate", b"s=1")])
    stage.append(0, application("b"), b"b", [("secret", b"x")])
    decide(stage.link(), 2)
    headers = {written.key: written.headers for written in stage.decisions()}
    assert headers == {b"a": (("traceparent", b"00-1"), ("tracestate", b"s=1")), b"b": ()}


def test_keys(stage: Stage) -> None:
    """A decision has its application's key; where there is none, the application's id in UTF-8."""
    stage.append(0, application("Zoë"), None)
    stage.append(0, application("other"), b"\xff")
    stage.append(0, application("empty"), b"")
    stage.append(0, application("traced"), None, [("traceparent", b"00-1")])
    decide(stage.link(), 4)
    assert {w.key for w in stage.decisions()} == {"Zoë".encode(), b"\xff", b"", b"traced"}


def test_moves_past_markers(stage: Stage) -> None:
    """Transaction markers take up offsets: a partition moves past them without a record, and its lag goes to 0."""
    stage.append(0, application("a"))
    stage.append_marker(0)
    stage.append_marker(1)
    link = stage.link()
    work(link, lambda: len(committed := stage.committed()) == 2 and committed[0] > 1 and committed[1] > 0)
    end = stage.committed()
    stage.append(0, application("b"))
    decide(link, 1)
    assert sources(stage.decisions()) == [(0, 0), (0, end[0])]
    assert stage.committed() == {0: end[0] + 1, 1: end[1]}


def test_starts_at_the_beginning(stage: Stage) -> None:
    """A group without offsets starts at what is left of each partition; one with offsets goes on from them."""
    for i in range(4):
        stage.append(0, application(f"a-{i}"))
    stage.expire(0, 2)
    link = stage.link()
    decide(link, 2)
    link.close()
    stage.append(0, application("later"))
    decide(stage.link(), 1)
    assert sorted(sources(stage.decisions())) == [(0, 2), (0, 3), (0, 4)]


def test_expired_offset_blocks_its_partition_alone(stage: Stage) -> None:
    """Where retention deleted what the group had not read, that partition is not read; the others go on.

    It used to end the worker, and then every other one as the partition was handed on. It never jumps.
    """
    for partition in (0, 1):
        for i in range(4):
            stage.append(partition, application(f"a-{partition}-{i}"))
    link = stage.link()
    decide(link, 8)
    link.close()
    for partition in (0, 1):
        for i in range(4):
            stage.append(partition, application(f"b-{partition}-{i}"))
    stage.expire(0, 6)
    link = stage.link()
    decide(link, 4)
    work(link, lambda: bool(link.blocked()))
    assert list(link.blocked()) == [0]
    assert "no longer exists" in link.blocked()[0]
    assert stage.committed() == {0: 4, 1: 8}
    assert sorted(sources(stage.decisions())) == [*((0, i) for i in range(4)), *((1, i) for i in range(8))]


def test_same_instance_id_fences(stage: Stage) -> None:
    """Of two links with one instance id the first stops with an error that asks the likely question."""
    stage.append(0, application("a"))
    first = stage.link("scorer-0")
    decide(first, 1)
    second = stage.link("scorer-0")
    stage.append(0, application("b"))
    decide(second, 1)
    with pytest.raises(FencedError, match="share this instance_id"):
        decide(first, 1)
    found = sources(stage.decisions())  # at least once: the first may have sent the second one before it was refused
    assert (found if stage.delivery == "exactly-once" else sorted(set(found))) == [(0, 0), (0, 1)]


def test_fenced_in_the_middle_of_a_batch(stage: Stage) -> None:
    """A link fenced with a batch in hand commits nothing of it; the other decides it."""
    stage.append(0, application("a"))
    first = stage.link("scorer-0")
    batch = poll_records(first, 1)
    second = stage.link("scorer-0")
    decide(second, 1)
    with pytest.raises(FencedError, match="share this instance_id"):
        publish(first, batch)
    assert stage.committed()[0] == 1
    if stage.delivery == "exactly-once":
        assert sources(stage.decisions()) == [(0, 0)]


def test_says_who_decides(stage: Stage) -> None:
    """Each committed offset names the bundle that decided; another one is said of every partition, records or not."""
    for partition in (0, 1):
        stage.append(partition, application("a"))
    link = stage.link()
    decide(link, 2)
    assert stage.bundles() == dict.fromkeys((0, 1), str(BUNDLE.reference))
    other = replace(BUNDLE, reference=BUNDLE.reference.model_copy(update={"version": "2.0.0"}))
    stage.append(1, application("b"))
    told = {0: str(other.reference), 1: str(other.reference)}
    ends_at = time.monotonic() + WAIT_S
    while stage.bundles() != told and time.monotonic() < ends_at:
        batch = link.poll(other.reference)
        if batch.offsets_next:
            link.publish(batch, score_batch(batch.records, other, RECORD_BYTES_MAX))
    assert link.settle()
    assert stage.bundles() == told
    assert stage.committed() == {0: 1, 1: 2}
    assert tally_of(link).records == 3
    link.close()
    again = stage.link()  # whoever takes over finds it said, and has nothing to add
    for _ in range(10):
        assert not again.poll(other.reference).offsets_next


def test_two_share_the_work(stage: Stage) -> None:
    """Partitions move to a member that joins, and back when it leaves; nothing is skipped or, exactly once, doubled."""
    first = stage.link()
    for i in range(20):
        stage.append(i % 2, application(f"a-{i}"))
    decide(first, 20)
    second = stage.link()
    sent = 20 + taking_turns(stage, (first, second))
    second.close()
    for i in range(10):
        stage.append(i % 2, application(f"c-{i}"))
    decide(first, 10)
    expected = {(i % 2, i // 2): 1 for i in range(sent + 10)}
    found = Counter(sources(stage.decisions()))
    assert found == expected if stage.delivery == "exactly-once" else found.keys() == expected.keys()


def taking_turns(stage: Stage, links: tuple[ClosableLink, ClosableLink]) -> int:
    """Two links in turn, a new application before each turn until both have decided some; returns how many there were.

    An even number, so that both partitions have as many.
    """
    counts = [0, 0]
    sent = 0
    ends_at = time.monotonic() + WAIT_S
    while (sum(counts) < sent or not all(counts) or sent % 2) and time.monotonic() < ends_at:
        if sent % 2 or not all(counts):
            stage.append(sent % 2, application(f"b-{sent}"))
            sent += 1
        for i, link in enumerate(links):
            batch = link.poll(BUNDLE.reference)
            if batch.offsets_next and publish(link, batch):
                counts[i] += len(batch.records)
    assert all(counts)
    assert sum(counts) == sent if stage.delivery == "exactly-once" else sum(counts) >= sent
    return sent
