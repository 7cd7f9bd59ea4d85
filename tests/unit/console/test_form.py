"""The form says what the contract says: the same fields, limits and choices, from the JSON Schema alone."""

from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest

from schemas.application import CreditApplication
from schemas.examples import APPLICATIONS
from scorer.console.form import contract_fields
from scorer.console.pages import PAGES, render, render_page
from scorer.settings import Settings

SCHEMA = CreditApplication.model_json_schema()
(PAGE,) = (page for page in PAGES if page.file == "try")


class Controls(HTMLParser):
    """The controls of a form by name, with their attributes and choices."""

    def __init__(self) -> None:
        super().__init__()
        self.controls: dict[str, dict[str, str | None]] = {}
        self.choices: dict[str, list[str]] = {}
        self.labels: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes in an element."""
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in {"input", "select"}:
            self.controls[given["name"] or ""] = given
        elif tag == "label":
            self.labels.append(given["for"] or "")
        elif tag == "option":
            self.choices.setdefault(list(self.controls)[-1], []).append(given["value"] or "")


@pytest.fixture(scope="module")
def form() -> Controls:
    """The form as a browser sees it."""
    controls = Controls()
    page = render_page(PAGE, Settings(), may_log_out=False)
    controls.feed(page.partition('id="as-form"')[2].partition('id="as-json"')[0])
    return controls


def test_every_field_is_shown_once(form: Controls) -> None:
    """All fields of the contract in its order, but for the id, which each try is given."""
    assert list(form.controls) == [name for name in SCHEMA["properties"] if name != "application_id"]
    assert form.labels == [f"field-{name}" for name in form.controls]
    assert len(form.ids) == len(set(form.ids))
    for name, control in form.controls.items():
        assert control["id"] == f"field-{name}"
        assert control["aria-describedby"] in form.ids


def test_the_forms_initial_values_are_valid(form: Controls) -> None:
    """The example that stands in it keeps to the contract."""
    begun: dict[str, Any] = {
        name: float(control["value"] or "") for name, control in form.controls.items() if "value" in control
    }
    chosen = {name: APPLICATIONS["plain"][name] for name in form.choices}
    CreditApplication.model_validate({"application_id": "x", **begun, **chosen})


@pytest.mark.parametrize("name", [n for n, rule in SCHEMA["properties"].items() if n != "application_id"])
def test_limits_and_choices_are_the_contracts(form: Controls, name: str) -> None:
    """What a control lets through is what the schema lets through, at its limits and beyond them."""
    validator = jsonschema.Draft202012Validator(SCHEMA["properties"][name])
    control = form.controls[name]
    if name in form.choices:
        for choice in filter(None, form.choices[name]):
            assert validator.is_valid(choice)
        assert ("" in form.choices[name]) == (name not in SCHEMA["required"])
        assert not validator.is_valid("RENT")
        return
    least, most = float(control["min"] or ""), float(control["max"] or "")
    assert validator.is_valid(least) == ("data-above" not in control)
    assert validator.is_valid(most)
    assert not validator.is_valid(least - 1)
    assert not validator.is_valid(most + 1)
    assert ("required" in control) == (name in SCHEMA["required"])


def test_a_field_that_the_form_does_not_know() -> None:
    """A contract that grows a field of another kind is noticed here, not by somebody at the page."""
    schema = {"properties": {"note": {"type": "string", "examples": ["x"], "description": "."}}, "required": []}
    with pytest.raises(ValueError, match="note: the form supports only numbers and choices"):
        contract_fields(schema)


def test_what_the_schema_says_is_escaped() -> None:
    """Help and choices are text, whatever they hold."""
    rule = {"enum": ["<x>"], "examples": ["<x>"], "description": "<x> & y"}
    fields = contract_fields({"properties": {"x": rule}, "required": ["x"]})
    assert fields[0].choices == ("<x>",)
    page = render("try", fields=fields, page=PAGE, pages=PAGES, may_log_out=False, servers="", group="")
    assert "<x>" not in page
    assert page.count("&lt;x&gt;") == 3
