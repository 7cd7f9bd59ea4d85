"""Options of `scorer train`, and what they mean."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from schemas.printable import printable
from scorer.cli.model_options import read_missing, read_policy
from scorer.cli.options import require_texts
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from schemas.rows import OutcomeColumn
    from scorer.author.draft_reasons import ReasonsChoice
    from scorer.author.train import Categories, Recipe

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


ReasonsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Catalogue of reasons, TOML or JSON (scorer contract reasons prints a draft); or draft, or none. Default: "
        "a draft with --contract, if contributions can be looked up in tables.",
    ),
]


MonotoneOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD:SIGN",
        help="Number with which the probability of default must not fall (1) or must not rise (-1), for example "
        "income:-1; may be repeated.",
    ),
]


DeriveOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=EXPRESSION", help="Additional column, for example 'dti = debt / income'; may be repeated."
    ),
]


CategoriesOption = Annotated[
    Literal["one-hot", "native"],
    typer.Option(
        "--categories",
        help="one-hot: a column of 0 and 1 per value of a category; native: XGBoost's categorical splits.",
    ),
]


ParamOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="XGBoost parameter, for example max_depth=4; may be repeated."),
]


NameOption = Annotated[str, typer.Option(help="Name of the bundle, for example credit-risk.")]


VersionOption = Annotated[str, typer.Option(help="Version of the bundle, for example 1.2.0; it must not exist yet.")]


MaybeAboveOption = Annotated[float, typer.Option(help="Probability above which the label is MAYBE.")]


DeclinedAboveOption = Annotated[float, typer.Option(help="Probability above which the label is DECLINED.")]


RoundsOption = Annotated[int, typer.Option(min=1, max=10_000, help="Boosting rounds.")]


PlotsOption = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the plots to this folder, as PNG.")]


SkipInvalidOption = Annotated[bool, typer.Option("--skip-invalid", help="Skip invalid rows instead of failing.")]


def read_recipe(
    encoding: tuple[Sequence[str], Sequence[str], "Categories"],
    thresholds: tuple[float, float],
    missing: float,
    tuning: tuple[Sequence[str], Sequence[str]],
    rest: tuple[int, str | None],
) -> "Recipe":
    """Returns how to train, from the texts of the options.

    Args:
        encoding: of --drop, --derive and --categories.
        thresholds: of --maybe-above and --declined-above.
        missing: of --missing.
        tuning: of --param and --monotone.
        rest: of --rounds and --reasons.

    Raises:
        MisuseError: a value is invalid.
    """
    from scorer.author.train import Recipe

    dropped, derived, categories = encoding
    parameters, monotone = tuning
    rounds, reasons = rest
    return Recipe(
        dropped=tuple(dropped),
        derived=_read_pairs("--derive", derived, lambda _, expression: expression),
        policy=read_policy(*thresholds),
        missing=read_missing(missing),
        parameters=_read_pairs("--param", parameters, _read_parameter),
        monotone=_read_pairs("--monotone", monotone, _read_sign, ":"),
        rounds=rounds,
        categories=categories,
        reasons=_read_choice(reasons),
    )


def read_target(text: str | None, contract: "Contract") -> "OutcomeColumn":
    """Returns the column with the outcome of each loan.

    Raises:
        MisuseError: the text is not COLUMN=VALUE, or the column is a field of the contract.
    """
    from schemas.headers import fold
    from schemas.rows import STATUS, OutcomeColumn, plain_code

    if text is None:
        return STATUS
    column, equals, value = text.partition("=")
    if not (equals and column and value):
        raise MisuseError("--target: write COLUMN=VALUE, with the value that means default, for example repaid=0")
    if fold(column) in map(fold, contract.fields):
        raise MisuseError(
            f"--target {printable(column, 80)}: is a field of the contract {contract}, so the model would know the "
            "outcome: remove the field from the contract"
        )
    return OutcomeColumn(column, {plain_code(value.strip().casefold()): "default", "": None}, others="ok")


def _read_pairs(option: str, texts: Sequence[str], read: Callable[[str, str], T], separator: str = "=") -> dict[str, T]:
    """Returns the values of an option by name; of a name that is given twice, nobody knows which one is meant."""
    pairs: dict[str, T] = {}
    for text in texts:
        name, separated, value = (part.strip() for part in text.partition(separator))
        if not (separated and name and value):
            raise MisuseError(f"{option} {text[:80]}: write NAME{separator}VALUE")
        if name in pairs:
            raise MisuseError(f"{option} {name[:80]}: is given twice; remove one of them")
        pairs[name] = read(name, value)
    return pairs


def _read_parameter(name: str, value: str) -> str | int | float:
    if name in {"objective", "nthread", "monotone_constraints"}:
        raise MisuseError(f"--param {name}: cannot be changed")
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if not math.isfinite(number):
            raise MisuseError(f"--param {name}: {value} is not a number that a model can be trained with")
        return number
    return value


def _read_sign(name: str, value: str) -> int:
    if value not in {"1", "+1", "-1"}:
        raise MisuseError(f"--monotone {name}: the sign must be 1 or -1")
    return int(value)


def _read_choice(reasons: str | None) -> "ReasonsChoice":
    """Returns the catalogue of `--reasons`, or the choice that it names.

    Raises:
        MisuseError: the file cannot be read, or is not a catalogue.
    """
    from scorer.author.draft_reasons import read_reasons

    match reasons:
        case None | "draft" | "none":
            return reasons
        case _:
            return read_reasons(Path(reasons))
