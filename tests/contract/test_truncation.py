"""Records that the brokers lost after the group had processed them, and newer ones that have taken their offsets."""

from collections import Counter
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from scorer.local.apache_kafka import JavaBroker
from scorer.operate.offsets import OffsetsTool
from tests.contract.fake_link import Delivery
from tests.contract.stages import KafkaStage
from tests.contract.test_link import decide, work
from tests.contract.test_topic_identity import following, ids_of, publish_many, reset
from tests.fakes import Tally, application

pytestmark = pytest.mark.broker


def commit_more(stage: KafkaStage, more: int) -> None:
    """Commits as if the group had processed more records of partition 0, which an unclean election then removed."""
    with closing(Consumer({"bootstrap.servers": stage.servers, "group.id": stage.group_id})) as consumer:
        before = stage.offsets()[0]
        assert before.leader_epoch is not None
        assert before.leader_epoch >= 0, "a worker commits the leader's epoch with its offset"
        after = TopicPartition(before.topic, 0, before.offset + more, before.metadata or "", before.leader_epoch)
        (done,) = consumer.commit(offsets=[after], asynchronous=False) or []
        assert done.error is None


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_newer_records_at_the_offsets_of_lost_ones(own_broker: JavaBroker, delivery: Delivery) -> None:
    """They are decided, all of them and once, after the operator has accepted the loss; the other partition goes on.

    The group used to continue at its offset as soon as the partition had grown beyond it: the newer records before it
    were never decided, with a lag of 0 and no word in the log.
    """
    with closing(KafkaStage(own_broker.bootstrap_servers, delivery)) as stage:
        publish_many(stage, "before", 100)
        link = following(stage)
        decide(link, 100)
        link.close()
        commit_more(stage, 50)
        own_broker.restart()  # the leader of the records to come has another epoch
        publish_many(stage, "after", 300)
        stage.append(1, application("elsewhere"), b"key")
        seen = Tally()
        link = stage.link(observer=seen, refused=lambda: "")
        work(link, lambda: bool(link.blocked()) and seen.records == 1)
        assert "lost the records from offset 100 on, which the group had processed" in link.blocked()[0]
        link.close()
        with closing(OffsetsTool(stage.settings())) as tool:
            problems = [partition.problem for partition in tool.read().partitions]
        assert problems == ["the brokers lost the processed records from 100 on; newer ones reuse their offsets", ""]
        assert reset(stage) == [(0, 150, 100)]
        decide(following(stage), 300)
        assert Counter(ids_of(stage)) == Counter(
            [*(f"before-{n}" for n in range(100)), *(f"after-{n}" for n in range(300)), "elsewhere"]
        )
