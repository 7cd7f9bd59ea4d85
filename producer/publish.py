"""Publishes a file of applications row by row: validates and sends each row, and reports invalid rows by line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from producer.client import ApplicationPublisher
from producer.errors import Fault, InvalidApplicationError
from producer.validation import validate_application
from schemas.contract import Contract
from schemas.rows import ApplicationsFileError, Hints, Row

# Maximum number of invalid rows reported with their faults; the rest are counted. In a wrong file all rows are invalid.
FAULTS_REPORTED_MAX: Final = 20


@dataclass(slots=True)
class PublishReport:
    """The results of publishing a file.

    Attributes:
        rows: rows read.
        invalid: invalid rows, which were not sent.
        invalid_rows: lines and faults of the first invalid rows.
        hints: how to fix invalid rows, and which parts of the file are ignored.
        read_error: why the rest of the file cannot be read; "" if it was read to its end.
        interrupted: whether Ctrl-C stopped it.
    """

    rows: int = 0
    invalid: int = 0
    invalid_rows: list[tuple[int, tuple[Fault, ...]]] = field(default_factory=list)
    hints: Hints = field(default_factory=Hints)
    read_error: str = ""
    interrupted: bool = False


def publish_rows(
    publisher: ApplicationPublisher, rows: Iterator[Row], hints: Hints | None = None, *, as_is: bool
) -> PublishReport:
    """Sends the rows of a file, without waiting for the last acknowledgements.

    Args:
        publisher: the client that sends the rows.
        rows: the rows from `schemas.files.read_applications`.
        hints: the hints that were passed to it.
        as_is: whether to send every row without validation.

    Returns:
        The report. An interrupt (Ctrl-C) or an unreadable rest of the file stops the reading and is recorded in it.
    """
    report = PublishReport(hints=hints or Hints())
    contract = publisher.contract
    try:
        for row in rows:
            report.rows += 1
            try:
                key = _key_if_any(row.value, contract) if as_is else validate_application(row.value, contract).encode()
                publisher.send(key, row.value)
            except InvalidApplicationError as error:
                report.invalid += 1
                report.hints.add(row.line, row.hint)
                if report.invalid <= FAULTS_REPORTED_MAX:
                    report.invalid_rows.append((row.line, error.faults))
    except ApplicationsFileError as error:
        report.read_error = str(error)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def _key_if_any(value: bytes, contract: Contract) -> bytes | None:
    """The application's id in UTF-8; None if the value, which may be invalid, has no readable id."""
    try:
        application = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    application_id = application
    for name in contract.id_path:
        application_id = application_id.get(name) if isinstance(application_id, dict) else None
    return application_id.encode(errors="replace") if isinstance(application_id, str) else None
