"""`scorer doctor` on real brokers: what it finds, what it says of it, and that it leaves nothing behind."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from scorer.errors import LocalBrokerError
from scorer.local.broker import Broker, start_broker
from tests.integration.test_deployments import stored
from tests.integration.worker_process import (
    WAIT_S,
    Topics,
    event_of_a_missing_bundle,
    operate,
    scorer,
    wait_until,
    worker,
)
from tests.unit.bundle.making import named

pytestmark = pytest.mark.broker
CONTRACT = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "1200000"}


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own, as the contract wants them; the history has one partition."""
    return sound_topics(broker.bootstrap_servers)


def sound_topics(servers: str) -> Topics:
    """Topics in which the doctor finds nothing."""
    made = Topics(servers, 1, CONTRACT)
    set_config(made, made.dead_letters, {"max.message.bytes": "1300000"})
    return made


def set_config(topics: Topics, topic: str, changes: Mapping[str, str]) -> None:
    """Changes a topic's configuration, and waits until the broker describes it so: it confirms changes earlier."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in changes.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": topics.servers})
    admin.incremental_alter_configs([resource])[resource].result(WAIT_S)
    described = ConfigResource(ResourceType.TOPIC, topic)

    def is_changed() -> bool:
        found = admin.describe_configs([described])[described].result(WAIT_S)
        return all(found[name].value == value for name, value in changes.items())

    wait_until(is_changed, f"{topic} has its new configuration")


def is_accepted(producer: Producer, topic: str, timestamp: int) -> bool:
    """Publishes a record with this timestamp; returns whether the topic accepted it."""
    errors: list[object] = []
    producer.produce(topic, b"{}", timestamp=timestamp, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(WAIT_S) == 0
    return errors == [None]


@contextmanager
def broker_with(**settings: str) -> Iterator[Broker]:
    """A broker with settings of its own; without Java, the test skips."""
    overrides = {name.replace("_", "."): value for name, value in settings.items()}
    try:
        started = start_broker("java", overrides=overrides)
    except LocalBrokerError as fault:
        pytest.skip(f"needs a broker with settings of its own: {fault}")
    with started:
        yield started


def examine(topics: Topics, *options: str) -> tuple[int, dict[str, list[str]]]:
    """The doctor's exit code, and its findings that are not ok, by topic with their state in front."""
    code, output, errors = scorer(topics, "doctor", "--json", *options)
    assert errors == ""
    findings: dict[str, list[str]] = {}
    for finding in json.loads(output):
        if finding["state"] != "ok":
            findings.setdefault(finding["topic"], []).append(f"{finding['state']}: {finding['text']}")
    return code, findings


def groups_of(topics: Topics) -> list[str]:
    """The consumer groups of the broker that belong to these topics."""
    admin = AdminClient({"bootstrap.servers": topics.servers})
    listed = admin.list_consumer_groups(request_timeout=WAIT_S).result().valid
    return [group.group_id for group in listed if topics.mark in group.group_id]


def test_it_leaves_no_group_behind(topics: Topics) -> None:
    """It used to leave a group `…-doctor` with committed offsets, for the lag exporters of this world to alarm on."""
    topics.publish(b"{}")
    code, findings = examine(topics)
    assert (code, list(findings)) == (0, ["group"])
    assert findings["group"][0].startswith("warning: group ")
    assert ": no workers, and 1 application is waiting" in findings["group"][0]
    assert groups_of(topics) == []


def test_the_last_line_counts(topics: Topics) -> None:
    """Below a warning once stood "all is well"."""
    topics.publish(b"{}")
    assert scorer(topics, "doctor")[1].splitlines()[-1] == "no problems found, 1 warning"
    set_config(topics, topics.decisions, {"cleanup.policy": "compact"})
    code, output, _ = scorer(topics, "doctor")
    assert (code, output.splitlines()[-1]) == (1, "1 problem, 1 warning")


def test_the_bundles_that_are_deployed(topics: Topics, tmp_path: Path) -> None:
    """It looked at the shipped bundle, whatever was deployed, and said that all was well.

    It opens the champion and the challenger, and compares what the workers decide with.
    """
    elsewhere = named(tmp_path / "elsewhere" / "plain-risk" / "1.0.0", "plain-risk", "1.0.0").parent.parent
    with stored(topics, tmp_path / "theirs") as own, worker(own, tmp_path / "w.log") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        assert examine(own) == (0, {})
        scorer(own, "deploy", "plain-risk:1.0.0", "--store", elsewhere, "--reason", "a test")
        topics.publish(event_of_a_missing_bundle("challenger"), topic=topics.deployments, key=None)
        code, findings = examine(own)
        assert code == 1
        champion, challenger = findings["bundle"]
        assert "plain-risk:1.0.0@" in champion
        assert "the champion, cannot be opened: bundle " in champion
        assert "credit-risk:9.9.9@000000000000, the challenger, cannot be opened" in challenger
        (deployment,) = findings["deployment"]
        assert "1 of 1 workers do not decide with plain-risk:1.0.0 (current: credit-risk:1.1.1)" in deployment
        assert "bundle plain-risk:1.0.0@" in deployment
        operate(own, "bundle", "import", elsewhere / "plain-risk" / "1.0.0")
        operate(own, "retire", "--reason", "it is nowhere")
        wait_until(lambda: running.probe("/readyz")["bundle"]["name"] == "plain-risk", "it has switched")
        assert examine(own) == (0, {})


