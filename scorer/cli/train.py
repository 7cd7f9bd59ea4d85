"""`scorer train`: train a bundle on labelled applications."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from scorer.cli.describe import describe, figures
from scorer.cli.model_options import ContractOption, read_contract, read_missing, read_policy
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, require_texts, settings_of, show_hints
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.rows import OutcomeColumn
    from scorer.bundle.manifest import Manifest

T = TypeVar("T")


LabelOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", callback=require_texts, help="Label to store in the bundle; may be repeated."),
]


ApplicationsArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="A .csv or .jsonl file of applications with the column `status`.")
]


DropOption = Annotated[
    list[str] | None, typer.Option(metavar="FIELD", help="Field to leave out of the model; may be repeated.")
]


TargetOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Column with the outcome of the loan, and its value for a default, for example repaid=0 "
        "(default: status, with ok and default).",
    ),
]


MissingOption = Annotated[
    float,
    typer.Option(metavar="NUMBER", help="Replaces unknown numbers; nan lets the model handle them."),
]


MonotoneOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD:SIGN",
        help="Number with which the probability of default must not fall (1) or must not rise (-1), for example "
        "income:-1; may be repeated.",
    ),
]


ParamOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="XGBoost parameter, for example max_depth=4; may be repeated."),
]


def train(
    applications: ApplicationsArgument,
    name: Annotated[str, typer.Option(help="Name of the bundle, for example credit-risk.")],
    version: Annotated[str, typer.Option(help="Version of the bundle, for example 1.2.0; it must not exist yet.")],
    contract: ContractOption = None,
    target: TargetOption = None,
    drop: DropOption = None,
    missing: MissingOption = 0.0,
    maybe_above: Annotated[float, typer.Option(help="Probability above which the label is MAYBE.")] = 0.3,
    declined_above: Annotated[float, typer.Option(help="Probability above which the label is DECLINED.")] = 0.5,
    monotone: MonotoneOption = None,
    param: ParamOption = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Boosting rounds.")] = 175,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the plots to this folder, as PNG.")
    ] = None,
    label: LabelOption = None,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Skip invalid rows instead of failing.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on applications with known outcomes, and add it to the store as a bundle.

    The rows are read, validated and encoded by the code that scores applications later. The metrics are computed on a
    fifth of the rows, which is held out; the model in the bundle is then trained on all rows. The same file gives the
    same model, byte for byte. Versions are never overwritten.
    Needs the package's extra "train".

    Examples:
    ```
    scorer train credit_scoring.csv --name credit-risk --version 1.2.0 --drop marital
    scorer train loans.jsonl --name credit-risk --version 2.0.0 --plots figures --label reason="new data"
    scorer train cars.csv --name car-loans --version 1.0.0 --contract cars.schema.json --target repaid=0 --missing nan
    ```
    """
    from datetime import UTC, datetime
    from tempfile import TemporaryDirectory

    from schemas.rows import Hints
    from scorer.author.build import build_bundle
    from scorer.author.train import Recipe, choose_fields, read_examples, require_libraries, train_model
    from scorer.store.store import BundleStore

    require_libraries("sklearn", *(["matplotlib"] if plots else []))
    labels = _read_labels(label or [])
    recipe = Recipe(
        dropped=tuple(drop or ()),
        policy=read_policy(maybe_above, declined_above),
        missing=read_missing(missing),
        parameters=dict(_read_pair("--param", text, _read_parameter) for text in param or ()),
        monotone=dict(_read_pair("--monotone", text, _read_sign, ":") for text in monotone or ()),
        rounds=rounds,
    )
    applications_contract = read_contract(contract)
    choose_fields(applications_contract, recipe.dropped)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(name, version)
    created = datetime.now(UTC).replace(microsecond=0)
    hints = Hints()
    examples = read_examples(
        applications,
        hints,
        skip_invalid=skip_invalid,
        contract=applications_contract,
        outcome=_read_target(target),
    )
    show_hints(hints)
    trained = train_model(examples, recipe, (name, version, created), labels)
    with TemporaryDirectory() as folder:
        manifest = build_bundle(trained.draft, Path(folder))
        if plots:
            from scorer.author.plots import draw_figures

            draw_figures(trained, plots)
        uri = bundles.put(Path(folder))
    if as_json:
        typer.echo(json.dumps({"where": uri, **describe(manifest)}))
    else:
        _print(manifest, uri)


def _read_target(text: str | None) -> "OutcomeColumn":
    from schemas.rows import STATUS, OutcomeColumn, plain_code

    if text is None:
        return STATUS
    column, equals, value = text.partition("=")
    if not (equals and column and value):
        raise MisuseError("--target: write COLUMN=VALUE, with the value that means default, for example repaid=0")
    return OutcomeColumn(column, {plain_code(value.strip().casefold()): "default", "": None}, others="ok")


def _read_pair(option: str, text: str, read: Callable[[str, str], T], separator: str = "=") -> tuple[str, T]:
    name, found, value = text.partition(separator)
    if not (found and name and value):
        raise MisuseError(f"{option} {text[:80]}: write NAME{separator}VALUE")
    return name, read(name, value)


def _read_parameter(name: str, value: str) -> str | int | float:
    if name in {"objective", "nthread", "monotone_constraints"}:
        raise MisuseError(f"--param {name}: cannot be changed")
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _read_sign(name: str, value: str) -> int:
    if value not in {"1", "+1", "-1"}:
        raise MisuseError(f"--monotone {name}: the sign must be 1 or -1")
    return int(value)


def _read_labels(assignments: list[str]) -> dict[str, str]:
    from scorer.bundle.manifest import LABELS_MAX, SENTENCE_CHARACTERS_MAX, WORD_CHARACTERS_MAX

    labels = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and 0 < len(key) <= WORD_CHARACTERS_MAX and len(value) <= SENTENCE_CHARACTERS_MAX):
            raise MisuseError(
                f"--label {assignment[:80]}: write KEY=VALUE, up to {WORD_CHARACTERS_MAX} characters for the key and "
                f"{SENTENCE_CHARACTERS_MAX:,} for the value"
            )
        labels[key] = value
    if len(labels) > LABELS_MAX:
        raise MisuseError(f"--label: {len(labels)} labels; a bundle can have at most {LABELS_MAX}")
    return labels


def _print(manifest: "Manifest", uri: str) -> None:
    from rich.console import Console

    console = Console()
    assert manifest.metrics is not None, "training computes metrics"
    dataset = manifest.metrics.dataset
    unlabelled = dataset.rows - dataset.rows_labelled - dataset.rows_refused
    console.print(
        f"{dataset.rows} rows read: {dataset.rows_labelled} labelled, {unlabelled} without a known outcome, "
        f"{dataset.rows_refused} invalid",
        highlight=False,
    )
    for renderable in figures(manifest.metrics):
        console.print(renderable, highlight=False)
    console.print(f"Saved {manifest.reference.short} to {uri}", highlight=False, soft_wrap=True)
    console.print(f"Next: scorer bundle verify {manifest.name}:{manifest.version}", highlight=False)
