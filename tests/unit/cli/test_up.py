"""`scorer up`: which broker it uses and says so, and topics of its own for a group of its own."""

import re
from pathlib import Path

import pytest

from scorer.cli.up import BrokerChoice, choose_broker, with_own_topics
from scorer.errors import MisuseError
from scorer.settings import load_settings

ENVIRONMENT = {"SCORER_BOOTSTRAP_SERVERS": "kafka:9092"}
FLAG = {"bootstrap_servers": "kafka:9092"}


@pytest.mark.parametrize(
    ("kind", "port", "words"),
    [
        ("auto", 0, "using the broker at kafka:9092 from SCORER_BOOTSTRAP_SERVERS"),
        ("given", 0, "using the broker at kafka:9092 from SCORER_BOOTSTRAP_SERVERS"),
        ("auto", 19092, "using the broker at kafka:9092 from SCORER_BOOTSTRAP_SERVERS; --port 19092 is ignored"),
    ],
)
def test_an_address_in_the_environment_is_used_and_named(kind: str, port: int, words: str) -> None:
    """A run once joined a broker that an exported variable named, without a word, and ignored --port in silence."""
    choice = choose_broker(load_settings({}, ENVIRONMENT), kind, port)
    assert choice.servers == "kafka:9092"
    assert choice.note.startswith(words)


def test_an_address_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    """The note says where the address came from, whichever source that is."""
    file = tmp_path / "scorer.toml"
    file.write_text('bootstrap_servers = "kafka:9092"\n', encoding="utf-8")
    assert str(file) in choose_broker(load_settings({}, {}, file), "auto", 0).note
    assert "from --bootstrap-servers" in choose_broker(load_settings(FLAG, {}), "auto", 0).note


@pytest.mark.parametrize("kind", ["docker", "java", "mock"])
def test_a_kind_to_start_wins_over_the_environment(kind: str) -> None:
    """`--broker java` starts a broker although a variable names another, and says that it ignores it."""
    choice = choose_broker(load_settings({}, ENVIRONMENT), kind, 19092)
    assert choice.servers is None
    assert choice.note == f"kafka:9092 from SCORER_BOOTSTRAP_SERVERS is ignored, because of --broker {kind}"


def test_without_an_address_a_broker_is_started() -> None:
    """Nothing to explain: what starts the broker says which one it is."""
    assert choose_broker(load_settings({}, {}), "auto", 19092) == BrokerChoice(None, "")


@pytest.mark.parametrize(
    ("flags", "environment", "kind", "port", "words"),
    [
        (FLAG, {}, "java", 0, "--broker java starts a broker, but --bootstrap-servers names one"),
        (FLAG, {}, "auto", 19092, "--port 19092 is for a broker that is started here"),
        ({}, ENVIRONMENT, "given", 19092, "--port 19092 is for a broker that is started here"),
        ({}, {}, "given", 0, "--broker given: set its address"),
        ({}, {}, "rabbit", 0, "--broker rabbit: choose one of auto, given, docker, java, mock"),
    ],
)
def test_flags_that_contradict_each_other(
    flags: dict[str, object], environment: dict[str, str], kind: str, port: int, words: str
) -> None:
    """What cannot be meant together is refused before anything starts."""
    with pytest.raises(MisuseError, match=words):
        choose_broker(load_settings(flags, environment), kind, port)


def test_a_group_named_by_a_flag_has_topics_of_its_own() -> None:
    """Two groups on the same topics would decide every application twice; a topic that is set stays as it is."""
    settings = with_own_topics(load_settings({"group_id": "my run", "decisions_topic": "mine"}, {}))
    assert settings.group_id == "my run"
    assert settings.applications_topic == "my-run-d33e7609.credit.applications"
    assert settings.deployments_topic == "my-run-d33e7609.scorer.deployments"
    assert settings.decisions_topic == "mine"


def test_groups_share_no_topics() -> None:
    """What Kafka does not allow in a topic became a dash, so that two groups decided each other's applications."""
    group_ids = ("team:1", "team-1", "team/1", "é", "ü", "-")
    topics = [with_own_topics(load_settings({"group_id": name}, {})).applications_topic for name in group_ids]
    assert len(set(topics)) == len(group_ids)
    assert topics[1] == "team-1.credit.applications"
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) for topic in topics)


def test_a_group_from_the_environment_keeps_the_topics() -> None:
    """There it is a set-up's own group, and the topics are the set-up's."""
    loaded = load_settings({}, {"SCORER_GROUP_ID": "risk"})
    assert with_own_topics(loaded) == loaded.settings