def test_a_pinned_worker(topics: Topics, tmp_path: Path) -> None:
    """Before the first deployment that is a warning; asked with the same pin, only errors in the bundle are left."""
    with worker(topics, tmp_path / "w.log", "--bundle", "credit-risk:1.0.0") as pinned:
        wait_until(lambda: pinned.get("/readyz")[0] == 200, "ready")
        code, findings = examine(topics)
        assert (code, list(findings)) == (0, ["deployment"])
        assert "run this with --bundle" in findings["deployment"][0]
        code, findings = examine(topics, "--bundle", "credit-risk:1.0.0")
        assert (code, list(findings)) == (0, ["lint"])
        (finding,) = findings["lint"]
        assert "has an error: features: marital: the model uses marital" in finding
        assert "`scorer bundle lint credit-risk:1.0.0` says how to fix it" in finding


def test_a_worker_that_is_dead(topics: Topics, tmp_path: Path) -> None:
    """With one of two workers dead it said "all is well": until its session ends, the group has two members.

    That worker's applications wait, and none is decided.
    """
    wide = Topics(topics.servers, 2, CONTRACT)
    patient = wide.environment() | {"SCORER_KAFKA__SESSION_TIMEOUT_MS": "60000"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wide, "environment", lambda: patient)
        with (
            worker(wide, tmp_path / "a.log", "--instance-id", "scorer-0") as first,
            worker(wide, tmp_path / "b.log", "--instance-id", "scorer-1") as second,
        ):
            for running in (first, second):
                wait_until(lambda r=running: len(r.probe("/readyz")["partitions"]) == 1, "each has one")  # type: ignore[misc]
            second.kill()
            for partition in range(2):
                wide.publish(*[b"{}"] * 5, partition=partition)
            code, findings = examine(wide)
    assert code == 1
    (finding,) = [text for text in findings["group"] if "none was decided" in text]
    assert finding.startswith("wrong: scorer-1 at ")
    assert "5 applications are waiting in partition " in finding


def test_timestamps_in_another_unit(topics: Topics) -> None:
    """A timestamp in µs was "1795816864586281 s in the future", below it "all is well"; one in s was not seen."""
    set_config(topics, topics.applications, {"message.timestamp.after.max.ms": str(2**63 - 1)})
    producer = Producer({"bootstrap.servers": topics.servers})
    now_s = time.time()
    for timestamp in (now_s, now_s * 1e6, now_s * 1e6, now_s * 1e9, now_s * 1e3):
        accepted = partial(is_accepted, producer, topics.applications, int(timestamp))
        wait_until(accepted, "the topic accepts timestamps in another unit")
    code, findings = examine(topics)
    assert code == 0
    text = "\n".join(findings["clock"])
    assert "1 of the newest 5 applications have timestamps that are in seconds" in text
    assert "2 of the newest 5 applications have timestamps that are in microseconds" in text
    assert "1 of the newest 5 applications have timestamps that are in nanoseconds" in text
    assert "in the future" not in text


def test_limits_that_do_not_fit(topics: Topics) -> None:
    """A topic that takes less than batch.size at once refused batches of small records, and nothing compared the two.

    Workers send smaller batches there; that is slower, and worth a warning. Dead letters that do not fit are an error.
    """
    set_config(topics, topics.decisions, {"max.message.bytes": "100000"})
    remark = f"topic {topics.decisions} accepts batches of 100000 bytes, less than batch.size (1000000)"
    code, findings = examine(topics)
    assert (code, list(findings)) == (0, ["topics"])
    assert findings["topics"][0].startswith(f"warning: {remark}")
    assert remark in operate(topics, "topics", "check")
    assert examine(topics, "--set", "kafka.batch.size=100000") == (0, {})
    set_config(topics, topics.dead_letters, {"max.message.bytes": "1200000"})
    code, findings = examine(topics)
    assert code == 1
    assert any(text.startswith(f"wrong: topic {topics.dead_letters} accepts") for text in findings["topics"])


def test_compacted_topics(topics: Topics) -> None:
    """Compaction loses decisions, and refuses dead letters without a key."""
    for topic in (topics.decisions, topics.dead_letters):
        set_config(topics, topic, {"cleanup.policy": "compact,delete", "max.message.bytes": "1300000"})
    code, findings = examine(topics)
    assert code == 1
    assert len([text for text in findings["topics"] if "has cleanup.policy=" in text]) == 2


