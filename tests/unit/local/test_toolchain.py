"""Java and Kafka's jars: what is missing is named, and a half-finished download is never taken for a whole one."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scorer.errors import LocalBrokerError
from scorer.folders import cache_folder
from scorer.local.jars import read_lock
from scorer.local.toolchain import KAFKA_VERSION, find_java, java_major, kafka_jars

Install = Callable[[str, str], Path]

# Downloads one jar into the folder it is told, and leaves a line for every time it was run.
MAVEN = f"""
import pathlib, time
(libs,) = [pathlib.Path(a.partition("=")[2]) for a in sys.argv if a.startswith("-DoutputDirectory=")]
with pathlib.Path(__file__).with_name("runs").open("a") as runs:
    runs.write("x")
time.sleep(0.2)
(libs / "kafka_2.13-{KAFKA_VERSION}.jar").touch()
"""
JAR = f"kafka_2.13-{KAFKA_VERSION}.jar"
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def checksums(tmp_path: Path) -> Path:
    """Pins the one jar that `MAVEN` downloads."""
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"{SHA256_OF_NOTHING}  org/apache/kafka/kafka_2.13/{KAFKA_VERSION}/{JAR}\n", encoding="utf-8")
    return lock


def is_unreachable(_: str) -> None:
    """For calls whose progress does not matter."""


@pytest.mark.parametrize(
    ("printed", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2" 2019-01-15', 11),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_java_version(printed: str, major: int | None) -> None:
    """The major version is read from what every Java since 8 prints, and from nothing else."""
    assert java_major(printed) == major


@pytest.mark.usefixtures("bare_machine")
def test_java_missing() -> None:
    """Without Java the message says so and which to install."""
    with pytest.raises(LocalBrokerError, match=r"Java not found: install Java 17 or newer"):
        find_java()


def test_java_too_old(install: Install) -> None:
    """A Java older than Kafka's is refused with both versions."""
    install("java", """sys.stderr.write('openjdk version "11.0.2" 2019-01-15')""")
    with pytest.raises(LocalBrokerError, match=r"is Java 11, but Kafka 4\.\S+ needs 17"):
        find_java()


def test_java_that_is_none(install: Install) -> None:
    """A program called java that tells no version (macOS ships one) is not taken for a Java."""
    install("java", "sys.exit('Unable to locate a Java Runtime.')")
    with pytest.raises(LocalBrokerError, match="is not a working Java"):
        find_java()


def test_java_that_cannot_run(bare_machine: Path) -> None:
    """A damaged program ends in a message, not in a traceback."""
    program = bare_machine / "java"
    program.write_bytes(b"\x00not a program")
    program.chmod(0o755)
    with pytest.raises(LocalBrokerError, match="java cannot be run"):
        find_java()


def test_java_home_comes_first(install: Install, bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME wins over the PATH, as in Kafka's own scripts."""
    install("java", """sys.stderr.write('openjdk version "11.0.2"')""")
    (bare_machine / "bin").mkdir()
    chosen = install("bin/java", """sys.stderr.write('openjdk version "21.0.1"')""")
    monkeypatch.setenv("JAVA_HOME", str(bare_machine))
    assert find_java() == (str(chosen), 21)


@pytest.mark.usefixtures("bare_machine")
def test_maven_missing() -> None:
    """Without jars and without Maven the message says what Maven is for and how to get it."""
    with pytest.raises(LocalBrokerError, match="Maven not found; it downloads Kafka: install it"):
        kafka_jars(is_unreachable)


@pytest.mark.usefixtures("bare_machine")
def test_cached_jars_need_no_maven(checksums: Path) -> None:
    """Once downloaded, the jars are used without Maven and without a word."""
    libs = cache_folder() / f"kafka-{KAFKA_VERSION}" / "libs"
    libs.mkdir(parents=True)
    (libs / JAR).touch()
    messages: list[str] = []
    assert kafka_jars(messages.append, checksums) == libs
    assert messages == []


def test_download_failure(install: Install) -> None:
    """A failed download says what Maven said, and leaves nothing that could be taken for the jars."""
    install("mvn", "print('\\x1b[0m[ERROR] Could not transfer artifact\\n[ERROR] [Help 1]'); sys.exit(1)")
    with pytest.raises(LocalBrokerError, match=r"is there a network.*Maven's error: Could not transfer artifact$"):
        kafka_jars(is_unreachable)
    assert not (cache_folder() / f"kafka-{KAFKA_VERSION}").exists()


def test_download_without_result(install: Install) -> None:
    """A Maven that reports success without Kafka's jar has not downloaded it."""
    install("mvn", "")
    with pytest.raises(LocalBrokerError, match="Maven cannot download"):
        kafka_jars(is_unreachable)


def test_leftover_of_a_killed_download(install: Install, checksums: Path) -> None:
    """What a killed download left is thrown away, not finished and not used."""
    leftover = cache_folder() / f"kafka-{KAFKA_VERSION}.part" / "libs" / "half.jar"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    install("mvn", MAVEN)
    libs = kafka_jars(is_unreachable, checksums)
    assert [jar.name for jar in libs.iterdir()] == [JAR]
    assert not leftover.exists()


def test_two_downloads_at_once(install: Install, bare_machine: Path, checksums: Path) -> None:
    """Of two that want the jars at once, one downloads, the other waits and says so, and both get the same folder."""
    install("mvn", MAVEN)
    messages: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: kafka_jars(messages.append, checksums), range(2))
    assert first == second
    assert list(first.iterdir())
    assert (bare_machine / "runs").read_text(encoding="utf-8") == "x"
    assert sum("waiting" in line for line in messages) == 1


