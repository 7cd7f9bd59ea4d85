"""`scorer contract`: check, show, compare and export contracts, and make them from a model or a data file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas.printable import printable
from scorer.cli.options import JsonOption
from scorer.cli.tables import print_tables
from scorer.errors import InputFileError, MisuseError, ScorerError

if TYPE_CHECKING:
    from schemas.contract import Contract, ContractField

app = typer.Typer(
    no_args_is_help=True,
    help="Describe your own applications: check, show, compare, export and make contracts.",
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A contract: a JSON Schema in the subset.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to this new file; default: standard output."),
]
_TITLES: Final = ("field", "kind", "rule", "presence", "default", "unit", "prohibited basis")


@app.command()
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a contract, and list its faults, each with its index; exit 1 if there are any.

    Examples:
    ```
    scorer contract check contract.schema.json
    ```
    """
    from schemas.contract_faults import ContractError
    from schemas.contract_file import read_contract
    from schemas.text import TextFileError

    try:
        contract = read_contract(file)
    except TextFileError as error:
        raise InputFileError(f"{file}: {error}") from None
    except ContractError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "faults": error.faults}, indent=2))
        else:
            for fault in error.faults:
                typer.echo(fault)
            typer.echo(f"faults: {len(error.faults)}")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"ok": True, **_identity(contract), "faults": []}, indent=2))
    else:
        typer.echo(f"{contract}: {len(contract.fields)} fields, id {contract.id_field.name}")


