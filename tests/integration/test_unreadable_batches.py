"""Record batches that cannot be read: every reader passes them, says so, and reads what follows."""

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from producer.settings import Settings as PublisherSettings
from producer.tail import TopicTail
from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from schemas.records import Malformed
from scorer.local.audit import Audit
from scorer.local.broker import Broker
from scorer.operate.reading import Skipped, TopicReader
from tests.integration.readers import following, forge, settings_of, watched
from tests.integration.worker_process import WAIT_S, Topics, wait_until

pytestmark = pytest.mark.broker
SOUND = dump_application(APPLICATIONS["plain"], shipped_contract())
SMALL_MEMORY = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1100000"}  # 64 MB in production


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own, with one partition each."""
    return Topics(broker.bootstrap_servers, 1)


def large_producer(topics: Topics) -> Producer:
    """Sends what it is given as one batch, compressed to some kilobytes."""
    config = {"bootstrap.servers": topics.servers, "compression.type": "zstd", "linger.ms": 60_000}
    producer = Producer(config | {"message.max.bytes": 100_000_000, "batch.size": 100_000_000})
    for topic in (topics.applications, topics.decisions, topics.dead_letters):
        # If a flush begins before the topic is known, the records are handed over, and sent, one after another.
        producer.list_topics(topic, timeout=WAIT_S)
    return producer


def test_a_batch_among_the_results_that_cannot_be_read(topics: Topics) -> None:
    """The console ended its reading at such a batch and missed what came with it; the audit waited for ever.

    Both count it, and what is written after it.
    """
    settings = settings_of(topics).model_copy(update={"kafka": SMALL_MEMORY})
    large = large_producer(topics)
    reported: list[Malformed] = []
    with closing(Audit(settings, report=reported.append)) as audit, following(settings) as live:
        for number in (1, 2):
            for topic in (topics.decisions, topics.dead_letters):
                large.produce(topic, b"A" * 3_000_000, partition=0)
            assert large.flush(WAIT_S) == 0
            forge(topics)
            wait_until(lambda n=number: live.state()["skipped"] == 2 * n, "the console counts the batches")  # type: ignore[misc]
            wait_until(lambda n=number: sum(live.state()["codes"].values()) == 2 * n, "and the dead letters")  # type: ignore[misc]
            wait_until(lambda n=number: (audit.skipped.count, audit.unmatched) == (2 * n, 4 * n), "so does the audit")  # type: ignore[misc]
        audit.require_running()
    assert str(audit.skipped.first[0]).partition(": ")[2].startswith("unreadable record batch up to offset 0: ")
    assert reported == audit.skipped.first, "each is reported once"


@pytest.mark.parametrize("records", [1, 3])
def test_a_batch_that_cannot_be_read(topics: Topics, records: int) -> None:
    """A batch of some kilobytes that takes too much memory is passed and counted; readings waited for it and ended.

    Whoever may publish could keep every replay from reading the applications.
    """
    settings = settings_of(topics).model_copy(update={"kafka": SMALL_MEMORY})
    large = large_producer(topics)
    for number in range(3):
        topics.publish(SOUND)
        for _ in range(records if number < 2 else 0):
            large.produce(topics.applications, b"A" * (3_000_000 // records), partition=0)
        assert large.flush(WAIT_S) == 0
    skipped = Skipped()
    with closing(TopicReader(settings, topics.applications, skipped)) as reader:
        for begin, found, count in ((0, 3, 2), (1, 2, 2), (records + 1, 2, 1), (2 * records + 2, 1, 0)):
            before = skipped.count
            read = [r.offset() for records_ in reader.read({0: (begin, 2 * records + 3)}) for r in records_]
            assert read == [0, records + 1, 2 * records + 2][-found:]
            assert skipped.count - before == count
        assert list(reader.read({0: (1, records + 1)})) == [], "nothing but the batch"
        (after,) = next(reader.read({0: (records, records + 2)}))
        assert after.offset() == records + 1, "begun inside of the batch"
    assert str(skipped.first[0]).startswith(
        f"{topics.applications}[0]@1: unreadable record batch up to offset {records}: "
    )


def test_watch_passes_a_batch_that_cannot_be_read(topics: Topics, tmp_path: Path) -> None:
    """`producer watch` ended at such a batch: it passes it, reports it once, and shows what follows."""
    large = large_producer(topics)
    for topic in (topics.decisions, topics.dead_letters):
        for _ in range(2):
            large.produce(topic, b"A" * 1_500_000, partition=0)
    assert large.flush(WAIT_S) == 0
    forge(topics)
    options = [option for name, value in SMALL_MEMORY.items() for option in ("--kafka", f"{name}={value}")]
    assert watched(topics, tmp_path, 4, *options) == ["forged"] * 4
    reported = [line for line in (tmp_path / "watch.err").read_text().splitlines() if line.startswith("skipped: ")]
    assert sorted(line.split(": ")[1:3] for line in reported) == [
        [f"{topic}[0]@0", "unreadable record batch up to offset 1"]
        for topic in sorted((topics.decisions, topics.dead_letters))
    ]


def test_a_wait_for_a_decision_passes_a_batch_that_cannot_be_read(
    topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    """A publisher that waits for a decision gets what follows such a batch, and a warning about the batch."""
    settings = PublisherSettings(bootstrap_servers=topics.servers, kafka=SMALL_MEMORY)
    with TopicTail(settings, [topics.decisions, topics.dead_letters]) as tail:
        topics.publish(b"before", topic=topics.decisions)
        large = large_producer(topics)
        large.produce(topics.decisions, b"A" * 3_000_000, partition=0)
        assert large.flush(WAIT_S) == 0
        topics.publish(b"after", topic=topics.decisions)
        read = [message.value() for _ in range(3) if (message := tail.poll(WAIT_S)) is not None]
    assert read == [b"before", b"after"]
    (warning,) = caplog.messages
    assert warning.startswith(f"skipped: {topics.decisions}[0]@1: unreadable record batch up to offset 1: ")
