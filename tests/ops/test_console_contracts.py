"""The console with contracts of other lenders, in a real browser: German credit is decided, and any other one shown."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from schemas.bases import is_optional_basis
from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.defects import ABSENT, replace_value
from schemas.deployment import DeploymentEvent
from schemas.examples import DEPLOYMENT
from scorer.bundle.load import read_manifest
from scorer.console.form_examples import make_examples
from scorer.local.broker import Broker
from scorer.store.store import SHIPPED
from tests.integration.worker_process import WAIT_S, Topics, WorkerProcess, wait_until, worker
from tests.ops.console_process import ConsoleProcess, console, require_accessible
from tests.real_data import lender_file
from tests.unit.console.contracts import CONTRACTS, GERMAN_CREDIT

pytestmark = pytest.mark.broker
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=800)
IN_BOTH_WIDTHS: Final = pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360", "1280"])
EXAMPLES: Final = make_examples(CONTRACTS["german-credit"])
REJECTED: Final = [example for example in EXAMPLES if example.code]

expect.set_options(timeout=WAIT_S * 1_000)


class TopicsWithStore(Topics):
    """Topics whose workers have a store of their own."""

    def __init__(self, servers: str, store: Path) -> None:
        super().__init__(servers, 1)
        self.store = store

    def environment(self) -> dict[str, str]:
        """The settings that send a worker here."""
        return super().environment() | {"SCORER_STORE": str(self.store)}

    def deploy(self, bundle: BundleReference, contract: Contract) -> None:
        """A deployment as the command writes it, also of contracts that have nothing in common."""
        event = DEPLOYMENT.model_copy(update={"bundle": bundle, "contract": dict(contract.document)})
        self.publish(DeploymentEvent.model_validate(event.model_dump()).model_dump_json().encode(),
                     topic=self.deployments, key=None)  # fmt: skip


def wait_for_switch(deciding: WorkerProcess, name: str) -> None:
    """Waits until the worker decides with a bundle of this name."""
    wait_until(
        lambda: any(event["bundle"].startswith(f"{name}:") for event in deciding.events("bundle_switched")[-1:]),
        f"the worker's switch to {name}",
    )


def missing_bundle(contract: Contract) -> BundleReference:
    """A bundle that nobody has: the console needs its contract alone."""
    return BundleReference(name=contract.name, version="9.9.9", digest="9" * 64)


@pytest.fixture(scope="module")
def german(chromium: Browser, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> TopicsWithStore:
    """A model for German credit, trained and deployed."""
    del chromium
    data, store = lender_file("german_credit"), tmp_path_factory.mktemp("store")
    subprocess.run(
        [
            sys.executable, "-m", "scorer", "train", str(data), "--contract", str(GERMAN_CREDIT),
            "--target", "creditability=bad", "--drop", "personal_status_and_sex", "--drop", "foreign_worker",
            "--name", "german", "--version", "1.0.0", "--store", str(store),
        ],
        check=True, capture_output=True, timeout=4 * WAIT_S,
        env=os.environ | {"PYTHONPATH": ""},  # where the tests of workers hide scikit-learn
    )  # fmt: skip
    topics = TopicsWithStore(broker.bootstrap_servers, store)
    topics.deploy(read_manifest(store / "german" / "1.0.0").reference, CONTRACTS["german-credit"])
    return topics


@pytest.fixture(scope="module")
def deciding(german: TopicsWithStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that decides with the champion."""
    with worker(german, tmp_path_factory.mktemp("deciding") / "w.log") as started:
        yield started


@pytest.fixture(scope="module")
def served(
    german: TopicsWithStore, deciding: WorkerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConsoleProcess]:
    """A console that sees the worker."""
    del deciding
    with console(german.environment(), tmp_path_factory.mktemp("served") / "console.log") as started:
        yield started


