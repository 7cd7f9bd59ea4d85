"""The form says what the contract says, whatever contract it is: the same fields, limits and choices."""

import json
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from schemas.bases import is_optional_basis
from schemas.contract import Contract, ContractField, Kind
from schemas.contract_values import is_valid
from schemas.contracts import shipped_contract
from schemas.defects import replace_value
from schemas.validation import find_faults
from scorer.console.deployed import Deployed
from scorer.console.form import ABSENT, TYPED, make_form
from scorer.console.form_examples import make_examples
from scorer.console.pages import PAGES, render_page
from scorer.settings import Settings
from tests.unit.console.contracts import CONTRACTS, make_contract, nested

(PAGE,) = (page for page in PAGES if page.file == "try")


class Controls(HTMLParser):
    """The controls of a form by name, with their attributes and choices."""

    def __init__(self) -> None:
        super().__init__()
        self.controls: dict[str, dict[str, str | None]] = {}
        self.choices: dict[str, dict[str, bool]] = {}
        """By the select's id: its values, and whether each is selected."""
        self.labels: list[str] = []
        self.ids: list[str] = []
        self.groups: list[str] = []
        self.legends = 0
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes in an element."""
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in {"input", "select"} and "name" in given:
            self.controls[given["name"] or ""] = given
        if tag == "select":
            self._select = given["id"] or ""
            self.choices[self._select] = {}
        elif tag == "label":
            self.labels.append(given["for"] or "")
        elif tag == "option":
            self.choices[self._select][given["value"] or ""] = "selected" in given
        elif tag == "fieldset":
            self.groups.append(given["data-path"] or "")
        self.legends += tag == "legend"

    def initial(self, name: str) -> Any:
        """The value with which the field is sent at first; `...` if it is not sent."""
        control = self.controls[name]
        own, beside = self.choices.get(control["id"] or ""), self.choices.get(f"{control['id']}-sent")
        (chosen,) = [value for value, selected in (own or beside or {TYPED: True}).items() if selected]
        if chosen != TYPED:
            return ... if chosen == ABSENT else json.loads(chosen)
        text = control["value"] or ""
        if text == "" and not {"required", "data-empty"} & control.keys():
            return ...
        if control["type"] == "number":
            return json.loads(text)
        return f"{text}Z" if control["type"] == "datetime-local" else text


def form_of(contract: Contract) -> Controls:
    """The form as a browser sees it."""
    page = render_page(PAGE, Settings(), Deployed(contract, None), may_log_out=False)
    controls = Controls()
    controls.feed(page.partition('id="as-form"')[2].partition('id="as-json"')[0])
    return controls


FORMS: Final = {name: form_of(contract) for name, contract in CONTRACTS.items()}
WITH_CONTRACT: Final = pytest.mark.parametrize("name", CONTRACTS)
FIELDS: Final = [
    (contract_name, field)
    for contract_name, contract in CONTRACTS.items()
    for field in contract.fields.values()
    if field is not contract.id_field
]
WITH_FIELD: Final = pytest.mark.parametrize(
    ("name", "field"), FIELDS, ids=[f"{name}-{field.name}" for name, field in FIELDS]
)


@WITH_CONTRACT
def test_every_field_is_shown_once(name: str) -> None:
    """All fields of the contract in its order, but for the id, which each try is given; each with label and hint."""
    contract, form = CONTRACTS[name], FORMS[name]
    assert list(form.controls) == [name for name in contract.fields if name != contract.id_field.name]
    assert form.labels == [control["id"] for control in form.controls.values()]
    assert len(form.ids) == len(set(form.ids))
    for control in form.controls.values():
        assert control["aria-describedby"] in form.ids


@WITH_CONTRACT
def test_every_object_with_fields_is_a_group(name: str) -> None:
    """In the contract's order, each with a legend."""
    contract, form = CONTRACTS[name], FORMS[name]
    paths = [field.path for field in contract.fields.values() if field is not contract.id_field]
    objects = dict.fromkeys(path[:length] for path in paths for length in range(1, len(path)))
    assert form.groups == [json.dumps(path) for path in objects]
    assert form.legends == len(form.groups)


@WITH_CONTRACT
def test_the_forms_initial_values_are_valid(name: str) -> None:
    """The example that stands in it keeps to the contract."""
    contract, form = CONTRACTS[name], FORMS[name]
    application: dict[str, Any] = {}
    for field in contract.fields.values():
        value = "try-1" if field is contract.id_field else form.initial(field.name)
        outer = application
        for part in field.path[:-1]:
            outer = outer.setdefault(part, {})
        if value is not ...:
            outer[field.path[-1]] = value
    assert find_faults(contract, application) == []


@WITH_FIELD
def test_choices_are_the_contracts(name: str, field: ContractField) -> None:
    """Every category, both booleans, every value that means unknown, null and absence, where they are valid alone."""
    form = FORMS[name]
    control = form.controls[field.name]
    is_input = "type" in control
    choices = form.choices.get(f"{control['id']}-sent" if is_input else control["id"] or "", {})
    assert is_input == (field.kind not in {Kind.CATEGORY, Kind.BOOLEAN})
    values = [json.loads(choice) for choice in choices if choice not in (TYPED, ABSENT)]
    assert all(is_valid(field, value) for value in values)
    expected = {*field.categories, *field.unknown, *((True, False) if field.kind is Kind.BOOLEAN else ())}
    assert set(values) == expected | ({None} if field.nullable else set())
    assert (TYPED in choices) == (is_input and bool(choices))
    if choices:
        assert (ABSENT in choices) == (not field.required)
        assert sum(choices.values()) == 1