@app.command()
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show a contract's fields: kind, valid values, default, unit, prohibited basis.

    Examples:
    ```
    scorer contract show contract.schema.json
    scorer contract show contract.schema.json --json
    ```
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    contract = _read(file)
    rows = [_describe(field) for field in contract.fields.values()]
    if as_json:
        typer.echo(json.dumps({**_identity(contract), "fields": rows}, indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE)
    titles = [title for title in _TITLES if title in {"field", "kind", "rule"} or any(row[title] for row in rows)]
    for title in titles:
        table.add_column(title, overflow="fold")
    for field, row in zip(contract.fields.values(), rows, strict=True):
        cells = row | {"kind": "id" if field.path == contract.id_path else row["kind"]}
        table.add_row(*(escape(printable(cells[title])) for title in titles))
    print_tables(f"[bold]{escape(printable(contract.title))}[/bold]  {contract}", table)


@app.command()
def reasons(file: FileArgument, output: OutputOption = None) -> None:
    """Draft a catalogue of reasons from a contract: TOML to edit, for scorer train --reasons.

    Each input that is not a prohibited basis gets a code and a sentence, from its title. A decision that is not
    APPROVED names up to four codes; equal contributions are in the catalogue's order.

    Examples:
    ```
    scorer contract reasons contract.schema.json --output reasons.toml
    scorer train loans.csv --name loans --version 1.0.0 --contract contract.schema.json --reasons reasons.toml
    ```
    """
    from scorer.author.draft_reasons import draft_reasons, write_reasons

    contract = _read(file)
    drafted = draft_reasons(contract, contract.inputs)
    if drafted is None:
        raise MisuseError(f"{file}: every input of the contract is a prohibited basis, which is never a reason")
    _write_text(write_reasons(drafted), output)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The contract in use.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The contract to replace it.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two contracts: does NEW accept every application that OLD accepts? Exit 1 if not.

    Lists all differences, breaking ones first. A field that only NEW has is assumed not to be sent yet.

    Examples:
    ```
    scorer contract diff contract-1.0.0.schema.json contract-1.1.0.schema.json
    ```
    """
    from dataclasses import asdict

    from schemas.compatibility import compare

    contracts = _read(old), _read(new)
    differences = compare(*contracts)
    breaking = sum(difference.breaking for difference in differences)
    if as_json:
        identities = {"old": _identity(contracts[0]), "new": _identity(contracts[1])}
        rows = [asdict(difference) for difference in differences]
        typer.echo(json.dumps({"compatible": not breaking, **identities, "differences": rows}, indent=2))
    else:
        for difference in differences:
            severity = "breaking" if difference.breaking else "compatible"
            index = f"{difference.field}: " if difference.field else ""
            typer.echo(printable(f"{severity:<12}{index}{difference.what}"))
        verb = "may reject applications that" if breaking else "accepts every application that"
        typer.echo(f"NEW ({contracts[1]}) {verb} OLD ({contracts[0]}) accepts")
    if breaking:
        raise typer.Exit(1)


@app.command()
def export(
    file: FileArgument,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="As JSON Schema; the default.", show_default=False)
    ] = False,
    asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="As AsyncAPI 3: topics, messages and examples.", show_default=False)
    ] = False,
    output: OutputOption = None,
) -> None:
    """Export a contract as plain JSON Schema or as an AsyncAPI document, both as JSON.

    The schema has no annotations and accepts the same applications; whether a date is in the calendar needs a validator
    that checks formats. The AsyncAPI document contains it, the other messages, and examples.

    Examples:
    ```
    scorer contract export contract.schema.json --json-schema > application.schema.json
    scorer contract export contract.schema.json --asyncapi > asyncapi.json
    ```
    """
    if json_schema and asyncapi:
        raise MisuseError("--json-schema and --asyncapi: give one of them")
    contract = _read(file)
    if asyncapi:
        from schemas.asyncapi import build_document

        _write(build_document(contract), output)
    else:
        from schemas.contract_schema import plain_schema

        _write(plain_schema(contract), output)


@app.command("from-pydantic")
def from_pydantic(
    model: Annotated[
        str, typer.Argument(metavar="MODULE:MODEL", help="The pydantic model, such as lending.models:Application.")
    ],
    id_field: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="FIELD",
            help='The field that identifies an application; default: the one with json_schema_extra={"x-id": True}.',
        ),
    ] = None,
    output: OutputOption = None,
) -> None:
    """Convert a pydantic model into a contract. The module is imported, so its code runs.

    Types, limits, defaults, Literal, Enum, nested models and descriptions become the contract's; json_schema_extra may
    add annotations such as x-unit. A constraint that a contract cannot express is an error that names the field; rules
    written in Python are noted on standard error.

    Examples:
    ```
    scorer contract from-pydantic lending.models:Application --id application_id --output contract.schema.json
    ```
    """
    from scorer.author.from_pydantic import convert_model, load_model

    converted = convert_model(load_model(model), id_field)
    _write(converted.document, output)
    _print_notes(converted.notes)


@app.command()
def infer(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Past applications: .csv, .tsv, .jsonl or .parquet.")],
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="The column that identifies an application; default: found by name."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The outcome of the loan, which is left out.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="COLUMN", help="Another column that is not part of an application; may be repeated."
        ),
    ] = None,
    output: OutputOption = None,
) -> None:
    """Infer a contract from a file of past applications: a proposal to check and edit.

    Proposes kinds, limits (rounded outward), categories, numbers that mean unknown, the id, and prohibited bases by
    name. What needs a person's decision is noted on standard error, and in the contract as $comment. Parquet needs
    pyarrow.

    Examples:
    ```
    scorer contract infer loans.csv --id loan_id --target repaid --output contract.schema.json
    scorer contract infer loans.csv --target status --drop y_pred --drop y_pred_proba
    ```
    """
    from scorer.author.data_file import profile_file
    from scorer.author.infer import infer_contract

    inferred = infer_contract(profile_file(file), file.stem, id_column, target, drop or [])
    _write(inferred.document, output)
    _print_notes(inferred.notes)


def _read(file: Path) -> "Contract":
    from schemas.contract_faults import ContractError
    from schemas.contract_file import read_contract
    from schemas.text import TextFileError

    try:
        return read_contract(file)
    except (TextFileError, ContractError) as error:
        raise InputFileError(f"{file}: {error}") from None


def _identity(contract: "Contract") -> dict[str, object]:
    return {
        "name": contract.name,
        "version": contract.version,
        "sha256": contract.sha256,
        "id": contract.id_field.name,
        "field_count": len(contract.fields),
    }


def _describe(field: "ContractField") -> dict[str, str]:
    """A row of the table, by title."""
    from schemas.contract_words import describe_rule, describe_value

    within = f" in {'.'.join(field.path[:-1])}" if len(field.path) > 1 else ""
    presence = f"required{within}" if field.required else "optional"
    return {
        "field": field.name,
        "kind": str(field.kind),
        "rule": describe_rule(field),
        "presence": presence,
        "default": "" if field.default is None else describe_value(field.default),
        "unit": field.unit,
        "prohibited basis": field.prohibited,
    }


def _write(document: dict[str, Any], output: Path | None) -> None:
    """Writes a schema to standard output or to a new file."""
    _write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", output)


def _write_text(text: str, output: Path | None) -> None:
    """Writes a text to standard output, or to a new file: a file that was edited is not overwritten."""
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise MisuseError(f"--output {output}: exists already; name a new file") from None
    except OSError as error:
        raise ScorerError(f"--output {output}: cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {output}", err=True)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.echo(printable(f"note: {note}"), err=True)
