"""The rows of a file as the records that a worker would read, for commands that score a file."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.topics import NAME_PATTERN
from scorer.errors import InputFileError, MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from schemas.rows import Hints

_is_topic = re.compile(NAME_PATTERN).fullmatch


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A row of a file as a Kafka record: partition 0, and the line number as the offset."""

    file_topic: str
    line: int
    content: bytes

    def __len__(self) -> int:
        return len(self.content)

    def topic(self) -> str:
        return self.file_topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.line

    def value(self) -> bytes:
        return self.content


def name_source(applications: str, topic: str | None) -> str:
    """The source topic of the decisions: `topic`, or the file's name with the characters that Kafka allows.

    The file's name is followed by a digest of its content, so that decisions of two files never share an id. A pipe has
    no digest, because it can be read only once.

    Raises:
        MisuseError: the topic's name is invalid.
        InputFileError: the file does not exist, or cannot be read.
    """
    _require_file(applications)
    if topic is not None:
        if not _is_topic(topic):
            raise MisuseError(
                f"--topic {topic[:80]}: invalid topic name; use 1 to 249 letters, digits, dots, dashes and underscores"
            )
        return topic
    if applications == "-":
        return "stdin"
    path = Path(applications)
    try:
        if not path.is_file():
            return _topic_name(path.name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputFileError(f"{applications}: cannot be read: {error.strerror}") from None
    return f"{_topic_name(path.name)}-{digest[:12]}"


def _require_file(applications: str) -> None:
    from schemas.files import require_file
    from schemas.rows import ApplicationsFileError

    try:
        require_file(applications)
    except ApplicationsFileError as error:
        raise InputFileError(str(error)) from None


def _topic_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:200]


def read_batches(applications: str, source: str, contract: "Contract", hints: "Hints") -> Iterator[list[FileRecord]]:
    """Reads the rows of a file in batches of the worker's default size.

    Args:
        applications: a file for `schemas.files.read_applications`; `-` is standard input.
        source: the topic of the records.
        contract: the contract of the applications.
        hints: collects what to change in the file, and which parts of it are ignored.

    Raises:
        InputFileError: the file cannot be read, or does not hold applications.
    """
    from schemas.files import read_applications
    from schemas.rows import ApplicationsFileError
    from scorer.settings import BATCH_RECORDS_DEFAULT

    rows = read_applications(applications, contract, hints)
    try:
        while batch := list(islice(rows, BATCH_RECORDS_DEFAULT)):
            for row in batch:
                hints.add(row.line, row.hint)
            yield [FileRecord(source, row.line, row.value) for row in batch]
    except ApplicationsFileError as error:
        raise InputFileError(str(error)) from None
