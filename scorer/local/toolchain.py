"""What Kafka needs to run on this machine: a Java, and its jars, downloaded once into the user's cache."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from scorer.errors import LocalBrokerError
from scorer.folders import cache_folder
from scorer.local.jars import LOCK, find_difference, read_lock

KAFKA_VERSION = "4.1.2"
JAVA_OLDEST = 17  # what Kafka 4 brokers are compiled for
_JAVA_ANSWER_S = 30  # a first start from a cold disk
_DOWNLOAD_S = 600  # 43 MB on a slow line

# log4j-slf4j-impl, because without it Kafka logs nothing; its version is the one of Kafka's own log4j-core.
KAFKA_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>scorer</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.3</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-dependency-plugin</artifactId>
        <version>3.8.1</version>
      </plugin>
    </plugins>
  </build>
</project>
"""


class Java(NamedTuple):
    """A Java that can run Kafka: its command and its major version."""

    command: str
    major: int


def find_java() -> Java:
    """The Java of JAVA_HOME, else of the PATH.

    Raises:
        LocalBrokerError: there is none, or it is too old for Kafka.
    """
    home = os.environ.get("JAVA_HOME")
    command = (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")
    mend = f"install Java {JAVA_OLDEST} or newer (Debian: default-jre-headless, macOS: brew install openjdk)"
    if command is None:
        raise LocalBrokerError(f"Java is missing: {mend}")
    printed = run([command, "-version"], limit_s=_JAVA_ANSWER_S)
    major = java_major(printed.stderr + printed.stdout)
    if major is None:
        raise LocalBrokerError(f"{command} -version names no version, so it is no working Java: {mend}")
    if major < JAVA_OLDEST:
        raise LocalBrokerError(f"{command} is Java {major}, and Kafka {KAFKA_VERSION} needs {JAVA_OLDEST}: {mend}")
    return Java(command, major)


def java_major(printed: str) -> int | None:
    """The major version in what `java -version` prints: 17 of "17.0.15", 8 of "1.8.0_392", 25 of "25-ea"."""
    found = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(found[1]) if found else None


def kafka_jars(say: Callable[[str], None], checksums: Path = LOCK) -> Path:
    """The folder of Kafka's jars, each with its pinned checksum; Maven downloads them when this user has none yet.

    The folder is complete or missing: a download goes to a folder next to it, under a lock, which is renamed once all
    jars are there and verified. They are verified at each call too: the cache may have changed since.

    Args:
        say: told what takes long.
        checksums: the file that pins the jars.

    Raises:
        LocalBrokerError: Maven is missing or cannot download, a jar is not the pinned one, or the cache cannot be
            read or written.
    """
    home = cache_folder() / f"kafka-{KAFKA_VERSION}"
    libs = home / "libs"
    if libs.is_dir():
        _verify_cached(libs, checksums)
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalBrokerError(
            "Maven is missing, which downloads Kafka: install it (Debian: maven, macOS: brew install maven)"
        )
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with home.with_name(f"{home.name}.lock").open("w") as lock:
            _take(lock, say)
            if not libs.is_dir():  # or else another process downloaded it while we waited
                say(f"downloading Apache Kafka {KAFKA_VERSION} with Maven, once (43 MB), into {home}")
                _download(maven, home, lock, checksums)
    except OSError as fault:
        raise LocalBrokerError(
            f"{home} cannot be written ({fault.strerror}): XDG_CACHE_HOME moves the cache"
        ) from fault
    return libs


def run(command: Sequence[str], *, limit_s: float, keep_open: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed.

    Args:
        command: the program and its arguments.
        limit_s: seconds after which it is killed.
        keep_open: file descriptors that it inherits.

    Raises:
        LocalBrokerError: it cannot be started, or takes too long.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit_s, pass_fds=keep_open, errors="replace"
        )
    except subprocess.TimeoutExpired as fault:
        raise LocalBrokerError(f"{command[0]} did not end within {limit_s:g} seconds and was killed") from fault
    except OSError as fault:
        raise LocalBrokerError(f"{command[0]} cannot be run: {fault.strerror}") from fault


def _take(lock: IO[str], say: Callable[[str], None]) -> None:
    """Take the lock, which the system gives back when its last holder has died."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another process that downloads Apache Kafka")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _download(maven: str, home: Path, lock: IO[str], checksums: Path) -> None:
    """Fill `home` with the pinned jars, at once or not at all."""
    part = home.with_name(f"{home.name}.part")
    for leftover in (part, home):
        shutil.rmtree(leftover, ignore_errors=True)
    (part / "libs").mkdir(parents=True)
    pom = part / "pom.xml"
    pom.write_text(KAFKA_POM, encoding="utf-8")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part / 'libs'}"]
    # Maven holds the lock too: should we be killed, nobody starts over in the folder into which it still writes.
    done = run([maven, "-B", "-q", "-f", str(pom), *goal], limit_s=_DOWNLOAD_S, keep_open=[lock.fileno()])
    if done.returncode != 0 or not (part / "libs" / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        complaint = re.search(r"\[ERROR\] (.+)", done.stdout + done.stderr)
        raise LocalBrokerError(
            f"Maven cannot download Apache Kafka {KAFKA_VERSION}: is there a network, and does a proxy or mirror "
            "need to stand in Maven's settings.xml?" + (f" It says: {complaint[1]}" if complaint else "")
        )
    difference = find_difference(part / "libs", read_lock(checksums))
    if difference:
        shutil.rmtree(part, ignore_errors=True)
        raise LocalBrokerError(
            f"Kafka {KAFKA_VERSION} is not used: as Maven delivered it, {difference.text}. Nothing was kept. "
            f"Delete {difference.folder} in Maven's repository (usually ~/.m2/repository) and try again; if that does "
            "not help, the mirror in Maven's settings.xml has another file than Maven Central"
        )
    part.rename(home)


def _verify_cached(libs: Path, checksums: Path) -> None:
    """Raises LocalBrokerError if a jar in the cache is not the pinned one."""
    try:
        difference = find_difference(libs, read_lock(checksums))
    except OSError as fault:
        raise LocalBrokerError(f"{libs} cannot be read ({fault.strerror})") from fault
    if difference:
        raise LocalBrokerError(
            f"Kafka {KAFKA_VERSION} is not used: in {libs}, {difference.text}. "
            f"Delete {libs.parent}, and the jars are downloaded again"
        )
