"""The topics on a real broker: what is missing is created, what differs is said."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from scorer.errors import BrokerError, SettingsError
from scorer.local.broker import Broker
from scorer.operate import topics
from scorer.settings import Settings, load_settings
from tests.contract.stages import WAIT_S

pytestmark = pytest.mark.broker


@pytest.fixture
def settings(broker: Broker, unique: Callable[[str], str]) -> Settings:
    """Settings with topics that do not exist yet."""
    kinds = ("applications", "decisions", "dead_letters", "deployments", "reviews")
    names = {f"{kind}_topic": unique(kind) for kind in kinds}
    return load_settings({"bootstrap_servers": broker.bootstrap_servers, **names}, environment={}).settings


def create(settings: Settings, name: str, **config: str) -> None:
    """A topic that somebody made by hand."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    dotted = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, 2, 1, config=dotted)])[name].result(WAIT_S)


def test_ensure(settings: Settings) -> None:
    """All five are created as the contract says; a second time there is nothing to do, and nothing differs."""
    assert len(topics.check(settings)) == 5
    created = topics.ensure(settings, partitions=3, replication=1)
    assert created == [topic.name for topic in topics.contract(settings, 3)]
    assert topics.ensure(settings, partitions=7, replication=1) == []
    assert topics.check(settings) == []
    assert topics.partitions_of(settings) == {
        settings.applications_topic: 3,
        settings.decisions_topic: 3,
        settings.dead_letters_topic: 1,
        settings.deployments_topic: 1,
        settings.reviews_topic: 1,
    }


def test_ensure_leaves_what_is_there(settings: Settings) -> None:
    """A topic that somebody made stays as it is; the others are added."""
    create(settings, settings.decisions_topic)
    assert settings.decisions_topic not in topics.ensure(settings, partitions=3, replication=1)
    assert topics.partitions_of(settings)[settings.decisions_topic] == 2


def test_differences_that_matter(settings: Settings) -> None:
    """Compaction, records kept too short, too many partitions of history and reviews, dead letters too large."""
    create(settings, settings.applications_topic, max_message_bytes="5000000")
    create(settings, settings.decisions_topic, cleanup_policy="compact,delete", retention_ms=str(30 * 86_400_000))
    create(settings, settings.dead_letters_topic, max_message_bytes="5000000", retention_ms="-1")
    create(settings, settings.deployments_topic)
    create(settings, settings.reviews_topic, retention_ms=str(800 * 86_400_000))
    applications, compacted, short, history_kept, *split, fit = topics.check(settings)
    assert f"{settings.applications_topic} keeps records for 7 days; required: 30 days" in applications
    assert f"{settings.decisions_topic} has cleanup.policy=compact,delete" in compacted
    assert f"{settings.decisions_topic} keeps records for 30 days; required: 775 days" in short
    assert f"{settings.deployments_topic} keeps records for 7 days; required: forever" in history_kept
    one = settings.deployments_topic, settings.reviews_topic
    assert [f"topic {name} must have one partition" in text for name, text in zip(one, split, strict=True)] == [
        True
    ] * 2
    assert f"set max.message.bytes of {settings.dead_letters_topic} to 5065536 or more" in fit


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a broker the error names the address and asks the likely questions."""
    monkeypatch.setattr(topics, "ADMIN_S", 1.0)
    nowhere = load_settings({"bootstrap_servers": "127.0.0.1:1"}, environment={}).settings
    with pytest.raises(BrokerError, match=r"cannot connect to Kafka at 127\.0\.0\.1:1 .*is it running"):
        topics.check(nowhere)


def test_bad_property() -> None:
    """A wrong librdkafka property is a SettingsError here too."""
    wrong = load_settings({"kafka": {"no.such.property": "1"}}, environment={}).settings
    with pytest.raises(SettingsError, match=r"no\.such\.property"):
        topics.check(wrong)
