"""Where the suite plays: an applications topic with a Link on it, and what a read_committed reader sees of the rest."""

import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from scorer.settings import Settings, load_settings
from scorer.stream.kafka import KafkaLink
from scorer.stream.metadata import decode_metadata
from scorer.stream.observer import Observer
from scorer.stream.worker import Link
from tests.contract.fake_link import Delivery, FakeKafka, FakeLink, Fault, Written
from tests.fakes import Headers, Tally
from tests.reading import read_to_the_end

WAIT_S = 60.0
"""For what takes a moment on an idle machine."""


class ClosableLink(Link, Protocol):
    """A Link that can leave the group, with the observer that it tells."""

    @property
    def observer(self) -> Observer: ...
    def blocked(self) -> dict[int, str]: ...
    def close(self) -> None: ...


class Stage(Protocol):
    """A broker with one set of topics of two partitions, as the suite needs it."""

    delivery: Delivery

    def link(self, instance_id: str | None = None) -> ClosableLink:
        """A Link in the group; closed at the end by the stage."""
        ...

    def append(self, partition: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> None:
        """Publishes an application."""
        ...

    def append_marker(self, partition: int) -> None:
        """Leaves a transaction marker on the applications topic, and nothing else that anybody sees."""
        ...

    def expire(self, partition: int, before: int) -> None:
        """Retention deletes the records before an offset."""
        ...

    def fail_next_commit(self, link: ClosableLink) -> None:
        """The next publish of this link is refused at its commit, in a way that passes."""
        ...

    def decisions(self) -> list[Written]: ...
    def dead_letters(self) -> list[Written]: ...
    def committed(self) -> dict[int, int]: ...

    def bundles(self) -> dict[int, str]:
        """By partition, the bundle that its committed offset names."""
        ...


class FakeStage:
    """The stage in memory."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.kafka = FakeKafka()
        self.append = self.kafka.append
        self.append_marker = self.kafka.append_marker
        self._failing: set[int] = set()

    def link(self, instance_id: str | None = None) -> FakeLink:
        stage = self

        class Planned:
            """Fails the commit that it was told to."""

            def in_publish(self) -> Fault | None:
                if id(self) not in stage._failing:
                    return None
                stage._failing.remove(id(self))
                return Fault.ABORT

            def rebalance_during_poll(self) -> bool:
                return False

        return FakeLink(self.kafka, self.delivery, instance_id=instance_id, faults=Planned())

    def expire(self, partition: int, before: int) -> None:
        self.kafka.expired_below[partition] = before

    def fail_next_commit(self, link: ClosableLink) -> None:
        assert isinstance(link, FakeLink)
        self._failing.add(id(link.faults))

    def decisions(self) -> list[Written]:
        return list(self.kafka.decisions)

    def dead_letters(self) -> list[Written]:
        return list(self.kafka.dead_letters)

    def committed(self) -> dict[int, int]:
        return dict(self.kafka.committed)

    def bundles(self) -> dict[int, str]:
        return dict(self.kafka.stamps)


class _RefusingProducer(Producer):
    """A producer that refuses the next call of each method that `refused` names."""

    refused: ClassVar[set[str]]

    def send_offsets_to_transaction(self, *arguments: Any) -> Any:
        self._refuse("send_offsets_to_transaction")
        return super().send_offsets_to_transaction(*arguments)

    def flush(self, *arguments: Any) -> Any:
        self._refuse("flush")
        return super().flush(*arguments)

    def abort_transaction(self, *arguments: Any) -> Any:
        """If this failed in an `except` block, the client would keep the exception, and with it the whole batch."""
        assert sys.exc_info()[1] is None, "a batch is aborted in an except block"
        return super().abort_transaction(*arguments)

    def _refuse(self, name: str) -> None:
        if name in self.refused:
            self.refused.remove(name)
            raise KafkaException(
                KafkaError(KafkaError.ILLEGAL_GENERATION, "a test refuses this", txn_requires_abort=True)
            )


class KafkaStage:
    """The stage on a real broker, with topics and a group of its own."""

    def __init__(self, servers: str, delivery: Delivery, topic_config: Mapping[str, str] | None = None) -> None:
        self.servers = servers
        self.delivery = delivery
        self.names = {f"{kind}_topic": f"{kind}-{uuid.uuid4().hex[:12]}" for kind in _TOPICS}
        self.group_id = f"group-{uuid.uuid4().hex[:12]}"
        self._links: dict[KafkaLink, set[str]] = {}
        """Each link, with the calls that its producer refuses next."""
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "message.max.bytes": 8_000_000})
        new = [NewTopic(name, 2, 1, config=dict(topic_config or {})) for name in self.names.values()]
        for future in self._admin.create_topics(new).values():
            future.result(WAIT_S)

    def settings(self, **changes: object) -> Settings:
        """Settings for this stage, quick to notice a dead worker."""
        kafka = changes.pop("kafka", {})
        assert isinstance(kafka, Mapping)
        flags = {"bootstrap_servers": self.servers, "group_id": self.group_id, "delivery": self.delivery, **self.names}
        quick = (
            {}
            if kafka.get("group.protocol") == "consumer"
            else {"session.timeout.ms": "6000", "heartbeat.interval.ms": "300"}
        )
        return load_settings({**flags, **changes, "kafka": {**quick, **kafka}}, environment={}).settings

    def link(
        self,
        instance_id: str | None = None,
        observer: Tally | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        refused: Callable[[], str] | None = None,
        **changes: object,
    ) -> KafkaLink:
        settings = self.settings(instance_id=instance_id, **changes)
        calls: set[str] = set()

        class RefusingProducer(_RefusingProducer):
            refused = calls

        class StagedLink(KafkaLink):
            producer_class = RefusingProducer

        link = StagedLink(settings, observer or Tally(), should_stop, refused=refused)
        self._links[link] = calls
        return link

    def close(self) -> None:
        """Closes every link that a test opened, and lets go of the clients; what was written can still be read."""
        for link in self._links:
            link.close()
        # The Kafka client never frees an exception that was raised in its callback, nor the frames that it went
        # through, the test's among them: a client in those would knock on after its broker has gone.
        del self._admin, self._producer

    def append(self, partition: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> None:
        self._append(self._producer, partition, value, key, headers)
        assert self._producer.flush(WAIT_S) == 0

    def append_later(self, partition: int, value: bytes, key: bytes) -> None:
        """Publishes an application once `flush` is called."""
        self._append(self._producer, partition, value, key, ())

    def flush(self) -> None:
        """Waits until what was appended is there."""
        assert self._producer.flush(WAIT_S) == 0

    def append_marker(self, partition: int) -> None:
        producer = Producer({"bootstrap.servers": self.servers, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        self._append(producer, partition, b"never sent", None, ())
        assert producer.flush(WAIT_S) == 0
        producer.abort_transaction(WAIT_S)

    def expire(self, partition: int, before: int) -> None:
        where = TopicPartition(self.names["applications_topic"], partition, before)
        for future in self._admin.delete_records([where]).values():
            future.result(WAIT_S)

    def fail_next_commit(self, link: ClosableLink) -> None:
        assert isinstance(link, KafkaLink)
        self._links[link].add("send_offsets_to_transaction" if self.delivery == "exactly-once" else "flush")

    def decisions(self) -> list[Written]:
        return self._read(self.names["decisions_topic"])

    def dead_letters(self) -> list[Written]:
        return self._read(self.names["dead_letters_topic"])

    def committed(self) -> dict[int, int]:
        return {tp.partition: tp.offset for tp in self.offsets()}

    def bundles(self) -> dict[int, str]:
        return {tp.partition: decode_metadata(tp.metadata).bundle for tp in self.offsets()}

    def offsets(self) -> list[TopicPartition]:
        """What the group has committed, with its metadata."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.group_id})
        wanted = [TopicPartition(self.names["applications_topic"], partition) for partition in range(2)]
        ends_at = time.monotonic() + WAIT_S
        while True:
            try:
                found = consumer.committed(wanted, timeout=WAIT_S)
                break
            except KafkaException:  # a group that is new to a new broker has no coordinator yet
                assert time.monotonic() < ends_at
        consumer.close()
        return [tp for tp in found if tp.offset >= 0]

    def _append(
        self, producer: Producer, partition: int, value: bytes | None, key: bytes | None, headers: Headers
    ) -> None:
        topic = self.names["applications_topic"]
        producer.produce(topic, value, key=key, partition=partition, headers=list(headers))

    def _read(self, topic: str) -> list[Written]:
        """Everything that is committed in a topic, up to its end."""
        return [
            Written(message.key(), message.value(), tuple(cast("Headers", message.headers() or ())))
            for message in read_to_the_end(self.servers, topic, partitions=2)
        ]


_TOPICS = ("applications", "decisions", "dead_letters", "deployments")
