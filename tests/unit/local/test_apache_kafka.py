"""Apache Kafka on Java, where it fails: played by a Java that refuses, dies, or stays silent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.errors import LocalBrokerError
from scorer.local import apache_kafka
from scorer.local.broker import start_broker

pytestmark = pytest.mark.slow

Install = Callable[[str, str], Path]
InstallJava = Callable[[str, str], None]


@pytest.fixture
def java(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallJava:
    """Installs a Java 17 that needs no jars, and does as it is told when it formats and when it runs the broker."""
    monkeypatch.setattr(apache_kafka, "kafka_jars", lambda _: tmp_path / "libs")

    def write(on_format: str, on_run: str) -> None:
        install(
            "java",
            f"""import time
if "-version" in sys.argv:
    sys.stderr.write('openjdk version "17.0.15"')
elif "format" in sys.argv:
    {on_format}
else:
    {on_run}""",
        )

    return write


def test_rejected_settings(java: InstallJava, tmp_path: Path) -> None:
    """What Kafka says against its settings reaches the user, without stack frames, and nothing is left on the disk."""
    java(
        "sys.exit('Invalid value x for configuration log.retention.hours\\n\\tat org.apache.kafka.Config.parse')",
        "pass",
    )
    with pytest.raises(LocalBrokerError, match=r"Invalid value x for configuration log.retention.hours$"):
        start_broker("java", overrides={"log.retention.hours": "x"})
    assert not list(tmp_path.glob("scorer-kafka-*"))


def test_death_at_start(java: InstallJava, tmp_path: Path) -> None:
    """A broker that dies at the start leaves its exit code and last words in the message, and its log on the disk."""
    java("pass", "sys.exit('Address already in use')")
    with pytest.raises(LocalBrokerError, match=r"exited with code 1; .*\nAddress already in use$"):
        start_broker("java")
    (folder,) = tmp_path.glob("scorer-kafka-*")
    assert [left.name for left in folder.iterdir()] == ["broker.log"]


def test_silence(java: InstallJava, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that runs and never answers is given up and ended."""
    monkeypatch.setattr(apache_kafka, "_READY_S", 0.3)
    java("pass", "time.sleep(600)")
    with pytest.raises(LocalBrokerError, match=r"did not answer within 0.3 seconds; the end of its log .*\n\(empty\)"):
        start_broker("java")


def test_interrupted_start(java: InstallJava, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the broker starts ends it and removes its folder."""
    java("pass", "time.sleep(600)")

    def interrupt(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(apache_kafka, "answers", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_broker("java")
    assert not list(tmp_path.glob("scorer-kafka-*"))
