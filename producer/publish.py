"""A file of applications onto the topic, row by row: checked, sent, and what was refused told by line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from producer.client import ApplicationPublisher
from producer.errors import Fault, InvalidApplicationError
from producer.validation import validate_application
from schemas.rows import ApplicationsFileError, Hints, Row

# So many refused rows are told with their faults, and the rest only counted: a file of another kind refuses them all.
REFUSALS_TOLD: Final = 20


@dataclass(slots=True)
class PublishReport:
    """What became of a file.

    Attributes:
        rows: rows read.
        refused: rows that the contract refuses; they were not sent.
        refusals: the lines and faults of the first of them.
        hints: what to change in the file so that they can be read, and what of it nothing reads.
        broken: what is wrong with the file from here on; "" if it was read to its end.
        interrupted: whether Ctrl-C ended the reading.
    """

    rows: int = 0
    refused: int = 0
    refusals: list[tuple[int, tuple[Fault, ...]]] = field(default_factory=list)
    hints: Hints = field(default_factory=Hints)
    broken: str = ""
    interrupted: bool = False


def publish_rows(
    publisher: ApplicationPublisher, rows: Iterator[Row], hints: Hints | None = None, *, as_is: bool
) -> PublishReport:
    """Sends the rows of a file, without waiting for the last acknowledgements.

    Args:
        publisher: sends them.
        rows: from `schemas.files.read_applications`.
        hints: those that it was given.
        as_is: whether to send every row without asking the contract.

    Returns:
        What became of them; an interrupt (Ctrl-C) or a file that breaks off ends the reading and is told there.
    """
    report = PublishReport(hints=hints or Hints())
    try:
        for row in rows:
            report.rows += 1
            try:
                key = _key_if_any(row.value) if as_is else validate_application(row.value).application_id.encode()
                publisher.send(key, row.value)
            except InvalidApplicationError as error:
                report.refused += 1
                report.hints.add(row.line, row.hint)
                if report.refused <= REFUSALS_TOLD:
                    report.refusals.append((row.line, error.faults))
    except ApplicationsFileError as error:
        report.broken = str(error)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def _key_if_any(value: bytes) -> bytes | None:
    """The application's id in UTF-8, of a value that may be anything; None if there is none to be read."""
    try:
        application = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    application_id = application.get("application_id") if isinstance(application, dict) else None
    return application_id.encode(errors="replace") if isinstance(application_id, str) else None
