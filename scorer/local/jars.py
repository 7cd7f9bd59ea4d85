"""Verifies Kafka's jars: a broker's class path has exactly the files that kafka.lock pins."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from scorer.errors import LocalBrokerError

LOCK: Final = Path(__file__).with_name("kafka.lock")
"""One jar per line with its path in a Maven repository, in the format of `sha256sum --check`."""
_KAFKA: Final = PurePosixPath("org/apache/kafka")
_as_line = re.compile(r"([0-9a-f]{64})  (\S+\.jar)").fullmatch


class Jar(NamedTuple):
    """A pinned jar: its path in a Maven repository, and its checksum."""

    path: PurePosixPath
    sha256: str


class Difference(NamedTuple):
    """The first file of a folder that differs from the lock file, and how."""

    text: str
    folder: PurePosixPath
    """Its origin: the jar's folder in a Maven repository, or Kafka's if no jar of this name is pinned."""


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Reads the pinned jars.

    Raises:
        LocalBrokerError: a line is not a checksum and a path.
    """
    lines = [_as_line(line) for line in lock.read_text(encoding="utf-8").splitlines()]
    if not lines or not all(lines):
        raise LocalBrokerError(f"{lock} is damaged: reinstall the scorer")
    return tuple(Jar(PurePosixPath(line[2]), line[1]) for line in lines if line)


def find_difference(libs: Path, jars: Iterable[Jar]) -> Difference | None:
    """The first file that is not pinned, missing, or different; None if the folder is as pinned.

    Raises:
        OSError: a file cannot be read.
    """
    pinned = {jar.path.name: jar for jar in jars}
    present = {file.name for file in libs.iterdir()}
    for name in sorted(present - pinned.keys()):
        return Difference(f"{name} is not one of the {len(pinned)} jars that {LOCK.name} pins", _KAFKA)
    for name, jar in sorted(pinned.items()):
        if name not in present:
            return Difference(f"{name} is missing", jar.path.parent)
        with (libs / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != jar.sha256:
            text = f"{name} has the sha256 {digest}, but {LOCK.name} pins {jar.sha256}"
            return Difference(text, jar.path.parent)
    return None
