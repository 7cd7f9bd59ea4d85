"""`scorer bundle lint`: review a bundle."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.findings import report_findings
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, SetOption, StoreOption, settings_of, show_hints
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.rows import name_source, read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.contract import Contract
    from schemas.rows import Hints


def lint(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="name:version, name:latest, name@digest, or a bundle's folder.")
    ] = DEFAULT_BUNDLE,
    strict: Annotated[bool, typer.Option("--strict", help="Also exit with 1 on warnings.")] = False,
    on: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Test the reasons on this file of applications: .csv or .jsonl; - is stdin."),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Review a bundle: prohibited bases, metrics, policy, libraries, reasons, golden examples.

    With --on, the reasons are tested on applications that the model was not trained on: does the probability of default
    fall if the first reason's fields have typical values of approved applications?

    Exit 1 if there are errors. Findings refer to rules such as Regulation B; they are not legal advice.

    Examples:
    ```
    scorer bundle lint credit-risk:1.0.0
    scorer bundle lint credit-risk:latest --strict --json
    scorer bundle lint my-risk:1.0.0 --on held-out.csv
    ```
    """
    from schemas.rows import Hints
    from scorer.author.lint import lint_bundle
    from scorer.store.store import BundleStore

    hints = Hints()
    read = None if on is None else partial(_read, on, name_source(on, None), hints)
    folder = BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference)
    with elapsed_time(f"reviewing {reference}"):
        findings = lint_bundle(folder, read)
    show_hints(hints)
    report_findings(findings, strict=strict, as_json=as_json)


def _read(applications: str, source: str, hints: "Hints", contract: "Contract") -> "Iterator[list[bytes]]":
    for batch in read_batches(applications, source, contract, hints):
        yield [record.content for record in batch]
