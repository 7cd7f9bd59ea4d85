"""Contracts from pydantic models: what is converted, and what is named because it cannot be."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, PastDate, field_validator

from scorer.author.from_pydantic import convert_model, load_model
from scorer.errors import MisuseError

pytestmark = pytest.mark.quick


class Home(Enum):
    """A category."""

    RENT = "rent"
    OWN = "own"


class Employer(BaseModel):
    """Who employs the applicant."""

    name: str = Field(min_length=1, max_length=100)
    since: date


class LoanApplication(BaseModel):
    """Someone asks for a loan."""

    application_id: str = Field(max_length=40, json_schema_extra={"x-id": True})
    amount: float = Field(gt=0, le=50_000, json_schema_extra={"x-unit": "EUR"})
    income: float | None = Field(None, ge=0, lt=1e6, description="Monthly.")
    terms: int = Field(36, ge=1, le=120)
    insured: bool = False
    home: Home
    purpose: Literal["car", "boat"] | None = None
    scheme: Literal["standard"] = "standard"
    employer: Employer
    previous: Optional[Employer] = None  # noqa: UP045  both forms are in use
    signed_at: datetime


def properties_of(model: type[BaseModel], id_name: str | None = None) -> dict[str, Any]:
    """The schemas of the converted model's fields."""
    properties: dict[str, Any] = convert_model(model, id_name).document["properties"]
    return properties


def faults_of(model: type[BaseModel], id_name: str | None = "id") -> str:
    """The message about a model that cannot be converted."""
    with pytest.raises(MisuseError) as caught:
        convert_model(model, id_name)
    return str(caught.value)


def test_types_limits_and_defaults_are_converted() -> None:
    """Each kind of field becomes the contract's, with constraints, defaults, annotations and descriptions."""
    converted = convert_model(LoanApplication, None)
    employer = {
        "type": "object",
        "description": "Who employs the applicant.",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "since": {"type": "string", "format": "date"},
        },
        "required": ["name", "since"],
    }
    assert converted.notes == []
    assert converted.document == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-name": "loan-application",
        "x-version": "1.0.0",
        "type": "object",
        "description": "Someone asks for a loan.",
        "properties": {
            "application_id": {"type": "string", "maxLength": 40, "x-id": True},
            "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 50_000, "x-unit": "EUR"},
            "income": {
                "type": ["number", "null"],
                "minimum": 0,
                "exclusiveMaximum": 1_000_000,
                "description": "Monthly.",
            },
            "terms": {"type": "integer", "default": 36, "minimum": 1, "maximum": 120},
            "insured": {"type": "boolean", "default": False},
            "home": {"type": "string", "enum": ["rent", "own"], "description": "A category."},
            "purpose": {"type": ["string", "null"], "enum": ["car", "boat", None]},
            "scheme": {"type": "string", "enum": ["standard"], "default": "standard"},
            "employer": employer,
            "previous": employer | {"type": ["object", "null"]},
            "signed_at": {"type": "string", "format": "date-time"},
        },
        "required": ["application_id", "amount", "home", "employer", "signed_at"],
    }


def test_the_id_is_the_named_field() -> None:
    """--id marks a field, also a nested one; a field that does not exist or is not a str is an error."""

    class Plain(BaseModel):
        number: int
        key: str

    class Nested(BaseModel):
        inner: Plain

    assert properties_of(Plain, "key")["key"] == {"type": "string", "x-id": True}
    assert properties_of(Nested, "inner.key")["inner"]["properties"]["key"]["x-id"] is True
    assert "--id nothing: the model has no such field; its fields: number, key" in faults_of(Plain, "nothing")
    assert "number: the id must be a str" in faults_of(Plain, "number")
    assert 'no field has "x-id": true' in faults_of(Plain, None)


class Level(IntEnum):
    """Not a category: its values are numbers."""

    LOW = 1
    HIGH = 2


class Node(BaseModel):
    """Contains itself."""

    child: "Node | None" = None


@pytest.mark.parametrize(
    ("annotation", "default", "fault"),
    [
        (str, Field(pattern="^[0-9]+$"), "a: pattern: use Literal"),
        (int, Field(multiple_of=5), "a: multipleOf: use int"),
        (list[str], ..., "a: items: a contract has no lists"),
        (dict[str, int], ..., "a: additionalProperties: a contract has no dictionaries"),
        (int | str, ..., "a: anyOf: a field has one type"),
        (Level, ..., "a: enum: the values of a category are strings"),
        (Node, ..., "a.child: $ref: Node contains itself"),
        (object, ..., "a: type: must be a number"),
        (Employer, Employer(name="x", since=date(2024, 1, 1)), "a: default: an object has no default"),
        (float, Field(ge=5, le=1), "a: no number satisfies the limits"),
    ],
)
def test_what_a_contract_cannot_express_is_named(annotation: Any, default: Any, fault: str) -> None:
    """Each constraint outside the subset is one message with the field, the constraint and what to do."""
    namespace = {"__annotations__": {"id": str, "a": annotation}, "__module__": __name__, "a": default}
    model = type("Model", (BaseModel,), {k: v for k, v in namespace.items() if v is not ...})
    message = faults_of(model)
    assert message.startswith("Model cannot be converted into a contract:\n")
    assert message.count("\n") == 1
    assert fault in message


def test_all_faults_are_reported_at_once() -> None:
    """A model with two faults is reported with both."""

    class Two(BaseModel):
        id: str
        a: list[str]
        b: str = Field(pattern="x")

    assert faults_of(Two).count("\n") == 2


def test_rules_that_are_not_in_the_contract_are_noted() -> None:
    """Formats, forbidden properties, validators in Python, limits of dates and Decimal's strings."""

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        id: UUID
        amount: Decimal = Field(gt=0)
        born: PastDate

        @field_validator("amount")
        @classmethod
        def is_round(cls, amount: Decimal) -> Decimal:
            """A rule that only Python has."""
            return amount

    converted = convert_model(Strict, "id")
    assert converted.notes == [
        "the model: other properties are ignored, not forbidden",
        "id: format uuid is not checked: it is a text",
        "amount: Decimal becomes a number; strings of digits are not valid",
        "Strict.is_round: a validator in Python, which is not part of the contract",
        "Strict.born: limits of dates are not part of the contract",
    ]
    assert converted.document["properties"]["amount"] == {"type": "number", "exclusiveMinimum": 0}


def test_models_are_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the current folder is found; what is not a model of it is an error that lists the models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    (tmp_path / "lending_of_a_test.py").write_text(
        "from pydantic import BaseModel\nclass Loan(BaseModel):\n    id: str\n", encoding="utf-8"
    )
    (tmp_path / "broken_module_of_a_test.py").write_text("1 / 0", encoding="utf-8")
    assert load_model("lending_of_a_test:Loan").__name__ == "Loan"
    for reference, fault in (
        ("lending_of_a_test:Lone", "has no pydantic model Lone; its models: Loan"),
        ("lending_of_a_test", "write package.module:Model"),
        ("no_such_module:Loan", "no module no_such_module"),
        ("broken_module_of_a_test:Loan", "importing it failed: ZeroDivisionError"),
    ):
        with pytest.raises(MisuseError, match=fault):
            load_model(reference)