def test_an_advertised_listener_that_leads_nowhere() -> None:
    """Bootstrapping works and everything after it fails: that was told as "Broker transport failure"."""
    with broker_with(advertised_listeners="PLAINTEXT://kafka.no-such-host.invalid:9092") as lost:
        code, output, _ = scorer(unreachable_topics(lost), "doctor")
    assert code == 1
    assert "broker 1 advertises kafka.no-such-host.invalid:9092 (advertised.listeners)" in output
    assert "the host name cannot be resolved" in output
    assert "transport failure" not in output


def unreachable_topics(broker: Broker) -> Topics:
    """Names of topics that nobody can make there."""
    made = Topics.__new__(Topics)
    made.servers, made.mark = broker.bootstrap_servers, "none"
    made.applications = made.decisions = made.dead_letters = made.deployments = made.reviews = ""
    names = ("applications", "decisions", "dead_letters", "deployments", "reviews")
    for name in names:
        setattr(made, name, name)
    return made


def test_a_transaction_timeout_above_the_brokers(tmp_path: Path) -> None:
    """The advice was about rights; what has to be lowered is a setting, and it is named: a worker says so and ends."""
    with broker_with(transaction_max_timeout_ms="10000") as strict:
        topics = sound_topics(strict.bootstrap_servers)
        code, findings = examine(topics)
        assert code == 1
        (text,) = findings["permissions"]
        assert "transaction.timeout.ms under [kafka] is 30000" in text
        assert "above the brokers' transaction.max.timeout.ms" in text
        lower = "--set", "kafka.transaction.timeout.ms=10000"
        assert examine(topics, *lower) == (0, {})
        code, _, errors = scorer(topics, "dlq", "requeue", "--code", "model_error")
        assert code == 1
        assert "lower transaction.timeout.ms" in errors
        assert scorer(topics, "dlq", "requeue", "--code", "model_error", *lower)[0] == 0
        with worker(topics, tmp_path / "refused.log") as refused:
            assert refused.process.wait(60) == 1
            (line,) = refused.events("process_failed")
            assert "transaction.timeout.ms under [kafka] is 30000, which is above the brokers' " in line["error"]
            assert "lower transaction.timeout.ms" in line["error"]
            assert "Traceback" not in refused.log()
        with worker(topics, tmp_path / "lower.log", *lower) as lowered:
            wait_until(lambda: lowered.get("/readyz")[0] == 200, "ready")


@pytest.mark.parametrize("servers", ["127.0.0.1:1", "kafka.no-such-host.invalid:9092", "127.0.0.1:1,127.0.0.1:2"])
def test_nobody_listens(topics: Topics, servers: str) -> None:
    """It took a quarter of a minute to say so; librdkafka knows after a moment, and goes on trying."""
    code, output, _ = scorer(topics, "doctor", "-b", servers)
    assert code == 1
    assert f"cannot connect to Kafka at {servers} ({servers.partition(',')[0]}: " in output
    assert output.splitlines()[-1] == "1 problem"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN"), ["security.protocol is SASL_PLAINTEXT"]),
        (
            ("security.protocol=SSL", "enable.ssl.certificate.verification=false"),
            ["enable.ssl.certificate.verification is false"],
        ),
        (
            ("security.protocol=SSL", "ssl.endpoint.identification.algorithm=none"),
            ["ssl.endpoint.identification.algorithm is none"],
        ),
        (("security.protocol=SSL",), []),
    ],
)
def test_connections_that_others_can_read(topics: Topics, given: tuple[str, ...], words: list[str]) -> None:
    """All was well without encryption after a login, and with certificates that nobody verified.

    It is said before the brokers are asked: they need not be reached for it.
    """
    options = [option for setting in given for option in ("--set", f"kafka.{setting}")]
    _, findings = examine(topics, *options, "-b", "127.0.0.1:1")
    warnings = findings.get("encryption", [])
    assert [text.split(":")[0] for text in warnings] == ["warning"] * len(words)
    assert all(word in text for word, text in zip(words, warnings, strict=True))
    assert findings["broker"]


def test_tls_without_a_protocol_that_uses_it(topics: Topics) -> None:
    """A plain listener was asked in plain text, password and all, and there was "no problem found"."""
    given = ("kafka.sasl.mechanism=PLAIN", "kafka.sasl.username=u", "kafka.sasl.password=s3cr3t")
    options = [option for setting in given for option in ("--set", setting)]
    code, output, errors = scorer(topics, "doctor", *options)
    assert (code, output) == (2, "")
    assert "Set kafka.security.protocol to SASL_SSL" in errors
    assert "s3cr3t" not in errors
