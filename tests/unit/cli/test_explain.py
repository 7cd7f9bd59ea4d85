"""`scorer explain`: one decision, what it is based on, and the proof that it can be recomputed."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.decision import BundleReference
from schemas.records import ReadDecision, read_decision
from schemas.review import Review, ReviewLabel
from scorer.core.score import score_batch
from scorer.replay.lookup import Lookup
from scorer.store.store import BundleStore
from tests.fakes import FakeRecord
from tests.unit.bundle.contracts import car_loan, car_loan_bundle
from tests.unit.bundle.making import remake
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.slow

TOPIC = "credit.applications"
SALARY = {"code": "SALARY", "fields": ["salary"], "text": {"en": "The salary is low.", "de": "Das Gehalt ist gering."}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with a catalogue."""
    return _with_catalogue(car_loan_bundle(tmp_path / "bundle"))


@pytest.fixture
def lenient(tmp_path: Path) -> Path:
    """The same with another policy: MAYBE for who would be declined."""
    return _with_catalogue(car_loan_bundle(tmp_path / "lenient", declined_above=0.99))


def _with_catalogue(folder: Path) -> Path:
    reasons = {"method": "tree-path-dependent", "catalogue": [SALARY]}
    return remake(folder, lambda manifest: manifest.update(reasons=reasons))


def _write(tmp_path: Path, *applications: bytes) -> Path:
    path = tmp_path / "application.jsonl"
    path.write_bytes(b"\n".join(applications) + b"\n")
    return path


def on_topics(monkeypatch: pytest.MonkeyPatch, folder: Path, **changed: Any) -> ReadDecision:
    """Puts an application of low salary and its decision on topics; returns the decision."""
    record = FakeRecord((2, 5), car_loan(salary=1_000), b"c-1", topic_name=TOPIC)
    (value,) = score_batch([record], BundleStore(None).open(str(folder)), 65_536).results
    assert isinstance(value, bytes)
    decision = read_decision(FakeRecord((0, 0), value))
    assert isinstance(decision, ReadDecision)
    lookup = Lookup(record, decision, value, decision.decision_id, (), None)._replace(**changed)
    monkeypatch.setattr("scorer.operate.listening.require_listening", lambda _: None)
    monkeypatch.setattr("scorer.replay.lookup.look_up", lambda *_: lookup)
    return decision