@pytest.fixture(scope="module")
def undecided(
    chromium: Browser, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TopicsWithStore, ConsoleProcess]]:
    """Topics without a worker, and a console, for contracts that are only shown."""
    del chromium
    folder = tmp_path_factory.mktemp("undecided")
    topics = TopicsWithStore(broker.bootstrap_servers, folder)
    with console(topics.environment(), folder / "console.log") as started:
        yield topics, started


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page in which the browser finds no fault; a refused request is one, which the test then takes out."""
    context: BrowserContext = chromium.new_context(viewport=WIDE, bypass_csp=True)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    context.close()
    assert faults == []


def open_form(page: Page, served: ConsoleProcess, contract: Contract) -> Page:
    """The form, once the console has heard of the contract: it follows the history within a second or so."""
    wait_until(lambda: contract.sha256 in served.ask("/try").body, "the contract's form", every_s=0.5)
    page.goto(f"{served.address}/try")
    expect(page.locator("#contract")).to_contain_text(str(contract))
    return page


def shown_application(page: Page) -> Any:
    """What the form would publish."""
    page.get_by_role("button", name="JSON").click()
    application = json.loads(page.get_by_label("JSON", exact=True).input_value())
    page.get_by_role("button", name="Form").click()
    return application


def first_try(page: Page) -> Locator:
    """The newest try."""
    return page.locator("#tries li").first


@IN_BOTH_WIDTHS
def test_german_credit_is_decided(
    page: Page, served: ConsoleProcess, german: TopicsWithStore, viewport: ViewportSize
) -> None:
    """What the form holds is published as it stands there, commas, colons and all, and decided by that model."""
    page.set_viewport_size(viewport)
    open_form(page, served, CONTRACTS["german-credit"])
    expect(page.locator("#contract")).to_contain_text("of the champion german:1.0.0")
    page.get_by_label("Duration in month").fill("48")
    page.get_by_label("Credit amount").fill("12000")
    page.get_by_label("Telephone").select_option("yes, registered under the customers name")
    page.get_by_label("Status of existing checking account").select_option(
        label="... >= 200 DM / salary assignments for at least 1 year"
    )
    expect(page.locator("#validation")).to_have_text("The application is valid.")
    page.get_by_role("button", name="Publish").click()
    expect(first_try(page)).to_contain_text(re.compile("APPROVED|MAYBE|DECLINED"))
    expect(first_try(page)).to_contain_text("german:1.0.0@")
    name = re.search("try-[0-9a-f]+", first_try(page).inner_text())
    assert name is not None
    (published,) = [
        json.loads(m.value() or b"") for m in german.read(german.applications) if m.key() == name[0].encode()
    ]
    assert published["application_id"] == name[0]
    assert published["duration_in_month"] == 48
    assert published["telephone"] == "yes, registered under the customers name"
    assert published["status_of_existing_checking_account"].startswith("... >= 200 DM / salary")
    assert published["personal_status_and_sex"] == "female : divorced/separated/married"
    (decided,) = [json.loads(m.value() or b"") for m in german.read(german.decisions) if m.key() == name[0].encode()]
    assert decided["decision_id"] in first_try(page).inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("example", REJECTED, ids=lambda example: example.code)
def test_invalid_examples_give_what_they_say(page: Page, served: ConsoleProcess, example: Any) -> None:
    """The page says the code and the reason beforehand, and the scorer rejects it with these."""
    open_form(page, served, CONTRACTS["german-credit"])
    page.get_by_label("Fill in an example").select_option(label=example.title)
    expect(page.locator("#validation")).to_have_text(f"It will be rejected: {example.code}: {example.reason}")
    page.get_by_role("button", name="Publish").click()
    expect(first_try(page)).to_contain_text("REJECTED")
    expect(first_try(page)).to_contain_text(example.reason)
    expect(first_try(page).locator("dl")).to_contain_text(example.code)


def test_an_invalid_field_is_named_and_reached(page: Page, served: ConsoleProcess) -> None:
    """Of many fields, the invalid ones are named, and a click leads to each."""
    open_form(page, served, CONTRACTS["german-credit"])
    page.get_by_label("Age in years").fill("17")
    page.get_by_label("Duration in month").fill("1.5")
    expect(page.locator("#validation")).to_contain_text("2 fields are invalid")
    page.locator("#validation").get_by_role("button", name="Age in years").click()
    expect(page.get_by_label("Age in years")).to_be_focused()
    page.get_by_role("button", name="Publish anyway").click()
    expect(first_try(page)).to_contain_text("age_in_years: out of range, an integer from 18 to 120 is needed")
    expect(first_try(page)).to_contain_text("duration_in_month: wrong type")


def test_another_contract_is_deployed_meanwhile(
    page: Page, served: ConsoleProcess, german: TopicsWithStore, deciding: WorkerProcess
) -> None:
    """The open page says so, nothing of it is published, and after it is loaded again its form is the new one."""
    own = read_manifest(german.store / "german" / "1.0.0").reference
    shipped = read_manifest(SHIPPED / "credit-risk" / "1.1.0").reference
    open_form(page, served, CONTRACTS["german-credit"])
    replaced = page.locator("#replaced")
    german.deploy(shipped, shipped_contract())
    expect(replaced).to_contain_text("Another contract is deployed now: credit-application:1.0.0.")
    page.get_by_role("button", name="Publish").click()
    expect(first_try(page)).to_contain_text("NOT PUBLISHED")
    expect(first_try(page)).to_contain_text("another contract is deployed now, credit-application:1.0.0; reload")
    wait_for_switch(deciding, "credit-risk")
    replaced.get_by_role("link").click()
    expect(page.get_by_label("Seniority")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    expect(first_try(page)).to_contain_text("credit-risk:1.1.0@")
    german.deploy(own, CONTRACTS["german-credit"])
    expect(replaced).to_contain_text("german-credit:1.0.0")
    german.deploy(shipped, shipped_contract())
    expect(replaced).to_be_hidden()
    german.deploy(own, CONTRACTS["german-credit"])
    expect(replaced).to_be_visible()
    wait_for_switch(deciding, "german")


def test_the_interface_is_of_the_deployed_contract(page: Page, served: ConsoleProcess) -> None:
    """Fields with their values, the codes with what gets them, and a document to download that a tool can read."""
    contract = CONTRACTS["german-credit"]
    open_form(page, served, contract)
    page.get_by_role("link", name="Interface").click()
    expect(page.locator("#contract")).to_contain_text("german-credit:1.0.0")
    row = page.locator(".fields .row", has=page.get_by_text("other_debtors_or_guarantors", exact=True))
    expect(row.first).to_contain_text("co-applicant guarantor none")
    rejected = page.locator(".fields .row", has=page.locator("dt", has_text="unknown_category")).last
    rejected.get_by_text("Example").click()
    expect(rejected).to_contain_text(REJECTED[-1].reason)
    with page.expect_download() as download:
        page.get_by_role("link", name="AsyncAPI 3 document").click()
    document = yaml.safe_load(download.value.path().read_text(encoding="utf-8"))
    properties = document["components"]["schemas"]["GermanCreditApplication"]["properties"]
    assert list(properties) == list(contract.fields)


def test_nothing_of_an_application_is_logged(page: Page, served: ConsoleProcess) -> None:
    """Neither of a valid one nor of one that cannot be published."""
    open_form(page, served, CONTRACTS["german-credit"])
    page.get_by_role("button", name="JSON").click()
    text = '{"purpose": "marker-of-a-person"}'
    page.get_by_label("JSON", exact=True).fill(text)
    page.get_by_role("button", name="Publish").click()
    expect(first_try(page)).to_contain_text("REJECTED")
    page.get_by_label("JSON", exact=True).fill(text[:-1])
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    headers = {"Content-Type": "application/json", "Origin": served.address}
    for path in ("/api/applications", "/api/code"):  # as a page would send it nevertheless
        assert served.ask(path, "POST", text[:-1].encode(), headers).status == 400
    assert "marker" not in served.log()


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_form_reads_as_the_contract_nests(
    page: Page, undecided: tuple[TopicsWithStore, ConsoleProcess], name: str
) -> None:
    """What the form holds at first is the contract's example, every field in its object; date-times are in UTC.

    Optional fields that are prohibited bases are left out.
    """
    topics, served = undecided
    contract = CONTRACTS[name]
    topics.deploy(missing_bundle(contract), contract)
    open_form(page, served, contract)
    expect(page.locator("#validation")).to_have_text("The application is valid.")
    expected = json.loads(make_examples(contract)[0].text)
    for field in contract.fields.values():
        if is_optional_basis(field):
            expected = replace_value(expected, field.path, ABSENT)
    if name == "nested":
        expected["request"]["received"] = "2026-01-31T21:30:00Z"
    assert shown_application(page) == expected


def test_unknown_values_null_and_absence(page: Page, undecided: tuple[TopicsWithStore, ConsoleProcess]) -> None:
    """Each can be chosen where the contract allows it; what is not sent cannot be typed and is not checked."""
    topics, served = undecided
    contract = CONTRACTS["nested"]
    topics.deploy(missing_bundle(contract), contract)
    open_form(page, served, contract)
    page.get_by_label("Children: what is sent").select_option("-9 (unknown)")
    page.get_by_label("Since: what is sent").select_option("not sent")
    page.get_by_label("Score: what is sent").select_option("null (unknown)")
    page.get_by_label("Channel").select_option(label="? (unknown)")
    page.get_by_label("Married").select_option("not sent")
    page.get_by_label("Spouse: what is sent").select_option("null (unknown)")
    page.get_by_label("Received").fill("2024-02-29T01:02:03")
    page.get_by_label("Name", exact=True).fill("")
    expect(page.get_by_role("spinbutton", name="Children")).to_be_disabled()
    expect(page.get_by_role("spinbutton", name="Income")).to_be_disabled()
    expect(page.locator("#validation")).to_contain_text("1 field is invalid")
    page.get_by_label("Name", exact=True).fill("x" * 21)
    expect(page.locator("#validation")).to_contain_text("1 field is invalid")
    page.get_by_label("Name", exact=True).fill("\N{GRINNING FACE}" * 20)
    expect(page.locator("#validation")).to_have_text("The application is valid.")
    assert shown_application(page) == {
        "request": {"received": "2024-02-29T01:02:03Z"},
        "applicant": {"born": "1990-05-17", "children": -9, "employer": {"name": "\N{GRINNING FACE}" * 20}},
        "spouse": None,
        "id": "x",
        "score": None,
        "channel": "?",
    }
    page.get_by_label("Spouse: what is sent").select_option("not sent")
    assert "spouse" not in shown_application(page)


def test_a_field_among_150_is_found(page: Page, undecided: tuple[TopicsWithStore, ConsoleProcess]) -> None:
    """By a part of its label or name; Enter does not publish, and a hidden field that is invalid can be reached."""
    topics, served = undecided
    topics.deploy(missing_bundle(CONTRACTS["wide"]), CONTRACTS["wide"])
    open_form(page, served, CONTRACTS["wide"])
    expect(page.locator("#publish")).to_be_in_viewport()
    find = page.get_by_label("Find a field")
    page.get_by_role("spinbutton", name="Field 0 0").fill("-1")
    find.fill("Field 7 3")
    expect(page.locator("#as-form .field:visible")).to_have_count(1)
    expect(page.locator("#as-form fieldset:visible")).to_have_count(1)
    find.press("Enter")
    expect(page.locator("#tries li")).to_have_count(0)
    page.locator("#validation").get_by_role("button", name="Field 0 0").click()
    expect(page.get_by_role("spinbutton", name="Field 0 0")).to_be_focused()
    expect(page.locator("#as-form .field:visible")).to_have_count(150)


@IN_BOTH_WIDTHS
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["german-credit", "nested", "wide"])
def test_no_serious_violation(
    chromium: Browser,
    undecided: tuple[TopicsWithStore, ConsoleProcess],
    name: str,
    viewport: ViewportSize,
    theme: Any,
) -> None:
    """Axe finds nothing serious or critical in the form and the interface of any contract; and nothing is cut off."""
    topics, served = undecided
    topics.deploy(missing_bundle(CONTRACTS[name]), CONTRACTS[name])
    # Only so that axe can be put into the page; what the policy allows is the other tests' business.
    context = chromium.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)
    page = open_form(context.new_page(), served, CONTRACTS[name])
    for view in ("/try", "/interface"):
        page.goto(served.address + view)
        expect(page.locator("#status")).to_have_text("no worker is running: applications are waiting")
        require_accessible(page, theme)
    context.close()
