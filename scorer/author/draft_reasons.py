"""Drafts a catalogue of reasons from a contract, for a person to edit, and reads an edited one."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from schemas.contract import Contract
from schemas.decision import CODE_CHARACTERS_MAX
from schemas.fault_words import describe_faults
from schemas.printable import printable
from schemas.text import TextFileError, read_text, read_toml
from scorer.author.model_input import ModelInput
from scorer.bundle.explainer import make_explainer
from scorer.bundle.runners import GuardedModel
from scorer.core.catalogue import ENTRIES_MAX, TEXT_CHARACTERS_MAX, Entry, Reasons, find_prohibited
from scorer.core.expressions import NumberExpression
from scorer.errors import BundleError, MisuseError

METHOD: Final = "tree-path-dependent"

ReasonsChoice = Reasons | Literal["draft", "none"] | None
"""A catalogue; `draft`: one drafted from the contract; `none`: none; None: a draft, if the contract is in the bundle
and contributions can be looked up in tables."""

_SUFFIX_CHARACTERS: Final = 4  # of the number that makes a code unique
_OUTCOME: Final = "raised the estimated risk of default."
_camel_joint: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def choose_reasons(choice: ReasonsChoice, inputs: ModelInput, model: GuardedModel) -> Reasons | None:
    """Returns the reasons of a bundle.

    Args:
        choice: the author's choice.
        inputs: what the model reads.
        model: the opened model.
    """
    if isinstance(choice, Reasons):
        return choice
    if choice == "none" or (choice is None and not inputs.has_own_contract):
        return None
    drafted = draft_reasons(inputs.contract, inputs.encoding.column_fields, inputs.encoding.derived)
    return drafted if choice == "draft" or (drafted and _has_tables(drafted, inputs, model)) else None


def _has_tables(reasons: Reasons, inputs: ModelInput, model: GuardedModel) -> bool:
    """Whether decisions can be explained, and from tables: nobody asked for explanations that take long."""
    try:
        return make_explainer(reasons, inputs.encoding, model).tables is not None
    except BundleError:
        return False


def draft_reasons(
    contract: Contract, fields: Iterable[str], derived: Mapping[str, NumberExpression] | None = None
) -> Reasons | None:
    """Drafts an entry for each field, in the contract's order, and for each derived column.

    Args:
        contract: gives the titles.
        fields: the fields and derived columns; prohibited bases among them, and columns computed from one, get none.
        derived: the expressions of the derived columns, by name.

    Returns:
        Up to 200 entries; None if there would be none.
    """
    expressions, chosen = derived or {}, set(fields)
    entries: list[Entry] = []
    codes: set[str] = set()
    for name in [*contract.inputs, *expressions]:
        expression = expressions.get(name)
        if name not in chosen or find_prohibited(contract, expression.fields if expression else [name]):
            continue
        code = _unique(_code(name), codes)
        codes.add(code)
        text = printable(_sentence(contract, name, expression))[-TEXT_CHARACTERS_MAX:]
        entries.append(Entry(code=code, fields=(name,), text={"en": text}))
    return Reasons(method=METHOD, catalogue=tuple(entries[:ENTRIES_MAX])) if entries else None


def _code(name: str) -> str:
    plain = unicodedata.normalize("NFKD", _camel_joint.sub("_", name)).encode("ascii", "ignore").decode().upper()
    return re.sub(r"[^A-Z0-9]+", "_", plain)[:CODE_CHARACTERS_MAX].strip("_") or "REASON"


def _unique(code: str, codes: set[str]) -> str:
    """Returns a code that is not among the others: with a number after it if need be."""
    number, unique = 2, code
    while unique in codes:
        unique = f"{code[: CODE_CHARACTERS_MAX - _SUFFIX_CHARACTERS].rstrip('_')}_{number}"
        number += 1
    return unique


def _sentence(contract: Contract, name: str, expression: NumberExpression | None) -> str:
    if expression is None:
        return f"{_title(contract, name)}: the value in the application {_OUTCOME}"
    titles = " and ".join(_title(contract, field) for field in expression.fields)
    return f"{_words(name)}: the value calculated from {titles} {_OUTCOME}"


def _title(contract: Contract, name: str) -> str:
    return contract.fields[name].title.strip().rstrip(".:") or _words(name)


def _words(name: str) -> str:
    words = re.sub(r"[_.\s]+", " ", _camel_joint.sub(" ", name)).strip().lower()
    return words[:1].upper() + words[1:]


def read_reasons(path: Path) -> Reasons:
    """Reads a catalogue from a file in JSON (`.json`) or TOML; `method` may be left out.

    Raises:
        MisuseError: the file cannot be read or is invalid; the message lists up to five errors.
    """
    try:
        document = _read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}. A catalogue of reasons is a TOML or JSON file") from None
    try:
        return Reasons.model_validate_json(json.dumps({"method": METHOD, **document}))
    except ValidationError as error:
        raise MisuseError(f"{path}: {describe_faults(error)}") from None
    except TypeError:
        raise MisuseError(f"{path}: a date or time is not part of a catalogue") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise TextFileError("is not JSON") from None
    if not isinstance(document, dict):
        raise TextFileError("is not a JSON object")
    return document


def write_reasons(reasons: Reasons) -> str:
    """Returns a catalogue as TOML, which `read_reasons` reads."""
    return "".join(_write(reasons))


def _write(reasons: Reasons) -> Iterator[str]:
    yield f"method = {_quote(reasons.method)}\n"
    for entry in reasons.catalogue:
        fields = ", ".join(map(_quote, entry.fields))
        yield f"\n[[catalogue]]\ncode = {_quote(entry.code)}\nfields = [{fields}]\n"
        for language, text in entry.text.items():
            yield f"text.{language} = {_quote(text)}\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
