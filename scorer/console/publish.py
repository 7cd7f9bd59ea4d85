"""Publishes a record and waits for the broker's acknowledgement; makes the record of a try."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.contract import Contract
from schemas.files import dump_application
from schemas.lossless import LOSSLESS
from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError, MisuseError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import Fault, must_stop, triage
from scorer.stream.librdkafka import client_config, translate_config_errors
from scorer.stream.requests import unreachable

_DELIVERY_MS: Final = 10_000
_SLICE_S: Final = 0.05

ID_PREFIX: Final = "try-"
_ID_CHARACTERS: Final = len(ID_PREFIX) + 12
_ID_CHARACTERS_MIN: Final = len(ID_PREFIX) + 4
"""A shorter id could be the id of a real application, which the try would supersede."""


class Try(NamedTuple):
    """A try to publish: its id, which is also its key, and its value."""

    id: str
    value: bytes


def parse_application(body: bytes) -> dict[str, Any]:
    """Parses the application that a page sent; the scorer validates it.

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
    if not isinstance(application, dict):
        raise MisuseError("the application is JSON but not an object: write {…} with the contract's fields")
    return application


def make_try(application: Mapping[str, Any], contract: Contract) -> Try:
    """Gives an application a new id, in the contract's id field, and writes it as JSON.

    A typed id is replaced: it could be the id of a real application, which the try would supersede.

    Raises:
        MisuseError: it cannot be written as JSON, or the contract's ids are too short for a generated one.
    """
    field = contract.id_field
    characters = min(_ID_CHARACTERS, field.length_max or _ID_CHARACTERS)
    if characters < _ID_CHARACTERS_MIN:
        raise MisuseError(
            f"{field.name} has at most {field.length_max} characters, and the generated id of a try at least "
            f"{_ID_CHARACTERS_MIN}: use `producer publish` instead"
        )
    try_id = (ID_PREFIX + secrets.token_hex(6))[:characters].ljust(field.length_min, "0")
    try:
        return Try(try_id, dump_application(_with_id(application, contract.id_path, try_id), contract))
    except RecursionError:
        raise MisuseError("the application is nested too deep") from None
    except ValueError:
        raise MisuseError(
            "the application has NaN, Infinity or an unpaired surrogate, which are not valid JSON"
        ) from None


def _with_id(members: Mapping[str, Any], path: Sequence[str], try_id: str) -> Mapping[str, Any]:
    """An application with an id; without one if a value other than an object is where an object should contain it."""
    name, *inner = path
    if not inner:
        return {**members, name: try_id}
    outer = members.get(name, {})
    return {**members, name: _with_id(outer, inner, try_id)} if isinstance(outer, Mapping) else members


class RecordPublisher:
    """Publishes records to one topic; several threads may use it at once."""

    def __init__(self, settings: Settings, topic: str, subject: str) -> None:
        """Creates the client, which connects in the background.

        Args:
            settings: the brokers.
            topic: the topic.
            subject: what is published, for messages: `the application`.

        Raises:
            SettingsError: a librdkafka property is wrong.
        """
        self._settings = settings
        self._topic = topic
        self._subject = subject
        self._config: dict[str, Any] = client_config(settings) | {
            "partitioner": "murmur2_random",  # as in `producer` and Java clients: a key always has the same partition
            "message.timeout.ms": str(_DELIVERY_MS),  # the user of the page would not wait longer
            "linger.ms": "0",
            **LOSSLESS,
        }
        with translate_config_errors():
            self._producer = Producer(self._config)
            """Replaced by `publish`, in any thread, after an error with which a client ends."""

    def publish(self, key: str, value: bytes) -> dict[str, Any]:
        """Publishes a record and waits for the broker's acknowledgement.

        Returns:
            Its topic, partition and offset.

        Raises:
            BrokerError: it was not acknowledged.
        """
        reported = Event()
        offsets: list[tuple[int, int]] = []
        faults: list[KafkaError] = []

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append((message.partition() or 0, message.offset() or 0))
            else:
                faults.append(error)
            reported.set()

        producer = self._producer
        ends_at = time.monotonic() + 2 * _DELIVERY_MS / 1_000
        try:
            producer.produce(self._topic, value, key, on_delivery=report)
            while not reported.is_set() and time.monotonic() < ends_at:
                producer.poll(_SLICE_S)
        except KafkaException as failure:
            faults.append(failure.args[0])
            if triage(faults[-1]) is Fault.FATAL:  # such as a missing permission, which can be granted later
                self._producer = Producer(self._config)
        if not offsets:
            raise BrokerError(f"{self._subject} was not published: {self._explain(faults)}")
        (partition, offset), *_ = offsets
        return {"topic": self._topic, "partition": partition, "offset": offset}

    def _explain(self, faults: Sequence[KafkaError]) -> str:
        if not faults:
            return unreachable(self._settings, "no acknowledgement in time")
        if must_stop(faults[0]):
            return with_hint(faults[0], self._settings, to_topic(Operation.WRITE, self._topic))
        return unreachable(self._settings, faults[0].str())
