"""Publishes a try: one application with a generated id, acknowledged by the broker."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.contracts import shipped_contract
from schemas.files import dump_application
from schemas.lossless import LOSSLESS
from schemas.rights import Operation, to_topic
from scorer.console.form import GENERATED_FIELD
from scorer.errors import BrokerError, MisuseError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.librdkafka import client_config, translate_config_errors
from scorer.stream.requests import unreachable

_DELIVERY_MS: Final = 10_000
_SLICE_S: Final = 0.05

ID_PREFIX: Final = "try-"


def read_try(body: bytes) -> dict[str, Any]:
    """Parses the application that a page sent, and gives it a new id; the scorer validates it.

    Raises:
        MisuseError: it is not a JSON object.
    """
    try:
        application = json.loads(body)
    except UnicodeDecodeError:
        raise MisuseError("the application is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MisuseError(
            f"the application is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except (ValueError, RecursionError):
        raise MisuseError("the application has a number with too many digits, or is nested too deep") from None
    if not isinstance(application, Mapping):
        raise MisuseError("the application is JSON but not an object: write {…} with the contract's fields")
    return {**application, GENERATED_FIELD: ID_PREFIX + secrets.token_hex(6)}


class TryPublisher:
    """Publishes tries to the applications topic; several threads may use it at once."""

    def __init__(self, settings: Settings) -> None:
        """Creates the client, which connects in the background.

        Raises:
            SettingsError: a librdkafka property is wrong.
        """
        self._settings = settings
        config: dict[str, Any] = client_config(settings) | {
            "partitioner": "murmur2_random",  # as in `producer` and Java clients: a key always has the same partition
            "message.timeout.ms": str(_DELIVERY_MS),  # the user of the page would not wait longer
            "linger.ms": "0",
            **LOSSLESS,
        }
        with translate_config_errors():
            self._producer = Producer(config)

    def publish(self, application: Mapping[str, Any]) -> dict[str, Any]:
        """Publishes an application and waits for the broker's acknowledgement.

        Returns:
            Its record's topic, partition and offset.

        Raises:
            MisuseError: it cannot be written as JSON.
            BrokerError: it was not acknowledged.
        """
        topic = self._settings.applications_topic
        try:
            value = dump_application(application, shipped_contract())
        except RecursionError:
            raise MisuseError("the application is nested too deep") from None
        except ValueError:
            raise MisuseError(
                "the application has NaN, Infinity or an unpaired surrogate, which are not valid JSON"
            ) from None
        reported = Event()
        offsets: list[tuple[int, int]] = []
        faults: list[KafkaError] = []

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append((message.partition() or 0, message.offset() or 0))
            else:
                faults.append(error)
            reported.set()

        try:
            self._producer.produce(topic, value, application[GENERATED_FIELD], on_delivery=report)
        except KafkaException as failure:
            raise BrokerError(f"the application was not published: {self._explain([failure.args[0]])}") from failure
        ends_at = time.monotonic() + 2 * _DELIVERY_MS / 1_000
        while not reported.is_set() and time.monotonic() < ends_at:
            try:
                self._producer.poll(_SLICE_S)
            except KafkaException as failure:  # the client cannot continue
                faults.append(failure.args[0])
                break
        if not offsets:
            raise BrokerError(f"the application was not published: {self._explain(faults)}")
        (partition, offset), *_ = offsets
        return {"topic": topic, "partition": partition, "offset": offset}

    def _explain(self, faults: Sequence[KafkaError]) -> str:
        if not faults:
            return unreachable(self._settings, "no acknowledgement in time")
        if must_stop(faults[0]):
            right = to_topic(Operation.WRITE, self._settings.applications_topic)
            return with_hint(faults[0], self._settings, right)
        return unreachable(self._settings, faults[0].str())