@pytest.mark.usefixtures("bare_machine")
def test_cache_that_cannot_be_written(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unwritable cache is named, with the variable that moves it."""
    install("mvn", MAVEN)
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a-file"))
    with pytest.raises(LocalBrokerError, match=r"cannot be written \(.+\): set XDG_CACHE_HOME"):
        kafka_jars(is_unreachable)


def test_downloaded_jar_that_is_not_the_pinned_one(install: Install, checksums: Path) -> None:
    """What a mirror serves in place of a jar is not kept; the message names the jar, both checksums and what to do."""
    install("mvn", MAVEN.replace(".touch()", '.write_bytes(b"other")'))
    with pytest.raises(LocalBrokerError) as refused:
        kafka_jars(is_unreachable, checksums)
    message = str(refused.value)
    assert f"{JAR} has the sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa" in message
    assert f"pins {SHA256_OF_NOTHING}" in message
    assert f"Delete org/apache/kafka/kafka_2.13/{KAFKA_VERSION} in Maven's repository" in message
    assert [file.name for file in cache_folder().iterdir() if file.is_dir()] == []


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        (lambda libs: (libs / JAR).write_bytes(b"other"), "has the sha256 d9298a10"),
        (lambda libs: (libs / JAR).unlink(), f"{JAR} is missing"),
        (lambda libs: (libs / "agent.jar").touch(), "agent.jar is not one of the 1 jars that kafka.lock pins"),
    ],
    ids=["changed", "missing", "added"],
)
def test_cache_that_differs(
    install: Install, checksums: Path, damage: Callable[[Path], object], difference: str
) -> None:
    """A cache in which a jar was changed, removed or added starts no broker; the message says what to delete."""
    install("mvn", MAVEN)
    libs = kafka_jars(is_unreachable, checksums)
    damage(libs)
    with pytest.raises(LocalBrokerError, match=re.escape(difference)) as refused:
        kafka_jars(is_unreachable, checksums)
    assert str(refused.value).endswith(f"Delete {libs.parent} to download the jars again")


def test_lock_that_is_damaged(install: Install, checksums: Path) -> None:
    """A lock without a checksum pins nothing: it is refused, and no jar is used unverified."""
    install("mvn", MAVEN)
    checksums.write_text("\n", encoding="utf-8")
    with pytest.raises(LocalBrokerError, match=r"kafka\.lock is damaged"):
        kafka_jars(is_unreachable, checksums)


def test_lock_pins_kafka_and_names_no_registry() -> None:
    """The shipped lock pins Kafka's jars of the version that is started, each once, by paths and no address."""
    names = [jar.path.name for jar in read_lock()]
    assert {JAR, f"kafka-clients-{KAFKA_VERSION}.jar"} <= set(names)
    assert len(names) == len(set(names))
    assert not any(":" in str(jar.path) or jar.path.is_absolute() for jar in read_lock())
