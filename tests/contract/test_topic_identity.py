"""Topics that were deleted and created again under a group's offsets, and offsets that no worker can continue from."""

import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from scorer.errors import MisuseError, OffsetsError, TopicRecreatedError
from scorer.local.broker import Broker
from scorer.operate.offsets import OffsetsTool
from scorer.stream.kafka import KafkaLink
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from tests.contract.stages import WAIT_S, KafkaStage
from tests.contract.test_link import decide, sources, work
from tests.fakes import Tally, application

pytestmark = pytest.mark.broker


def following(stage: KafkaStage) -> KafkaLink:
    """A link of a worker that follows the deployments."""
    return stage.link(refused=lambda: "")


def publish_many(stage: KafkaStage, prefix: str, count: int) -> None:
    """So many applications, all in partition 0."""
    for number in range(count):
        stage.append_later(0, application(f"{prefix}-{number}"), b"key")
    stage.flush()


def recreate(stage: KafkaStage, kind: str) -> None:
    """Deletes a topic and creates it again at once, with the same name; returns when the broker knows the new one."""
    name = stage.names[f"{kind}_topic"]
    admin = AdminClient({"bootstrap.servers": stage.servers})
    before = id_of(admin, name)
    admin.delete_topics([name])[name].result(WAIT_S)
    while True:
        try:
            admin.create_topics([NewTopic(name, 2, 1)])[name].result(WAIT_S)
        except KafkaException as refused:  # the broker deletes it in a moment
            if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            break
    while id_of(admin, name) in {before, ""}:  # it was the controller that created it
        time.sleep(0.02)


def id_of(admin: AdminClient, name: str) -> str:
    """The id of a topic, as the broker knows it; empty if it knows none."""
    try:
        return str(admin.describe_topics(TopicCollection([name]))[name].result(WAIT_S).topic_id)
    except KafkaException as failure:
        if failure.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise
        return ""


def ids_of(stage: KafkaStage) -> list[str]:
    """The ids of the applications that were decided, in the order of the decisions."""
    return [json.loads(written.value or b"")["application_id"] for written in stage.decisions()]


def decide_one_by_one(stage: KafkaStage, link: KafkaLink) -> None:
    """Decides applications, each in a batch of its own; a busy broker may not answer the first question in time."""
    for _ in range(30):
        publish_many(stage, "b", 1)
        decide(link, 1)


def reset(stage: KafkaStage) -> list[tuple[int, int, int]]:
    """What an operator does; returns partition, offset before and after of each change."""
    with closing(OffsetsTool(stage.settings())) as tool:
        changes = tool.plan((), None)
        tool.reset(changes, wait_s=WAIT_S)
    return [(change.partition, change.before, change.after) for change in changes]


@pytest.fixture(params=["exactly-once", "at-least-once"])
def stage(request: pytest.FixtureRequest, broker: Broker) -> Iterator[KafkaStage]:
    """A real broker in both modes of delivery."""
    with closing(KafkaStage(broker.bootstrap_servers, request.param)) as real:
        yield real


@pytest.mark.parametrize("more", [True, False], ids=["more records than before", "fewer records than before"])
def test_recreated_under_a_running_worker(stage: KafkaStage, more: bool) -> None:
    """A worker whose topic is created again stops before it commits anything of the new one; a reset decides it whole.

    The group used to continue at its old offsets: that many of the new topic's records were never decided, with a lag
    of 0 and no word in the log.
    """
    publish_many(stage, "old", 300)
    link = following(stage)
    decide(link, 300)
    recreate(stage, "applications")
    count = 400 if more else 100
    publish_many(stage, "new", count)
    with pytest.raises(TopicRecreatedError, match=r"was deleted and created again: .* run `scorer offsets reset`"):
        decide(link, 1) if more else work(link, lambda: False)
    link.close()
    with pytest.raises(TopicRecreatedError):
        following(stage)
    reset(stage)
    decide(following(stage), count)
    new = [name for name in ids_of(stage) if name.startswith("new")]
    assert set(new) == {f"new-{number}" for number in range(count)}
    # At least once, decisions are published before the commit that the new topic refuses.
    assert stage.delivery == "at-least-once" or len(new) == count


def test_recreated_while_no_worker_runs(stage: KafkaStage) -> None:
    """A worker that starts after its topic was created again stops too, although the brokers forgot the offsets.

    They delete a group's offsets together with the topic; the mark on the deployments topic remembers.
    """
    publish_many(stage, "old", 10)
    link = following(stage)
    decide(link, 10)
    link.close()
    recreate(stage, "applications")
    publish_many(stage, "new", 5)
    with pytest.raises(TopicRecreatedError, match=stage.names["applications_topic"]):
        following(stage)
    reset(stage)
    decide(following(stage), 5)
    # In any order: the publisher's client may be told of the new topic in the middle of its first records.
    new = sorted(name for name in ids_of(stage) if name.startswith("new"))
    assert new == [f"new-{number}" for number in range(5)]


@pytest.mark.parametrize("kind", ["decisions", "dead_letters", "deployments"])
def test_another_topic_recreated(stage: KafkaStage, kind: str) -> None:
    """An output or deployments topic that is another one stops a start, and a reset accepts it without moving offsets.

    A deployments topic that was created again has no history: the default bundle would decide in the champion's place.
    """
    publish_many(stage, "a", 10)
    link = following(stage)
    decide(link, 10)
    link.close()
    recreate(stage, kind)
    publish_many(stage, "b", 5)
    with pytest.raises(TopicRecreatedError, match=stage.names[f"{kind}_topic"]):
        following(stage)
    assert reset(stage) == []
    decide(following(stage), 5)
    assert stage.committed()[0] == 15


