"""`scorer explain`: why one application was decided as it was, and what would have changed the decision."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.text import is_utf8
from scorer.cli.completion import complete_reference
from scorer.cli.explain_output import print_explained
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    PageOption,
    ServersOption,
    SetOption,
    StoreOption,
    require_target,
    settings_of,
    show_hints,
    write_page,
)
from scorer.cli.rows import FileRecord, name_source, read_batches
from scorer.errors import BundleError, InputFileError, MisuseError

if TYPE_CHECKING:
    from scorer.replay.explained import Explained
    from scorer.settings import Settings
    from scorer.store.store import BundleStore


def _require_utf8(value: str | None) -> str | None:
    if value is not None and not is_utf8(value):
        raise typer.BadParameter("is not UTF-8")
    return value  # publishers choose ids, also with characters that no text of an operator may have


IdArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]", help="The application's id, or a decision's id (topic:partition:offset@digest).",
        callback=_require_utf8,
    ),
]  # fmt: skip
FileOption = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="A .csv or .jsonl file with one application, in place of ID."),
]
BundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="REF",
        help="Bundle that decides the application of --file: name:version, name:tag, name@digest, or a folder.",
        autocompletion=complete_reference,
    ),
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="TAG", help="Language of the sentences, such as en (default: en).")
]
LetterOption = Annotated[
    str | None,
    typer.Option(
        "--letter",
        metavar="TEMPLATE",
        help="Print the draft of an adverse-action notice instead: a Jinja2 file, or the word default.",
    ),
]


def explain(
    sought_id: IdArgument = None,
    file: FileOption = None,
    bundle: BundleOption = None,
    language: LanguageOption = None,
    html: PageOption = None,
    letter: LetterOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain one decision: what decided, its reasons, what each field contributed, and what would have changed it.

    The decision and the application are read from the topics, and the bundle that decided from the store. Recomputing
    must give the bytes of the decision on the topic; if it does not, the exit code is 1. For an application with
    several decisions, the current one is explained and the others are listed. If a person has reviewed the decision,
    the review is shown. The output contains the application's values.

    --letter fills a template with the reasons, for decisions that are not APPROVED. If a reviewer declined the
    application, the reviewer's reason comes first. It supplies a mechanism, not legal advice.

    Examples:
    ```
    scorer explain a-1001
    scorer explain credit.applications:3:1042@5d41402abc4b --language de
    scorer explain a-1001 --html a-1001.html
    scorer explain a-1001 --letter default > letter.txt
    scorer explain --file application.jsonl --bundle credit-risk:1.1.1 --json
    ```
    """
    from scorer.operate.listening import require_listening
    from scorer.store.store import BundleStore

    if (sought_id is None) == (file is None) or (file is None) != (bundle is None):
        raise MisuseError("name either an ID, or an application with --file FILE --bundle REF")
    if letter is not None and as_json:
        raise MisuseError("--letter and --json exclude each other: both are printed on standard output")
    require_target("--html", html)
    settings = settings_of(config, bootstrap_servers, assignments, store=store).settings
    bundles = BundleStore(settings.store)
    if sought_id is not None:
        require_listening(settings)
        explained = _explain_decision(settings, bundles, sought_id, language)
    else:
        explained = _explain_file(settings, bundles, str(file), str(bundle), language)
    if html is not None:
        _write_page(explained, html)
    if letter is not None:
        _print_letter(explained, letter)
    else:
        print_explained(explained, as_json=as_json)
    if explained.is_reproduced is False:
        raise typer.Exit(1)


def _explain_decision(
    settings: "Settings", bundles: "BundleStore", sought_id: str, language: str | None
) -> "Explained":
    from scorer.bundle.load import read_manifest
    from scorer.replay.explained import explain as explain_decision
    from scorer.replay.explained import find_sentence
    from scorer.replay.lookup import look_up

    lookup = look_up(settings, sought_id)
    reference = lookup.decision.bundle
    try:
        located = bundles.locate(reference)
    except BundleError as error:
        raise BundleError(
            f"the bundle of the decision, {reference.short}, is not available: {error}. A decision is explained with "
            "the bundle that made it: add it to the store with `scorer bundle import`, or name its store with --store"
        ) from None
    reasons = read_manifest(located.folder).reasons
    entries = reasons.catalogue if reasons else None
    explained = explain_decision(lookup.application, located.open(), entries, language, settings.record_bytes_max)
    reviewers_reason = find_sentence(lookup.review.reason, entries, language) if lookup.review else None
    return replace(explained, decision_id=lookup.decision.decision_id, lookup=lookup, reviewers_reason=reviewers_reason)


def _explain_file(
    settings: "Settings", bundles: "BundleStore", file: str, reference: str, language: str | None
) -> "Explained":
    from schemas.rows import Hints
    from scorer.bundle.load import read_manifest
    from scorer.replay.explained import explain as explain_decision

    source = name_source(file, None)
    opened, reasons = bundles.open(reference), read_manifest(bundles.find(reference)).reasons
    hints = Hints()
    rows: list[FileRecord] = []
    for records in read_batches(file, source, opened.encoding.contract, hints):
        rows += records[:2]
        if len(rows) > 1:
            break
    show_hints(hints)
    if len(rows) != 1:
        count = "more than one application" if rows else "no application"
        raise InputFileError(f"{file}: contains {count}; a file to explain contains exactly one")
    entries = reasons.catalogue if reasons else None
    return explain_decision(rows[0], opened, entries, language, settings.record_bytes_max)


def _write_page(explained: "Explained", path: Path) -> None:
    from scorer.replay.explanation_page import render

    write_page(path, render(explained))
    typer.echo(f"Wrote {path}", err=True)


def _print_letter(explained: "Explained", template: str) -> None:
    from scorer.replay.letter import NOTICE, write_letter

    typer.echo(write_letter(explained, template), nl=False)
    if explained.label_of_record == "MAYBE" and explained.lookup:
        typer.echo("warning: the decision is MAYBE, and no review counts: has a person declined it?", err=True)
    typer.echo(NOTICE, err=True)
