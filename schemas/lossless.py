"""Properties of a Kafka producer that neither loses nor duplicates acknowledged records, each with its reason."""

from collections.abc import Mapping
from typing import Final

LOSSLESS: Final[Mapping[str, str | int | bool]] = {
    "enable.idempotence": True,
    "acks": "all",
    # librdkafka takes the success of a batch as proof that the previous batch was written. It was not if the broker
    # rejected it and then became the partition's leader: a new partition, or one that moves.
    "max.in.flight.requests.per.connection": 1,
}
