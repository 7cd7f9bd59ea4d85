"""`scorer score`: score a file with the workers' pipeline, without Kafka."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.options import (
    DEFAULT_BUNDLE,
    ConfigOption,
    SetOption,
    StoreOption,
    require_target,
    settings_of,
    show_hints,
)
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.rows import FileRecord, name_source, read_batches
from scorer.cli.tables import fit_line
from scorer.errors import MisuseError, ScorerError

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from scorer.cli.csv_output import CsvOutput
    from scorer.core.score import Bundle, Scores
    from scorer.settings import Settings


class _Tally:
    """Counts the results so far."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()

    def sort(self, records: Sequence[FileRecord], scores: "Scores", rejected: BinaryIO | None) -> bytes:
        """Counts a batch's results, writes rejections to `rejected` if given, and returns the decisions as lines."""
        from scorer.core.policy import LABELS

        decisions = []
        for record, result in zip(records, scores.results, strict=True):
            if isinstance(result, bytes):
                decisions.append(result + b"\n")
                continue
            self.rejects[result.code] += 1
            if rejected:
                rejection = {"line": record.line, "code": result.code, "reason": result.reason}
                rejected.write(json.dumps(rejection).encode() + b"\n")
        self.decisions.update(LABELS[index] for index in scores.decided.tolist())
        return b"".join(decisions)

    def as_json(self, bundle: "BundleReference") -> str:
        """The summary for scripts."""
        rows = self.decisions.total() + self.rejects.total()
        summary = {"rows": rows, "decisions": self.decisions, "rejections": self.rejects, "bundle": bundle.model_dump()}
        return json.dumps(summary)

    def as_text(self, bundle: "BundleReference") -> str:
        """The summary for people."""
        decided, rejected = self.decisions.total(), self.rejects.total()
        by_decision = "".join(f", {count} {name}" for name, count in sorted(self.decisions.items()))
        by_code = f" ({', '.join(f'{count} {code}' for code, count in self.rejects.most_common())})" if rejected else ""
        return (
            f"{decided + rejected} rows: {decided} decided by {bundle.short}{by_decision}; {rejected} rejected{by_code}"
        )


BundleOption = Annotated[
    str,
    typer.Option(
        "--bundle",
        metavar="REF",
        help="Bundle to score with: name:version, name:tag, name@digest, or a folder.",
        autocompletion=complete_reference,
    ),
]
RejectsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write invalid rows to this file: line, code and reason as JSON.")
]
TopicOption = Annotated[
    str | None, typer.Option(help="Source topic to name in the decisions; default: the file's name and digest.")
]
OutputOption = Annotated[
    Literal["jsonl", "csv"],
    typer.Option("--output", help="jsonl: the decisions; csv: the file's rows with their results."),
]


def score(
    applications: Annotated[str, typer.Argument(metavar="FILE", help="A .csv or .jsonl file; - is standard input.")],
    bundle: BundleOption = DEFAULT_BUNDLE,
    rejects: RejectsOption = None,
    topic: TopicOption = None,
    output: OutputOption = "jsonl",
    summary: Annotated[
        bool, typer.Option("--summary", help="Print the summary on standard output, and no decisions.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")] = False,
) -> None:
    """Score a file of applications offline: one decision per row, as JSON lines, the bytes that a worker would publish.

    With --output csv, it returns the CSV file with the columns decision, probability_of_default, reasons (codes, if the
    bundle has a catalogue of reasons) and rejection. A cell that a spreadsheet would evaluate as a formula is prefixed
    with an apostrophe.
    Decisions go to standard output in the file's order, a summary to standard error. A decision's source is the file's
    name with a digest of its content, and the line number as the offset; a pipe has no digest, so name it with --topic
    if its decisions are combined with others. Invalid rows go to --rejects; without it they are counted, and the exit
    code is 1, so that none is lost unnoticed.

    Examples:
    ```
    scorer score applications.csv > decisions.jsonl
    scorer score applications.csv --output csv > decided.csv
    scorer score applications.jsonl --rejects rejects.jsonl --summary --json
    zcat applications.csv.gz | scorer score - --bundle credit-risk:1.0.0
    ```
    """
    from schemas.rows import Hints
    from scorer.core.score import score_batch

    source = name_source(applications, topic)
    require_target("--rejects", rejects)
    settings = settings_of(config, None, assignments, store=store).settings
    opened = _open(settings, bundle)
    table = _open_table(applications, opened) if output == "csv" else None
    tally, hints = _Tally(), Hints()
    if table and not summary:
        sys.stdout.buffer.write(table.header)
    with _open_rejects(rejects, applications) as rejected:
        for records in read_batches(applications, source, opened.encoding.contract, hints):
            scores = score_batch(records, opened, settings.record_bytes_max)
            decisions = tally.sort(records, scores, rejected)
            if not summary:
                sys.stdout.buffer.write(table.lines(records, scores) if table else decisions)
                sys.stdout.buffer.flush()
    text = fit_line(tally.as_text(opened.reference), output=sys.stdout if summary else sys.stderr)
    typer.echo(tally.as_json(opened.reference) if as_json else text, err=not summary)
    show_hints(hints)
    if tally.rejects and rejects is None:
        raise typer.Exit(1)


def _open_table(applications: str, opened: "Bundle") -> "CsvOutput":
    from scorer.cli.csv_output import CsvOutput

    return CsvOutput(applications, opened.encoding.contract, has_reasons=opened.explainer is not None)


def _open(settings: "Settings", reference: str) -> "Bundle":
    from scorer.bundle.engine import with_engine
    from scorer.store.store import BundleStore

    with elapsed_time(f"opening {reference}"):
        return with_engine(BundleStore(settings.store).open(reference), settings.engine)


@contextmanager
def _open_rejects(rejects: Path | None, applications: str) -> Iterator[BinaryIO | None]:
    if rejects is None:
        yield None
        return
    try:
        input_stat = os.fstat(0) if applications == "-" else Path(applications).stat()
        if rejects.exists() and os.path.samestat(rejects.stat(), input_stat) and rejects.is_file():
            raise MisuseError(f"--rejects {rejects}: is the input file; name another file")
        file = rejects.open("wb")
    except OSError as error:
        raise MisuseError(f"--rejects {rejects}: cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
    except OSError as error:  # only this file is written in the block
        raise ScorerError(f"--rejects {rejects}: writing failed: {error.strerror}") from None