@WITH_FIELD
def test_limits_are_the_contracts(name: str, field: ContractField) -> None:
    """What an input lets through is what the contract lets through, at its limits and beyond them."""
    control = FORMS[name].controls[field.name]
    if field.kind.is_numeric:
        step = 1 if field.kind is Kind.INTEGER else 0.5
        assert control["step"] == ("1" if field.kind is Kind.INTEGER else "any")
        assert ("required" in control) == field.required
        for end, sign in (("min", -step), ("max", step)):
            if end in control:
                limit = float(control[end] or "")
                assert not is_valid(field, limit + sign)
                assert is_valid(field, limit) == _is_inside(control, limit)
        assert not is_valid(field, float(control["data-above"] or ""))
        assert not is_valid(field, float(control["data-below"] or ""))
    elif field.kind is Kind.TEXT:
        shortest, longest = int(control["data-shortest"] or ""), control.get("data-longest")
        assert is_valid(field, "x" * shortest)
        assert shortest == 0 or not is_valid(field, "x" * (shortest - 1))
        if longest is not None:
            assert is_valid(field, "x" * int(longest))
            assert not is_valid(field, "x" * (int(longest) + 1))
    else:
        assert control.get("type", "") == {Kind.DATE: "date", Kind.DATE_TIME: "datetime-local"}.get(field.kind, "")


def _is_inside(control: dict[str, str | None], number: float) -> bool:
    return float(control["data-above"] or "") < number < float(control["data-below"] or "")


def test_titles_are_labels_and_names_stay_known() -> None:
    """A reason names the field by its dotted name; so it is shown wherever the label does not tell it."""
    fields = {field.name: field for field in make_form(nested()).fields()}
    assert (fields["id"].label, fields["id"].shows_name) == ("<Note> & remarks", True)
    assert (fields["applicant.born"].label, fields["applicant.born"].shows_name) == ("Born", True)
    assert (fields["score"].label, fields["score"].shows_name, fields["score"].note) == ("Score", False, "points")
    assert "Prohibited basis: none, this is a test." in fields["channel"].limits
    (label,) = [field.label for field in make_form(make_contract({"monthlyIncome_net": {"type": "number"}})).fields()]
    assert label == "Monthly Income net"


def test_what_the_contract_says_is_escaped() -> None:
    """Titles, names, hints and choices are text, whatever they hold."""
    hostile = {"type": "string", "enum": ["<x>"], "title": "<x>", "description": "<x> & y", "x-unit": "<x>"}
    contract = make_contract({"<x>": hostile}, title="<x>")
    page = render_page(PAGE, Settings(), Deployed(contract, None), may_log_out=False)
    assert "<x>" not in page
    assert page.count("&lt;x&gt;") >= 6


def test_objects_that_may_be_absent_or_null() -> None:
    """They can be left out or sent as null; those that contain the id cannot."""
    contract = make_contract(
        {
            "outer": {
                "type": ["object", "null"],
                "properties": {"id": {"type": "string", "x-id": True}, "n": {"type": "number"}},
                "required": ["id"],
            },
            "other": {"type": ["object", "null"], "properties": {"n": {"type": "number"}}},
            "id": {"type": "string"},
        }
    )
    choices = {group.name: group.choices for group in make_form(contract).members if hasattr(group, "members")}
    assert choices["outer"] == ()
    assert [choice.value for choice in choices["other"]] == ["{}", "", "null"]


@WITH_CONTRACT
def test_the_examples_give_what_they_say(name: str) -> None:
    """With an id they are valid, or have the fault of their code; one per code that the fields can cause."""
    contract = CONTRACTS[name]
    examples = make_examples(contract)
    assert [example.code for example in examples if example.code] == [
        "missing_field", "wrong_type", "out_of_range", "unknown_category",
    ]  # fmt: skip
    assert examples[0].title == "every field"
    for example in examples:
        application = json.loads(example.text)
        published = replace_value(application, contract.id_path, "try-1")
        assert published != application, "the id is left to the console"
        faults = find_faults(contract, published)
        assert [fault.code.value for fault in faults[:1]] == ([example.code] if example.code else [])
        assert example.reason == "; ".join(f"{fault.name}: {fault.rule}" for fault in faults)


def test_a_fault_of_the_id_is_no_example() -> None:
    """Each try gets a valid id, so that example would be decided; the contract has no other text with a limit."""
    codes = [example.code for example in make_examples(make_contract({"b": {"type": "boolean"}}, ("b",)))]
    assert codes == ["", "", "missing_field", "wrong_type"]


def test_the_page_names_its_contract() -> None:
    """With the digest, by which the page and the console notice that another one was deployed."""
    contract = shipped_contract()
    page = render_page(PAGE, Settings(), None, may_log_out=False)
    assert f'data-sha256="{contract.sha256}"' in page
    assert "the deployment history is still being read" in page
    assert "nothing is deployed yet" in render_page(PAGE, Settings(), Deployed(contract, None), may_log_out=False)


def test_nothing_can_be_sent_before_the_script_runs() -> None:
    """A browser alone would send the form to the page itself, with every value in the address."""
    page = render_page(PAGE, Settings(), None, may_log_out=False)
    assert '<button type="submit" id="publish" disabled>' in page


@WITH_FIELD
def test_an_optional_prohibited_basis_is_not_filled_in(name: str, field: ContractField) -> None:
    """Nobody should send it by accident; a required one has its example, like every other field."""
    assert (FORMS[name].initial(field.name) is ...) == is_optional_basis(field)
