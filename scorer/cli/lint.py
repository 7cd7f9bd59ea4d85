"""`scorer bundle lint`: review a bundle."""

from typing import Annotated

import typer

from scorer.cli.findings import report_findings
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, SetOption, StoreOption, settings_of


def lint(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="name:version, name:latest, name@digest, or a bundle's folder.")
    ] = DEFAULT_BUNDLE,
    strict: Annotated[bool, typer.Option("--strict", help="Also exit with 1 on warnings.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Review a bundle: prohibited bases, metrics, policy, libraries, golden examples.

    Exit 1 if there are errors. Findings refer to rules such as Regulation B; they are not legal advice.

    Examples:
    ```
    scorer bundle lint credit-risk:1.0.0
    scorer bundle lint credit-risk:latest --strict --json
    ```
    """
    from scorer.author.lint import lint_bundle
    from scorer.store.store import BundleStore

    folder = BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference)
    findings = lint_bundle(folder)
    report_findings(findings, strict=strict, as_json=as_json)
