"""`scorer policy`: check a policy, test it with cases, and simulate it on past decisions."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from schemas.printable import printable
from scorer.cli.findings import report_findings
from scorer.cli.model_options import ContractOption
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of
from scorer.cli.policy_source import ForBundleOption, PolicyArgument, read_source
from scorer.errors import MisuseError

app = typer.Typer(
    no_args_is_help=True,
    help="Check a policy (thresholds, segments, rules), test it with cases, and simulate it on past decisions.",
)


@app.command()
def check(
    source: PolicyArgument,
    bundle: ForBundleOption = None,
    contract: ContractOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also exit with 1 on warnings.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Review a policy without data: rules that never decide, labels that never occur, prohibited bases.

    Exit 1 if there are errors. What is said of rules that compare fields with constants is exact; of other rules it is
    found on drawn applications, and the finding says "possibly".

    Examples:
    ```
    scorer policy check policy.toml --bundle credit-risk:1.1.1
    scorer policy check credit-risk:1.1.1 --strict
    ```
    """
    from scorer.author.finding import SEVERITIES
    from scorer.author.policy_check import check_policy
    from scorer.store.store import BundleStore

    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    decider, read_contract, _ = read_source(source, bundles, bundle, contract)
    findings = sorted(check_policy(decider, read_contract), key=lambda one: SEVERITIES.index(one.severity))
    report_findings(findings, strict=strict, as_json=as_json)


@app.command("test")
def run_cases(
    source: PolicyArgument,
    cases: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV file of cases (default: the file that the policy file names)."),
    ] = None,
    bundle: ForBundleOption = None,
    contract: ContractOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test that a policy gives the labels and rules of a table of cases; exit 1 if a case does not hold.

    The columns of the table: `probability_of_default`, `expected_label`, `expected_rule` (empty if the thresholds must
    decide), the fields that the policy uses, and optionally `case`, a name. An empty cell is an absent field.

    Examples:
    ```
    scorer policy test policy.toml --cases policy-tests.csv
    scorer policy test credit-risk:1.1.1 --cases policy-tests.csv
    ```
    """
    from scorer.author.policy_cases import find_failures, read_cases
    from scorer.store.store import BundleStore

    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    decider, read_contract, named = read_source(source, bundles, bundle, contract)
    path = cases or named
    if path is None:
        raise MisuseError(f'{source}: no cases: give --cases, or write cases = "FILE" at the top of the policy file')
    read = read_cases(path, decider, read_contract)
    failures = find_failures(read, decider, read_contract, str(path))
    if as_json:
        content = {"ok": not failures, "cases": len(read), "failures": [asdict(failure) for failure in failures]}
        typer.echo(json.dumps(content, indent=2))
    else:
        for failure in failures:
            typer.echo(printable(f"failed: {failure}"))
        typer.echo(f"{len(read) - len(failures):,} of {len(read):,} cases hold")
    if failures:
        raise typer.Exit(1)
