"""Code examples for publishers and readers in several languages, with this console's addresses and topics."""

import json
from collections.abc import Mapping
from string import Template
from typing import Any, Final, NamedTuple

from schemas.contract import Contract
from schemas.files import dump_application
from schemas.made_up import initial_values, nest_values
from scorer.console.publish import make_try
from scorer.errors import MisuseError
from scorer.settings import Settings


class Example(NamedTuple):
    """A code example to copy.

    Attributes:
        title: its title.
        note: its requirements.
        code: the code with placeholders: `$servers`, `$applications`, `$decisions` and so on.
    """

    title: str
    note: str
    code: str

    @property
    def language(self) -> str:
        """The language or the program."""
        return self.title.partition(":")[0]

    def text(self, settings: Settings, contract: Contract, given: tuple[str, Mapping[str, Any]] | None = None) -> str:
        """The code, with its placeholders replaced: the addresses and topics, and an application.

        Args:
            settings: the addresses and topics.
            contract: the contract.
            given: the id and the application; if it is not given, the contract's example without optional fields that
                are a prohibited basis.
        """
        example = nest_values(contract, initial_values(contract))
        application_id, application = given or (contract.id_of(example), example)
        value = dump_application(application, contract).decode()
        return Template(self.code).substitute(
            servers=settings.bootstrap_servers,
            applications=settings.applications_topic,
            decisions=settings.decisions_topic,
            application_in_python=_in_python(application),
            id_path_in_python="".join(f"[{_quote(name)}]" for name in contract.id_path),
            application_in_java=json.dumps(value),
            id_in_java=json.dumps(application_id),
            application_in_shell=_in_shell(value),
            id_in_shell=_in_shell(application_id),
        )


_quote: Final = json.JSONEncoder(ensure_ascii=False).encode


def _in_python(value: Any, indent: str = "") -> str:
    """A JSON value as Python writes it, an object with one member per line."""
    if isinstance(value, Mapping):
        inner = f"{indent}    "
        lines = (f"{inner}{_quote(name)}: {_in_python(member, inner)},\n" for name, member in value.items())
        return f"{{\n{''.join(lines)}{indent}}}"
    return _quote(value) if isinstance(value, str) else repr(value)


def _in_shell(text: str) -> str:
    """A text in single quotes, in which a shell reads nothing but the closing one."""
    return "'" + text.replace("'", "'\\''") + "'"


_PYTHON_PUBLISH: Final = """\
import json

from confluent_kafka import Producer

application = $application_in_python

def delivered(error, message):
    if error is not None:
        raise SystemExit(f"not delivered: {error}")
    print(f"on partition {message.partition()}, offset {message.offset()}")

producer = Producer({
    "bootstrap.servers": "$servers",
    "enable.idempotence": True,
    "max.in.flight.requests.per.connection": 1,
})
producer.produce(
    "$applications",
    key=application$id_path_in_python,
    value=json.dumps(application),
    on_delivery=delivered,
)
producer.flush()
"""

_PYTHON_READ: Final = """\
import json

from confluent_kafka import Consumer

consumer = Consumer({
    "bootstrap.servers": "$servers",
    "group.id": "my-reader",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
})
consumer.subscribe(["$decisions"])
try:
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise SystemExit(message.error())
        decision = json.loads(message.value())
        print(decision["application_id"], decision["decision"], decision["probability_of_default"])
except KeyboardInterrupt:
    consumer.close()
"""

_JAVA_PUBLISH: Final = """\
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Publish {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> properties = Map.of("bootstrap.servers", "$servers", "enable.idempotence", true);
        String application = $application_in_java;
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            var metadata = producer.send(new ProducerRecord<>("$applications", $id_in_java, application)).get();
            System.out.println("on partition " + metadata.partition() + ", offset " + metadata.offset());
        }
    }
}
"""

_JAVA_READ: Final = """\
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Read {
    public static void main(String[] arguments) {
        Map<String, Object> properties = Map.of(
            "bootstrap.servers", "$servers",
            "group.id", "my-reader",
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed");  // Java's default is read_uncommitted
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("$decisions"));
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    System.out.println(record.key() + " " + record.value());
                }
            }
        }
    }
}
"""

_KCAT: Final = """\
# publish: the key, a tab, the value
printf '%s\\t%s\\n' $id_in_shell $application_in_shell |
  kcat -P -b $servers -t $applications -K '\\t' -X enable.idempotence=true -X max.in.flight=1

# read
kcat -C -b $servers -t $decisions -o beginning -e -X isolation.level=read_committed
"""

EXAMPLES: Final = (
    Example(
        "Python: publish",
        "With confluent-kafka; this package's producer.client also validates applications.",
        _PYTHON_PUBLISH,
    ),
    Example("Python: read decisions", "With confluent-kafka. Act on each decision_id once.", _PYTHON_READ),
    Example("Java: publish", "With org.apache.kafka:kafka-clients.", _JAVA_PUBLISH),
    Example("Java: read decisions", "With org.apache.kafka:kafka-clients.", _JAVA_READ),
    Example("kcat", "In a shell.", _KCAT),
)
_PUBLISHING: Final = frozenset({"Python: publish", "Java: publish", "kcat"})


def publishing_code(settings: Settings, contract: Contract, application: Mapping[str, Any]) -> dict[str, str]:
    """Code that publishes an application as a try, by language.

    Args:
        settings: the addresses and topics.
        contract: the contract, which says where the id is.
        application: the application, which need not be valid.

    Raises:
        MisuseError: it cannot be written as JSON or code, or the contract's ids are too short for that of a try.
    """
    attempt = make_try(application, contract)
    given = attempt.id, json.loads(attempt.value)
    try:
        return {
            example.language: example.text(settings, contract, given)
            for example in EXAMPLES
            if example.title in _PUBLISHING
        }
    except RecursionError:
        raise MisuseError("the application is nested too deep") from None
