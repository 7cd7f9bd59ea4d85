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

KAFKA_VERSION = "4.1.2"
JAVA_OLDEST = 17  # what Kafka 4 brokers are compiled for
_JAVA_ANSWER_S = 30  # a first start from a cold disk
_DOWNLOAD_S = 600  # 43 MB on a slow line

# log4j-slf4j-impl, because without it Kafka logs nothing; its version is the one of Kafka's own log4j-core.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
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


def kafka_jars(say: Callable[[str], None]) -> Path:
    """The folder of Kafka's jars; Maven downloads them when this user has none yet.

    The folder is whole or not there: a download happens beside it, under a lock, and is renamed when it is complete.

    Raises:
        LocalBrokerError: Maven is missing or cannot download, or the cache cannot be written.
    """
    home = cache_folder() / f"kafka-{KAFKA_VERSION}"
    libs = home / "libs"
    if libs.is_dir():
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
                _download(maven, home, lock)
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


def _download(maven: str, home: Path, lock: IO[str]) -> None:
    """Fill `home` at once or not at all."""
    part = home.with_name(f"{home.name}.part")
    for leftover in (part, home):
        shutil.rmtree(leftover, ignore_errors=True)
    (part / "libs").mkdir(parents=True)
    pom = part / "pom.xml"
    pom.write_text(_POM, encoding="utf-8")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part / 'libs'}"]
    # Maven holds the lock too: should we be killed, nobody starts over in the folder into which it still writes.
    done = run([maven, "-B", "-q", "-f", str(pom), *goal], limit_s=_DOWNLOAD_S, keep_open=[lock.fileno()])
    if done.returncode != 0 or not (part / "libs" / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        complaint = re.search(r"\[ERROR\] (.+)", done.stdout + done.stderr)
        raise LocalBrokerError(
            f"Maven cannot download Apache Kafka {KAFKA_VERSION}: is there a network, and does a proxy or mirror "
            "need to stand in Maven's settings.xml?" + (f" It says: {complaint[1]}" if complaint else "")
        )
    part.rename(home)
