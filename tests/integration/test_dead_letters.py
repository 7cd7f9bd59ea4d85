"""Dead letters on a real broker: listed, shown, and put back once, whoever asks however often."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import Producer

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from schemas.records import DeadLetter, Mark, Position
from scorer.errors import DeadLetterError
from scorer.local.audit import Audit
from scorer.local.broker import Broker
from scorer.operate import dead_letters
from scorer.operate.dead_letters import Progress, Requeued, find_mark, read_dead_letters, requeue
from scorer.operate.operators import open_writer
from scorer.settings import Settings, load_settings
from scorer.stream.rights import requeue_writer
from tests.dead_letters import set_aside
from tests.integration.worker_process import WAIT_S, Topics, headers_of, scorer, wait_until, worker

pytestmark = pytest.mark.broker
MARKER = "basement-of-a-person"
HOSTILE = b'{"home":"\x1b[2J' + MARKER.encode() + b'"}'
SOUND = dump_application(APPLICATIONS["plain"], shipped_contract())


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own."""
    return Topics(broker.bootstrap_servers, 2)


def test_from_the_worker_and_back(topics: Topics, tmp_path: Path) -> None:
    """What a worker sets aside is listed without values, shown with its value on demand, and goes back as it came.

    It goes to its own partition with its own key, and the worker decides on it again: it becomes another dead letter.
    """
    assert scorer(topics, "dlq", "list") == (0, "no dead letters\n", "")
    with worker(topics, tmp_path / "w.log") as running:
        topics.publish(HOSTILE, partition=1)
        topics.publish(b"", partition=0)
        wait_until(lambda: topics.count(topics.dead_letters) == 2, "two dead letters")
        code, output, _ = scorer(topics, "dlq", "list", "--json")
        listed = json.loads(output)
        assert code == 0
        assert listed["counts"] == {"not_json": 1, "empty": 1}
        assert MARKER not in output
        (dead_letter,) = [letter for letter in listed["dead_letters"] if letter["code"] == "not_json"]
        assert dead_letter["source"] == f"{topics.applications}:1:0"
        assert dead_letter["bytes"] == len(HOSTILE)
        assert dead_letter["requeued"] is None
        code, output, _ = scorer(topics, "dlq", "show", dead_letter["position"])
        assert code == 0
        assert MARKER not in output
        assert "show it with --value" in output
        code, output, _ = scorer(topics, "dlq", "show", dead_letter["position"], "--value")
        assert MARKER in output
        assert "\x1b" not in output, "what somebody published must not command the terminal"
        assert json.loads(scorer(topics, "dlq", "show", dead_letter["position"], "--value", "--json")[1])["value"] == (
            HOSTILE.decode()
        )
        code, output, _ = scorer(topics, "dlq", "requeue", dead_letter["position"], "--actor", "ana")
        assert (code, output) == (0, f"1 requeued to {topics.applications}\n")
        wait_until(lambda: topics.count(topics.dead_letters) == 4, "its mark, and the dead letter that came of it")
        assert running.terminate() == 0
    back = [m for m in topics.read(topics.applications) if m.headers()]
    assert [(m.partition(), m.key(), m.value()) for m in back] == [(1, b"key", HOSTILE)]
    assert headers_of(back[0]) == {"requeued-from": f"{topics.dead_letters}:{dead_letter['position']}".encode()}
    listed = json.loads(scorer(topics, "dlq", "list", "--code", "not_json", "--json")[1])["dead_letters"]
    assert {letter["position"] for letter in listed if letter["requeued"] is None} != {dead_letter["position"]}
    (second,) = [letter for letter in listed if letter["position"] == dead_letter["position"]]
    assert second["requeued"]["actor"] == "ana"
    assert "requeued by ana" in scorer(topics, "dlq", "list")[1]


def test_each_dead_letter_is_requeued_once(topics: Topics) -> None:
    """Asked again, a requeue leaves alone what was put back and says by whom; what came since goes back."""
    for _ in range(3):
        set_aside(topics, SOUND)
    set_aside(topics, b"[]", code="not_an_object")
    code, output, _ = scorer(topics, "dlq", "requeue", "--code", "model_error", "--actor", "ana")
    assert (code, output) == (0, f"3 requeued to {topics.applications}\n")
    set_aside(topics, SOUND)
    code, output, _ = scorer(topics, "dlq", "requeue", "--code", "model_error", "--json")
    report = json.loads(output)
    assert code == 0
    assert len(report["requeued"]) == 1
    assert [before["actor"] for before in report["requeued_before"]] == ["ana"] * 3
    assert topics.count(topics.applications) == 4
    assert {m.partition() for m in topics.read(topics.applications)} == {1}
    assert {headers_of(m)["traceparent"] for m in topics.read(topics.applications)} == {b"00-ab"}
    code, output, errors = scorer(topics, "dlq", "requeue", "0:0", "0:999")
    assert code == 1
    assert "0 requeued" in output
    assert "0:0 was already requeued by ana" in output
    assert "0:999: no dead letter found" in errors


