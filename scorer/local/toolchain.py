"""Finds Java and Kafka's jars, which are downloaded once into the user's cache."""

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

# Without log4j-slf4j-impl Kafka logs nothing; its version is that of Kafka's own log4j-core.
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
    """A Java installation that can run Kafka: its command and major version."""

    command: str
    major: int


def find_java() -> Java:
    """Find Java in JAVA_HOME, or else on the PATH.

    Raises:
        LocalBrokerError: Java is missing, or too old for Kafka.
    """
    home = os.environ.get("JAVA_HOME")
    command = (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")
    advice = f"install Java {JAVA_OLDEST} or newer (Debian: default-jre-headless, macOS: brew install openjdk)"
    if command is None:
        raise LocalBrokerError(f"Java not found: {advice}")
    printed = run([command, "-version"], limit_s=_JAVA_ANSWER_S)
    major = java_major(printed.stderr + printed.stdout)
    if major is None:
        raise LocalBrokerError(f"{command} -version prints no version, so it is not a working Java: {advice}")
    if major < JAVA_OLDEST:
        raise LocalBrokerError(f"{command} is Java {major}, but Kafka {KAFKA_VERSION} needs {JAVA_OLDEST}: {advice}")
    return Java(command, major)


def java_major(printed: str) -> int | None:
    """The major version in the output of `java -version`: 17 of "17.0.15", 8 of "1.8.0_392", 25 of "25-ea"."""
    version = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(version[1]) if version else None


def kafka_jars(say: Callable[[str], None], checksums: Path = LOCK) -> Path:
    """The folder of Kafka's jars, verified by checksum; Maven downloads them on first use.

    The folder is complete or missing: under a lock, Maven downloads to a folder next to it, which is renamed once all
    jars are verified. Each call verifies them again, because the cache may have changed.

    Args:
        say: called with progress messages.
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
            "Maven not found; it downloads Kafka: install it (Debian: maven, macOS: brew install maven)"
        )
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with home.with_name(f"{home.name}.lock").open("w") as lock:
            _acquire(lock, say)
            if not libs.is_dir():  # otherwise another process downloaded it meanwhile
                say(f"downloading Apache Kafka {KAFKA_VERSION} with Maven, once (43 MB), into {home}")
                _download(maven, home, lock, checksums)
    except OSError as fault:
        raise LocalBrokerError(
            f"{home} cannot be written ({fault.strerror}): set XDG_CACHE_HOME to move the cache"
        ) from fault
    return libs


def run(command: Sequence[str], *, limit_s: float, keep_open: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command to completion and return its output.

    Args:
        command: the program and its arguments.
        limit_s: seconds after which it is killed.
        keep_open: file descriptors that it inherits.

    Raises:
        LocalBrokerError: the command cannot be started, or exceeds its time limit.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit_s, pass_fds=keep_open, errors="replace"
        )
    except subprocess.TimeoutExpired as fault:
        raise LocalBrokerError(f"{command[0]} did not finish within {limit_s:g} seconds and was killed") from fault
    except OSError as fault:
        raise LocalBrokerError(f"{command[0]} cannot be run: {fault.strerror}") from fault


def _acquire(lock: IO[str], say: Callable[[str], None]) -> None:
    """Acquire the lock; the system releases it when its last holder exits."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another process that is downloading Apache Kafka")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _download(maven: str, home: Path, lock: IO[str], checksums: Path) -> None:
    """Download the pinned jars into `home`, atomically."""
    part = home.with_name(f"{home.name}.part")
    for leftover in (part, home):
        shutil.rmtree(leftover, ignore_errors=True)
    (part / "libs").mkdir(parents=True)
    pom = part / "pom.xml"
    pom.write_text(KAFKA_POM, encoding="utf-8")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part / 'libs'}"]
    # Maven inherits the lock: if this process is killed, no other one starts while Maven still writes to the folder.
    done = run([maven, "-B", "-q", "-f", str(pom), *goal], limit_s=_DOWNLOAD_S, keep_open=[lock.fileno()])
    if done.returncode != 0 or not (part / "libs" / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        maven_error = re.search(r"\[ERROR\] (.+)", done.stdout + done.stderr)
        raise LocalBrokerError(
            f"Maven cannot download Apache Kafka {KAFKA_VERSION}: is there a network, and does Maven's settings.xml "
            "need a proxy or mirror?" + (f" Maven's error: {maven_error[1]}" if maven_error else "")
        )
    difference = find_difference(part / "libs", read_lock(checksums))
    if difference:
        shutil.rmtree(part, ignore_errors=True)
        raise LocalBrokerError(
            f"Maven's download of Kafka {KAFKA_VERSION} was discarded: {difference.text}. "
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
            f"Kafka {KAFKA_VERSION} in the cache is damaged: in {libs}, {difference.text}. "
            f"Delete {libs.parent} to download the jars again"
        )
