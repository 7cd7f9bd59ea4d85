"""A read_committed reader of a topic, up to where it ends."""

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition


def read_to_the_end(servers: str, topic: str, partitions: int) -> Iterator[Message]:
    """Everything that is committed in a topic, up to where each partition ends.

    A partition's end is told again when more comes and is read, so partitions are crossed off, not counted.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    still_open = set(range(partitions))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in still_open])
    while still_open:
        for message in consumer.consume(10_000, 0.2):
            error = message.error()
            if error is None:
                yield message
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                still_open.discard(message.partition())
    consumer.close()