def test_output_topic_recreated_under_a_running_worker(stage: KafkaStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running worker looks at its other topics every few seconds, and stops in the same way."""
    monkeypatch.setattr("scorer.stream.topic_ids._ALL_TOPICS_S", 0.0)
    publish_many(stage, "a", 10)
    link = following(stage)
    decide(link, 10)
    recreate(stage, "decisions")
    with pytest.raises(TopicRecreatedError, match=stage.names["decisions_topic"]):
        decide_one_by_one(stage, link)


def test_offsets_of_a_tool_are_believed(stage: KafkaStage) -> None:
    """Offsets without our metadata, as Kafka's own tools commit them, are continued from."""
    publish_many(stage, "a", 10)
    link = stage.link()
    decide(link, 10)
    link.close()
    with closing(OffsetsTool(stage.settings())) as tool:
        assert [p.problem for p in tool.read().partitions] == ["", ""]
    assert reset(stage) == []


def test_reset_moves_expired_partitions_alone(stage: KafkaStage) -> None:
    """A reset moves the partition whose offset is gone to the first record that is left, and no other one."""
    for partition in (0, 1):
        for number in range(8):
            stage.append(partition, application(f"a-{partition}-{number}"))
    link = stage.link()
    decide(link, 16)
    link.close()
    for partition in (0, 1):
        for number in range(8):
            stage.append(partition, application(f"b-{partition}-{number}"))
    stage.expire(0, 12)
    with closing(OffsetsTool(stage.settings())) as tool:
        offsets = tool.read()
        assert [p.committed for p in offsets.partitions] == [8, 8]
        assert [p.lag for p in offsets.partitions] == [4, 8]
        assert offsets.partitions[0].problem == "retention deleted 4 records that were never processed"
        assert offsets.partitions[1].problem == ""
    assert reset(stage) == [(0, 8, 12)]
    decide(stage.link(), 12)
    assert sorted(set(sources(stage.decisions()))) == [
        *((0, n) for n in [*range(8), *range(12, 16)]), *((1, n) for n in range(16)),
    ]  # fmt: skip


def test_reset_of_a_group_that_runs(stage: KafkaStage) -> None:
    """While a worker is a member nothing is changed; the message says what to do."""
    stage.append(0, application("a"))
    decide(stage.link(), 1)
    with closing(OffsetsTool(stage.settings())) as tool:
        changes = tool.plan([0], to_offset=0)
        with pytest.raises(OffsetsError, match=r"has 1 members: stop its workers"):
            tool.reset(changes, wait_s=0)
    assert stage.committed()[0] == 1


def test_reset_to_an_offset(stage: KafkaStage) -> None:
    """An operator may choose the offset of one partition; one that is not there is refused with those that are."""
    publish_many(stage, "a", 10)
    link = stage.link()
    decide(link, 10)
    link.close()
    with closing(OffsetsTool(stage.settings())) as tool:
        with pytest.raises(MisuseError, match="--to-offset 11: partition 0 has offsets from 0 to 10"):
            tool.plan([0], to_offset=11)
        with pytest.raises(MisuseError, match="has partitions 0 to 1, not 2, 7"):
            tool.plan([7, 2], to_offset=0)
        tool.reset(tool.plan([0], to_offset=8), wait_s=WAIT_S)
    decide(stage.link(), 2)


def test_observer_is_told_of_blocked_partitions(stage: KafkaStage) -> None:
    """A blocked partition is told once with its reason, which names the command that resets it alone."""

    class Listener(Tally):
        def __init__(self) -> None:
            super().__init__()
            self.reasons: list[dict[int, str]] = []

        def blocked(self, partitions: object) -> None:
            assert isinstance(partitions, dict)
            self.reasons.append(partitions)

    stage.append(0, application("a"))
    link = stage.link()
    decide(link, 1)
    link.close()
    for number in range(3):
        stage.append(0, application(f"b-{number}"))
    stage.expire(0, 3)
    listener = Listener()
    link = stage.link(observer=listener)
    work(link, lambda: bool(listener.reasons))
    (told,) = listener.reasons
    assert "retention deleted 2 records that were never processed; the first remaining one is 3" in told[0]
    assert "`scorer offsets reset --partition 0`" in told[0]
    link.close()
    assert listener.reasons[-1] == {}


def test_metadata_of_the_committed_offsets(stage: KafkaStage) -> None:
    """Each committed offset names the bundle, the id of each topic, and why the deployed bundle does not decide."""
    stage.append(0, application("a"))
    link = stage.link(refused=lambda: "credit-risk:9.9.9: no such bundle")
    decide(link, 1)
    (offset,) = [tp for tp in stage.offsets() if tp.partition == 0]
    found = decode_metadata(offset.metadata)
    assert found.bundle.startswith("tiny:1.0.0@")
    assert set(found.topic_ids) == set(stage.names.values())
    assert found.refused == "credit-risk:9.9.9: no such bundle"
    assert found == CommittedMetadata(found.bundle, found.topic_ids, found.refused)
