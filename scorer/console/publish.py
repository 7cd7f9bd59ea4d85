"""Publishing a try: one application onto the input topic, confirmed, under an id of its own."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.files import dump_application
from schemas.rights import Operation, to_topic
from scorer.console.form import GIVEN_HERE
from scorer.errors import BrokerError, MisuseError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.librdkafka import LOSSLESS, client_config, refuse_bad_config
from scorer.stream.reaching import unreachable

_DELIVERY_MS: Final = 10_000
_SLICE_S: Final = 0.05

ID_PREFIX: Final = "try-"


def read_try(body: bytes) -> dict[str, Any]:
    """The application that a page sent, under a new id; whether it is sound is the scorer's to say.

    Raises:
        MisuseError: it is no JSON object.
    """
    try:
        given = json.loads(body)
    except UnicodeDecodeError:
        raise MisuseError("this is not UTF-8, so it is no application") from None
    except json.JSONDecodeError as error:
        raise MisuseError(f"this is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise MisuseError("this is JSON with a number of too many digits, or it nests too deep") from None
    if not isinstance(given, Mapping):
        raise MisuseError("this is JSON but no object: an application is {…} with the contract's fields")
    return {**given, GIVEN_HERE: ID_PREFIX + secrets.token_hex(6)}


class TryPublisher:
    """Puts tries onto the applications topic; several threads may use it at once."""

    def __init__(self, settings: Settings) -> None:
        """Opens the client, which connects by and by.

        Raises:
            SettingsError: a librdkafka property is wrong.
        """
        self._settings = settings
        config: dict[str, Any] = client_config(settings) | {
            "partitioner": "murmur2_random",  # as every publisher here: a key has one partition, whoever sends
            "message.timeout.ms": str(_DELIVERY_MS),  # longer, and whoever waits at the page would have given up
            "linger.ms": "0",
            **LOSSLESS,
        }
        with refuse_bad_config():
            self._producer = Producer(config)

    def publish(self, application: Mapping[str, Any]) -> dict[str, Any]:
        """Publishes an application and waits until the broker has it.

        Returns:
            Its record's topic, partition and offset.

        Raises:
            MisuseError: it cannot be written as JSON.
            BrokerError: it was not acknowledged.
        """
        topic = self._settings.applications_topic
        try:
            value = dump_application(application)
        except RecursionError:
            raise MisuseError("this is JSON that nests too deep") from None
        except ValueError:
            raise MisuseError("NaN and Infinity are no JSON numbers, and half a surrogate pair is no text") from None
        landed = Event()
        placed: list[tuple[int, int]] = []
        faults: list[KafkaError] = []

        def place(error: KafkaError | None, message: Message) -> None:
            if error is None:
                placed.append((message.partition() or 0, message.offset() or 0))
            else:
                faults.append(error)
            landed.set()

        try:
            self._producer.produce(topic, value, application[GIVEN_HERE], on_delivery=place)
        except KafkaException as failure:
            raise BrokerError(f"the application was not published: {self._explain([failure.args[0]])}") from failure
        ends_at = time.monotonic() + 2 * _DELIVERY_MS / 1_000
        while not landed.is_set() and time.monotonic() < ends_at:
            try:
                self._producer.poll(_SLICE_S)
            except KafkaException as failure:  # the client cannot continue
                faults.append(failure.args[0])
                break
        if not placed:
            raise BrokerError(f"the application was not published: {self._explain(faults)}")
        (partition, offset), *_ = placed
        return {"topic": topic, "partition": partition, "offset": offset}

    def _explain(self, faults: Sequence[KafkaError]) -> str:
        if not faults:
            return unreachable(self._settings, "no acknowledgement in time")
        if must_stop(faults[0]):
            right = to_topic(Operation.WRITE, self._settings.applications_topic)
            return with_hint(faults[0], self._settings, right)
        return unreachable(self._settings, faults[0].str())