def test_an_id_with_invisible_characters(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """Publishers choose ids: one that writes from right to left was decided, and could not be explained."""
    BundleStore(tmp_path / "store").put(folder)
    on_topics(monkeypatch, folder)
    assert run("explain", "a-1\u202e").code == 0
    assert run("explain", "a-1\udcff").code == 2


def test_an_application_from_a_file(run: Run, tmp_path: Path, folder: Path) -> None:
    """Everything that explains a decision, on a page of text."""
    ended = run("explain", "--file", _write(tmp_path, car_loan(salary=1_000)), "--bundle", folder)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split() == ["application", "c-1"]
    assert lines[1].startswith("decision     DECLINED, PD 0.")
    assert "decided by   above 0.6 DECLINED, above 0.4 MAYBE, otherwise APPROVED" in lines
    assert "1. SALARY: The salary is low." in lines
    assert "would have led to" in ended.out
    assert "instead of 1000" in ended.out
    (bar,) = (line for line in lines if line.startswith("salary "))
    assert bar.split()[1] == "1000"
    assert "█" * 24 in bar


def test_for_scripts(run: Run, tmp_path: Path, folder: Path) -> None:
    """The same as JSON; the change that it names leads to what it says."""
    explained = json.loads(
        run("explain", "--file", _write(tmp_path, car_loan(salary=1_000)), "--bundle", folder, "--json").out
    )
    assert explained["reasons"] == [{"code": "SALARY", "text": "The salary is low."}]
    assert explained["reproduced"] is None
    assert [one["field"] for one in explained["contributions"]] == ["salary", "owner"]
    change = explained["smallest_change"]
    file = _write(tmp_path, car_loan(salary=change["after"]))
    again = json.loads(run("explain", "--file", file, "--bundle", folder, "--json").out)
    assert (again["decision"], again["probability_of_default"]) == (change["label"], change["probability_of_default"])


def test_the_language_of_sentences(run: Run, tmp_path: Path, folder: Path) -> None:
    """One that the catalogue does not have is an error that lists those that it has."""
    file = _write(tmp_path, car_loan(salary=1_000))
    assert "Das Gehalt ist gering." in run("explain", "--file", file, "--bundle", folder, "--language", "de").out
    ended = run("explain", "--file", file, "--bundle", folder, "--language", "fr")
    assert ended.code == 2
    assert "--language fr: the catalogue has de, en" in ended.err


def test_without_a_catalogue_contributions_are_shown(run: Run, tmp_path: Path) -> None:
    """Only sentences are missing, and the output says so."""
    folder = car_loan_bundle(tmp_path / "plain")
    ended = run("explain", "--file", _write(tmp_path, car_loan(salary=1_000)), "--bundle", folder)
    assert ended.code == 0
    assert "No reasons: the bundle has no catalogue of reasons" in ended.out
    assert "█" in ended.out


def test_a_model_that_cannot_be_explained(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What decided is said all the same, and which values could not be tried."""
    monkeypatch.setattr("scorer.bundle.runners.GuardedModel.can_explain", property(lambda _: False))
    folder = car_loan_bundle(tmp_path / "plain")
    arguments = ("--file", _write(tmp_path, car_loan(salary=1_000)), "--bundle", folder)
    ended = run("explain", *arguments, "--out", "page.html")
    assert ended.code == 0, ended.err
    assert "No contributions: only models of the runner xgboost can be explained" in ended.out
    assert "the model's numbers were not tried" in ended.out
    assert "Only models of the runner xgboost can be explained." in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads(run("explain", *arguments, "--json").out)["contributions"] is None


def test_a_decision_on_the_topic_is_reproduced(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """The bundle comes from the store, by the digest in the decision."""
    BundleStore(tmp_path / "store").put(folder)
    decision = on_topics(monkeypatch, folder)
    ended = run("explain", "c-1")
    assert ended.code == 0, ended.err
    assert decision.decision_id in ended.out
    assert "recomputing gives the same " in ended.out


def test_a_decision_that_is_not_reproduced_is_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """Someone wrote it by hand, or the record is another one."""
    BundleStore(tmp_path / "store").put(folder)
    on_topics(monkeypatch, folder, value=b"{}")
    ended = run("explain", "c-1")
    assert ended.code == 1
    assert "recomputing does NOT give the 2 bytes" in ended.out
    assert json.loads(run("explain", "c-1", "--json").out)["reproduced"] is False


def test_other_decisions_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    """With the current one if another one was asked for."""
    BundleStore(tmp_path / "store").put(folder)
    decision = on_topics(monkeypatch, folder)
    on_topics(monkeypatch, folder, current_id="correction", others=(decision,))
    ended = run("explain", decision.decision_id)
    assert "This is not the current decision, which is correction" in ended.out
    assert f"  {decision.decision_id}  DECLINED  decision" in ended.out


def review(label: ReviewLabel, reason: str) -> Review:
    """A review of the decision on the topic."""
    at = datetime(2026, 1, 31, 11, tzinfo=UTC)
    return Review(
        review_id="r-1", application_id="c-1", decision_id="d-1", label=label, reason=reason, reviewer="ana", at=at
    )


def test_the_review_of_a_decision(run: Run, monkeypatch: pytest.MonkeyPatch, lenient: Path, tmp_path: Path) -> None:
    """By whom, when and why; the letter has the reviewer's reason first, and each reason once."""
    BundleStore(tmp_path / "store").put(lenient)
    on_topics(monkeypatch, lenient)
    assert "\nreview       none yet\n" in run("explain", "c-1").out
    assert "warning: the decision is MAYBE, and no review counts" in run("explain", "c-1", "--letter", "default").err
    on_topics(monkeypatch, lenient, review=review("DECLINED", "The pay slips are not yours."))
    ended = run("explain", "c-1", "--out", "page.html")
    assert "\nreview       DECLINED by ana on 2026-01-31: The pay slips are not yours.\n" in ended.out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<dt>Review</dt><dd>DECLINED by ana on 2026-01-31: The pay slips are not yours.</dd>" in page
    explained = json.loads(run("explain", "c-1", "--json").out)
    assert (explained["decision"], explained["decision_of_record"]) == ("MAYBE", "DECLINED")
    assert (explained["review"]["reviewer"], explained["review"]["label"]) == ("ana", "DECLINED")
    ended = run("explain", "c-1", "--letter", "default")
    assert "warning" not in ended.err
    letter = ended.out
    assert "\n1. The pay slips are not yours.\n2. The salary is low.\n" in letter
    on_topics(monkeypatch, lenient, review=review("DECLINED", "SALARY"))
    letter = run("explain", "c-1", "--letter", "default", "--language", "de").out
    assert "\n1. Das Gehalt ist gering.\n" in letter
    assert "\n2. " not in letter


def test_an_id_that_many_applications_have(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """The explanation was followed by a line per decision; the newest ones are enough."""
    BundleStore(tmp_path / "store").put(folder)
    decision = on_topics(monkeypatch, folder)
    on_topics(monkeypatch, folder, others=(decision,) * 2_000)
    _, others = run("explain", "c-1").out.split("Other decisions on this application:\n")
    assert others.splitlines()[0] == "  1,980 more, which --json lists"
    assert len(others.splitlines()) == 21
    assert len(json.loads(run("explain", "c-1", "--json").out)["other_decisions"]) == 2_000


def test_no_letter_if_a_reviewer_approved(
    run: Run, monkeypatch: pytest.MonkeyPatch, lenient: Path, tmp_path: Path
) -> None:
    """Although the decision is MAYBE."""
    BundleStore(tmp_path / "store").put(lenient)
    on_topics(monkeypatch, lenient, review=review("APPROVED", "pay slips"))
    ended = run("explain", "c-1", "--letter", "default")
    assert ended.code == 1
    assert "is APPROVED by the review of ana; only other decisions have reasons" in ended.err


def test_no_letter_for_a_decision_that_is_not_current(
    run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """A replay had approved the application, and the letter declined it, without a word."""
    BundleStore(tmp_path / "store").put(folder)
    decision = on_topics(monkeypatch, folder, current_id=f"{TOPIC}:2:5@{'f' * 12}")
    assert "This is not the current decision" in run("explain", decision.decision_id).out
    ended = run("explain", decision.decision_id, "--letter", "default")
    assert (ended.code, ended.out) == (1, "")
    assert f"{decision.decision_id} is not the current decision, which is {TOPIC}:2:5@ffffffffffff" in ended.err


def test_a_bundle_that_is_not_in_the_store(run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The message names it, and what to do."""
    decision = on_topics(monkeypatch, folder)
    assert isinstance(decision.bundle, BundleReference)
    ended = run("explain", "c-1")
    assert ended.code == 1
    assert f"the bundle of the decision, {decision.bundle.short}, is not available: " in ended.err
    assert "`scorer bundle import`" in ended.err


@pytest.mark.parametrize(
    ("applications", "message"),
    [
        ((), "contains no application"),
        ((car_loan(), car_loan("c-2")), "contains more than one application"),
        ((car_loan(salary=-1),), "rejects the record"),
    ],
)
def test_a_file_has_one_valid_application(
    run: Run, tmp_path: Path, folder: Path, applications: tuple[bytes, ...], message: str
) -> None:
    """One clear message each."""
    ended = run("explain", "--file", _write(tmp_path, *applications), "--bundle", folder)
    assert ended.code != 0
    assert message in ended.err


@pytest.mark.parametrize("arguments", [(), ("c-1", "--bundle", "x:1.0.0"), ("--file", "x.csv"), ("c-1", "--file", "x")])
def test_an_id_or_a_file(run: Run, arguments: tuple[str, ...]) -> None:
    """Either, with what belongs to it."""
    ended = run("explain", *arguments)
    assert ended.code == 2
    assert "name either an ID, or an application with --file FILE --bundle REF" in ended.err


def test_a_page(run: Run, tmp_path: Path, folder: Path) -> None:
    """One file that loads nothing, with what the terminal shows; it has two colour schemes."""
    file = _write(tmp_path, car_loan(loan_id="<b>c-1", salary=1_000))
    ended = run("explain", "--file", file, "--bundle", folder, "--out", "page.html")
    assert ended.code == 0, ended.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!doctype html>")
    assert "Why &lt;b&gt;c-1 is DECLINED" in page
    assert "The salary is low." in page
    assert page.count('<i class="') == 2
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"https?://|src=|<script|<link", page)
    assert run("explain", "--file", file, "--bundle", folder, "--out", "no/page.html").code == 2


def test_the_default_letter(run: Run, tmp_path: Path, folder: Path) -> None:
    """The sentences and what a person fills in; standard output has the letter alone."""
    file = _write(tmp_path, car_loan(salary=1_000))
    ended = run("explain", "--file", file, "--bundle", folder, "--letter", "default")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("[Creditor's name]\n")
    assert "\n1. The salary is low.\n" in ended.out
    assert "[ECOA notice" in ended.out
    assert "not legal advice" in ended.err


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ salary }}", "UndefinedError"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ reasons.__class__.__mro__ }}", "SecurityError"),
        ("{{ reasons.append(1) }}", "SecurityError"),
        ("{% include 'letter.txt' %}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ '{x}'.format(y=1) }}", "KeyError"),
        ("{{ '{} {}'.format(1) }}", "IndexError"),
        ("{{ '{0.missing}'.format(1) }}", "Error"),
        ("{{ reasons | map('upper') | first | round }}", "Error"),
    ],
)
def test_a_template_is_text_with_five_variables(
    run: Run, tmp_path: Path, folder: Path, template: str, message: str
) -> None:
    """Anything else is an error that lists them; code of Python is not reachable."""
    (tmp_path / "letter.txt").write_text(template)
    file = _write(tmp_path, car_loan(salary=1_000))
    ended = run("explain", "--file", file, "--bundle", folder, "--letter", "letter.txt")
    assert ended.code == 2
    assert message in ended.err
    assert "application_id, decision_id, decision, bundle, reasons" in ended.err


def test_a_template_of_ones_own(run: Run, tmp_path: Path, folder: Path) -> None:
    """Text is not escaped."""
    (tmp_path / "letter.txt").write_text(
        "{{ decision }}: {% for one in reasons %}{{ one.code }} & {{ one.text }}{% endfor %}"
    )
    file = _write(tmp_path, car_loan(salary=1_000))
    ended = run("explain", "--file", file, "--bundle", folder, "--letter", "letter.txt", "--language", "de")
    assert ended.out == "DECLINED: SALARY & Das Gehalt ist gering."
    assert run("explain", "--file", file, "--bundle", folder, "--letter", "none.txt").code == 2
    assert run("explain", "--file", file, "--bundle", folder, "--letter", "default", "--json").code == 2


def test_no_letter_without_reasons(run: Run, tmp_path: Path, folder: Path) -> None:
    """For an approved application, or without a catalogue."""
    file = _write(tmp_path, car_loan(salary=4_000))
    ended = run("explain", "--file", file, "--bundle", folder, "--letter", "default")
    assert ended.code == 1
    assert "is APPROVED" in ended.err
    plain = car_loan_bundle(tmp_path / "plain")
    file = _write(tmp_path, car_loan(salary=1_000))
    ended = run("explain", "--file", file, "--bundle", plain, "--letter", "default")
    assert ended.code == 1
    assert "has no catalogue of reasons" in ended.err