def test_an_audit_passes_over_marks(topics: Topics) -> None:
    """Whoever counts dead letters beside a requeue counts dead letters: what comes behind a mark is still read."""
    settings = load_settings(environment=environment_of(topics)).settings
    with closing(Audit(settings)) as audit:
        for partition in range(2):  # their applications: dead letters of nothing that was published do not count
            topics.publish(*[SOUND] * 4, partition=partition)
        set_aside(topics, SOUND)
        assert len(requeue(settings, lambda _: True, "ana").requeued) == 1
        set_aside(topics, SOUND, code="empty", partition=0)
        wait_until(lambda: audit.rejections == {"model_error": 1, "empty": 1}, "both dead letters are counted")
        wait_until(lambda: audit.published == 9, "what was put back is an application")


def test_operators_at_the_same_moment(topics: Topics) -> None:
    """However many put the same ones back at once, each goes back once; who was too late is told."""
    for _ in range(20):
        set_aside(topics, SOUND)
    settings = load_settings(environment=environment_of(topics)).settings
    ended: list[Requeued | DeadLetterError] = []

    def operate() -> None:
        try:
            ended.append(requeue(settings, lambda _: True, "somebody"))
        except DeadLetterError as refusal:
            ended.append(refusal)

    threads = [Thread(target=operate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [outcome for outcome in ended if isinstance(outcome, Requeued)]
    refused = [str(outcome) for outcome in ended if isinstance(outcome, DeadLetterError)]
    assert len(done) + len(refused) == len(threads)
    assert all("another operator requeued at the same time" in text for text in refused)
    requeue(settings, lambda _: True, "at last")
    counts = Counter(headers_of(m)["requeued-from"] for m in topics.read(topics.applications))
    assert len(counts) == 20
    assert set(counts.values()) == {1}


def test_an_operator_who_is_fenced_while_records_are_produced(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Librdkafka may know it before the transaction is committed; the error is the same, and nothing is requeued."""
    set_aside(topics, *[b"{}"] * 3)
    settings = load_settings(environment=environment_of(topics)).settings
    produce_one = dead_letters._requeue_one

    def fence_and_produce(settings: Settings, producer: Producer, letter: DeadLetter, actor: str) -> None:
        produce_one(settings, producer, letter, actor)
        if letter.position.offset == 0:
            open_writer(settings, requeue_writer(settings)).init_transactions(WAIT_S)
            return
        ends_at = time.monotonic() + WAIT_S
        while time.monotonic() < ends_at:  # until the broker's answer is known
            produce_one(settings, producer, letter, actor)
            time.sleep(0.01)

    monkeypatch.setattr(dead_letters, "_requeue_one", fence_and_produce)
    with pytest.raises(DeadLetterError, match="another operator requeued at the same time"):
        requeue(settings, lambda _: True, "ana")
    assert topics.count(topics.applications) == 0


def test_a_requeue_that_is_stopped(topics: Topics) -> None:
    """It reports each transaction, and ends between two of them; the next requeue does the rest, and none twice."""
    set_aside(topics, *[SOUND] * 2_500)
    settings = load_settings(environment=environment_of(topics)).settings
    reported: list[Progress] = []
    first = requeue(settings, lambda _: True, "ana", reported.append, lambda: len(reported) > 1)
    assert [(len(progress.committed), progress.total) for progress in reported] == [(0, 2_500), (1_000, 2_500)]
    assert first.requeued == reported[1].committed
    assert topics.count(topics.applications) == 1_000
    second = requeue(settings, lambda _: True, "ben", reported.append)
    assert [(len(progress.committed), progress.total) for progress in reported[2:]] == [
        (0, 1_500), (1_000, 1_500), (500, 1_500),
    ]  # fmt: skip
    assert {mark.actor for mark in second.requeued_before} == {"ana"}
    assert sorted(first.requeued + second.requeued) == [Position(0, offset) for offset in range(2_500)]
    counts = Counter(headers_of(m)["requeued-from"] for m in topics.read(topics.applications))
    assert (len(counts), set(counts.values())) == (2_500, {1})


def test_a_failure_requeues_nothing_and_marks_nothing(topics: Topics) -> None:
    """Where one of several cannot go back, none of its transaction does, and the message says what to do."""
    set_aside(topics, SOUND)
    set_aside(topics, SOUND, topic="of-somebody-else")
    code, _, errors = scorer(topics, "dlq", "requeue", "--code", "model_error")
    assert code == 1
    assert "came from topic of-somebody-else" in errors
    assert "nothing was requeued" in errors
    assert topics.count(topics.applications) == 0
    assert not any(isinstance(record, Mark) for record in read(topics))


def test_a_record_that_fits_only_compressed_is_requeued(topics: Topics) -> None:
    """Its topic took it from a publisher that compresses, and refused it when it came back."""
    large = SOUND[:-1] + b', "padding": "' + b"A" * 2_000_000 + b'"}'
    set_aside(topics, large, code="too_large")
    set_aside(topics, SOUND, code="too_large")
    assert scorer(topics, "dlq", "requeue", "--code", "too_large")[0] == 0
    assert {message.value() for message in topics.read(topics.applications)} == {large, SOUND}


def test_a_pointer_is_left_alone(topics: Topics) -> None:
    """A dead letter without a copy of its record put an empty record onto the input topic when it was requeued."""
    headers: list[tuple[str, str | bytes | None]] = [("dlq.code", "too_large"), ("dlq.topic", topics.applications)]
    headers += [("dlq.partition", "1"), ("dlq.offset", "3"), ("dlq.pointer", f"{topics.applications}:1:3")]
    producer = Producer({"bootstrap.servers": topics.servers})
    producer.produce(topics.dead_letters, None, b"a-1001", partition=0, headers=headers)
    assert producer.flush(WAIT_S) == 0
    set_aside(topics, SOUND, code="too_large")
    code, output, errors = scorer(topics, "dlq", "requeue", "--code", "too_large")
    assert (code, output) == (0, f"1 requeued to {topics.applications}\n")
    assert f"0:0 has no copy of its record ({topics.applications}:1:3): skipped" in errors
    assert [message.value() for message in topics.read(topics.applications)] == [SOUND]
    assert scorer(topics, "dlq", "requeue", "0:0")[0] == 1
    assert json.loads(scorer(topics, "dlq", "show", "0:0", "--json")[1])["pointer"] == f"{topics.applications}:1:3"


def environment_of(topics: Topics) -> dict[str, str]:
    """Its settings alone."""
    return {name: value for name, value in topics.environment().items() if name.startswith("SCORER_")}


def read(topics: Topics, **options: object) -> Iterator[DeadLetter | Mark]:
    """What the library reads."""
    return read_dead_letters(load_settings(environment=environment_of(topics)).settings, **options)  # type: ignore[arg-type]


def test_only_a_part_is_read(topics: Topics) -> None:
    """`since` passes over what is older, `newest` over all but the last offsets."""
    for code in ("empty", "not_json", "not_utf8"):
        set_aside(topics, b"", code=code)
    assert [dead_letter.position for dead_letter in read(topics, newest=1)] == [Position(0, 2)]
    assert list(read(topics, since=datetime(2100, 1, 1, tzinfo=UTC))) == []
    assert len(list(read(topics, since=datetime(2020, 1, 1, tzinfo=UTC)))) == 3
    kind, output, _ = scorer(topics, "dlq", "list", "--since", "2100-01-01")
    assert (kind, output) == (0, "no dead letters since 2100-01-01\n")
    kind, output, _ = scorer(topics, "dlq", "list", "--newest", "1", "--json")
    assert json.loads(output)["counts"] == {"empty": 1, "not_json": 1, "not_utf8": 1}
    assert [letter["code"] for letter in json.loads(output)["dead_letters"]] == ["not_utf8"]


def test_the_mark_of_a_dead_letter(topics: Topics) -> None:
    """It is found by its position among the newest offsets; an older one, or none, is not."""
    settings = load_settings(environment=environment_of(topics)).settings
    set_aside(topics, SOUND, SOUND)
    requeue(settings, lambda letter: letter.position.offset == 0, "ana")
    mark = find_mark(settings, Position(0, 0), newest=100)
    assert mark is not None
    assert mark.actor == "ana"
    assert find_mark(settings, Position(0, 0), newest=1) is None, "only the marker of the transaction is read"
    assert find_mark(settings, Position(0, 1), newest=100) is None
    assert find_mark(settings, Position(9, 0), newest=100) is None


def test_nothing_at_that_place(topics: Topics) -> None:
    """A place without a dead letter, behind the end or of another partition is one message."""
    set_aside(topics, b"", code="empty")
    for position in ("0:7", "5:0", "1:0"):
        code, _, errors = scorer(topics, "dlq", "show", position)
        assert code == 1
        assert f"no dead letter at {position}" in errors
