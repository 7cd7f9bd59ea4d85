"""`scorer policy check | test` and `scorer bundle repolicy`: from a policy file to a bundle on the same model."""

import json
from pathlib import Path

import pytest

from scorer.bundle.load import read_manifest
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN
from tests.unit.cli.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]

POLICY = """
cases = "cases.csv"
[policy]
maybe_above = 0.25
declined_above = 0.5
[policy.segments]
field = "home"
values = { rent = { maybe_above = 0.1, declined_above = 0.2 } }
[[policy.rules]]
id = "poor"
when = "income < 20"
label = "DECLINED"
"""
CASES = """\
case,probability_of_default,home,income,expected_label,expected_rule
poor,0.1,owner,10,DECLINED,poor
unknown income,0.1,owner,,APPROVED,
renter,0.15,rent,50,MAYBE,
"""


def _changed(text: str, change: str) -> str:
    """A text with a change, written as `before|after`."""
    before, _, after = change.partition("|")
    assert before in text
    return text.replace(before, after)


@pytest.fixture(autouse=True)
def policy(tmp_path: Path) -> Path:
    """A policy file with its cases; commands run in its folder."""
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "cases.csv").write_text(CASES)
    return tmp_path / "policy.toml"


def test_a_policy_file_is_checked(run: Run, policy: Path) -> None:
    """Without findings the exit code is 0, with an error 1; a bundle's policy is checked likewise."""
    assert run("policy", "check", "policy.toml").code == 0
    assert run("policy", "check", str(PLAIN)).code == 0
    policy.write_text(POLICY + '[[policy.rules]]\nid = "poorer"\nwhen = "income < 10"\nlabel = "MAYBE"\n')
    ended = run("policy", "check", "policy.toml", "--json")
    assert ended.code == 1
    assert [finding["rule"] for finding in json.loads(ended.out)["findings"]] == ["shadowed"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("income < 20|income <", "policy.toml: rule poor: "),
        ("income < 20|salary < 20", "rule poor: column 1: unknown field salary"),
        ('id = "poor"|id = "Poor"', "policy.rules.0.id"),
        ("declined_above = 0.5|declined_above = 0.2", r"maybe_above (0.25) must not be greater than"),
        ("rent = {|castle = {", "segments: castle is not a value of home"),
        ("[policy]|[polcy]", "polcy"),
        ("= 0.25|= 0.25\nsecond_review_when = 'salary > 2'", "second_review_when: column 1: unknown field salary"),
        ("= 0.25|= 0.25\nsecond_review_when = ''", "policy.second_review_when"),
    ],
)
def test_a_policy_file_that_is_invalid_is_one_message(run: Run, policy: Path, changed: str, message: str) -> None:
    """It names the file, and the rule or the entry; exit code 2."""
    policy.write_text(_changed(POLICY, changed))
    ended = run("policy", "check", "policy.toml")
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_cases_hold_or_are_named(run: Run, tmp_path: Path) -> None:
    """The file's own cases, or others; a case that does not hold is named with what it gives."""
    ended = run("policy", "test", "policy.toml")
    assert (ended.code, ended.out) == (0, "3 of 3 cases hold\n")
    (tmp_path / "others.csv").write_text(CASES.replace("0.15,rent", "0.25,rent"))
    ended = run("policy", "test", "policy.toml", "--cases", "others.csv")
    assert ended.code == 1
    assert (
        "failed: line 4 (renter): expected MAYBE by the thresholds, but the policy gives DECLINED by the" in ended.out
    )
    assert "2 of 3 cases hold" in ended.out


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9])
def test_a_case_at_a_threshold_gets_the_milder_label(run: Run, policy: Path, threshold: float) -> None:
    """0.3 was rounded to 32 bits, which is more than 0.3, and the case failed; 0.7 became less."""
    policy.write_text(f"cases = 'cases.csv'\n[policy]\nmaybe_above = {threshold}\ndeclined_above = {threshold}\n")
    above = threshold + 1e-9
    rows = f"{threshold},APPROVED,\n{above},DECLINED,\n"
    (policy.parent / "cases.csv").write_text(f"probability_of_default,expected_label,expected_rule\n{rows}")
    assert run("policy", "test", "policy.toml").out == "2 of 2 cases hold\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_cases_of_a_spreadsheet(run: Run, tmp_path: Path, encoding: str, end: str) -> None:
    """A file in UTF-16 was said to have a column that is not a field; a blank line above the header hid semicolons."""
    text = f"\n{CASES}".replace(",", ";").replace("\n", end)
    (tmp_path / "cases.csv").write_bytes(text.encode(encoding))
    ended = run("policy", "test", "policy.toml")
    assert (ended.code, ended.out) == (0, "3 of 3 cases hold\n")


def test_a_file_that_has_no_cases_is_described(run: Run, tmp_path: Path) -> None:
    """What it is instead, such as a workbook, and not what is wrong with its first column."""
    (tmp_path / "cases.csv").write_bytes(b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0")
    ended = run("policy", "test", "policy.toml")
    assert (ended.code, "cases.csv: is a zip archive, not text" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("home,|hme,", "hme is neither a field of the contract"),
        (",income,|,amount,", "the column income is missing"),
        ("MAYBE|REVIEW", "case in line 4 (renter): expected_label must be one of"),
        ("poor\n|rich\n", "case in line 2 (poor): the policy has no rule rich"),
        ("0.15,|1.5,", "case in line 4 (renter): probability_of_default must be a number from 0 to 1"),
        ("rent,50|castle,50", "case in line 4 (renter): home"),
        ("rent,50|rent", "line 4: has 5 cells but the header has 6"),
    ],
)
def test_a_case_that_is_invalid_is_named(run: Run, tmp_path: Path, changed: str, message: str) -> None:
    """With its line and name, and without a value of the application."""
    (tmp_path / "cases.csv").write_text(_changed(CASES, changed))
    ended = run("policy", "test", "policy.toml")
    assert ended.code == 2
    assert message in ended.err


def test_a_bundle_gets_another_policy_on_the_same_model(run: Run, tmp_path: Path) -> None:
    """The model's bytes and metrics stay; the new version opens, and decides by the new policy."""
    ended = run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "9.0.0")
    assert ended.code == 0, ended.err
    assert "same model: model.ubj" in ended.out
    assert "cases that hold: 3" in ended.out
    before, store = read_manifest(PLAIN), BundleStore(tmp_path / "store")
    bundle = store.open(f"{before.name}:9.0.0")
    after = store.entry(f"{before.name}:9.0.0").manifest
    assert after is not None
    assert after.files[after.model] == before.files[before.model]
    assert after.features == before.features
    assert (after.manifest_version, after.labels["same-model-as"]) == (3, before.reference.short)
    assert [rule.id for rule in bundle.policy.policy.rules] == ["poor"]
    assert after.metrics is not None
    assert before.metrics is not None
    assert after.metrics.decisions.what.startswith(f"By the policy of version {before.version}")
    assert after.metrics.holdout == before.metrics.holdout
    card = (store.find(f"{before.name}:9.0.0") / "model-card.md").read_text()
    assert "- rule poor: DECLINED if income < 20." in card
    again = run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "9.0.0")
    assert again.code != 0


def test_a_bundle_gets_another_catalogue(run: Run, tmp_path: Path) -> None:
    """Policy and metrics stay; a policy in a later version names the version by whose policy they were measured."""
    (tmp_path / "why.toml").write_text(
        '[[catalogue]]\ncode = "INCOME"\nfields = ["income"]\ntext.en = "The income is low."\n'
    )
    ended = run("bundle", "repolicy", str(PLAIN), "--reasons", "why.toml", "--version", "9.0.0")
    assert ended.code == 0, ended.err
    assert "reasons: 1 in the catalogue" in ended.out
    assert "cases" not in ended.out
    store, before = BundleStore(tmp_path / "store"), read_manifest(PLAIN)
    after = store.entry(f"{before.name}:9.0.0").manifest
    assert after is not None
    assert after.reasons is not None
    assert after.reasons.codes == ("INCOME",)
    assert (after.policy, after.metrics, after.features) == (before.policy, before.metrics, before.features)
    for source, version in (("9.0.0", "9.1.0"), ("9.1.0", "9.2.0")):
        (tmp_path / "policy.toml").write_text(POLICY.replace("0.25", f"0.2{source[2]}") + 'reason = "INCOME"\n')
        reference = f"{before.name}:{source}"
        ended = run("bundle", "repolicy", reference, "--policy", "policy.toml", "--version", version)
        assert ended.code == 0, ended.err
        manifest = store.entry(f"{before.name}:{version}").manifest
        assert manifest is not None
        assert manifest.metrics is not None
        thresholds = "above 0.5 DECLINED, above 0.3 MAYBE, otherwise APPROVED"
        assert manifest.metrics.decisions.what.startswith(f"By the policy of version 9.0.0 ({thresholds}), not by")


def test_a_catalogue_that_does_not_fit(run: Run, tmp_path: Path) -> None:
    """A prohibited basis, a code that a rule needs and lacks, and no change at all are one message each."""
    for name, fields in (("age", '["age"]'), ("other", '["amount"]')):
        (tmp_path / f"{name}.toml").write_text(
            f'[[catalogue]]\ncode = "OTHER"\nfields = {fields}\ntext.en = "It is not favorable."\n'
        )
    ended = run("bundle", "repolicy", str(PLAIN), "--reasons", "age.toml", "--version", "9.0.0")
    assert (ended.code, "is a prohibited basis" in ended.err) == (1, True)
    (tmp_path / "policy.toml").write_text(POLICY + 'reason = "INCOME"\n')
    changes = ("--policy", "policy.toml", "--reasons", "other.toml")
    ended = run("bundle", "repolicy", str(PLAIN), *changes, "--version", "9.0.0")
    assert (ended.code, "INCOME" in ended.err) == (2, True)
    ended = run("bundle", "repolicy", str(PLAIN), "--version", "9.0.0")
    assert (ended.code, "name what changes: --policy FILE, --reasons FILE" in ended.err) == (2, True)
    assert not (tmp_path / "store").exists()


def test_a_policy_whose_cases_do_not_hold_is_refused(run: Run, tmp_path: Path) -> None:
    """The case is named, and nothing is stored; so is a reason without a catalogue, and a version that is none."""
    (tmp_path / "cases.csv").write_text(CASES.replace("DECLINED,poor", "MAYBE,poor"))
    ended = run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "9.0.0")
    assert ended.code == 2
    assert "1 of 3 cases do not hold: line 2 (poor): expected MAYBE by rule poor" in ended.err
    (tmp_path / "policy.toml").write_text(POLICY + 'reason = "POOR"\n')
    ended = run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "9.0.0")
    assert "rule poor: the bundle has no catalogue of reasons" in ended.err
    ended = run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "nine")
    assert "--version nine" in ended.err
    assert not (tmp_path / "store").exists()


def test_a_bundle_requires_a_second_reviewer(run: Run, tmp_path: Path) -> None:
    """The condition is in the new version, in `show` and in `diff`, and a version with another catalogue keeps it.

    Labels do not depend on it, so the metrics are those of the earlier version.
    """
    condition = "amount > 20000"
    text = f"[policy]\nmaybe_above = 0.3\ndeclined_above = 0.5\nsecond_review_when = '{condition}'\n"
    (tmp_path / "policy.toml").write_text(text)
    before, store = read_manifest(PLAIN), BundleStore(tmp_path / "store")
    assert run("bundle", "repolicy", str(PLAIN), "--policy", "policy.toml", "--version", "9.0.0").code == 0
    after = store.entry(f"{before.name}:9.0.0").manifest
    assert after is not None
    assert (after.policy.second_review_when, after.manifest_version) == (condition, 3)
    assert after.metrics == before.metrics
    opened = store.open(f"{before.name}:9.0.0")
    assert opened.policy.second_review is not None
    words = f"MAYBE needs two reviewers who agree if {condition}"
    assert f"{words}." in (store.find(f"{before.name}:9.0.0") / "model-card.md").read_text()
    assert words in run("bundle", "show", f"{before.name}:9.0.0").out
    assert words in run("bundle", "diff", str(PLAIN), f"{before.name}:9.0.0").out
    changed = run("bundle", "diff", str(PLAIN), f"{before.name}:9.0.0", "--all").out
    assert "policy.second_review_when" in changed
    assert condition in changed
    (tmp_path / "why.toml").write_text(
        '[[catalogue]]\ncode = "INCOME"\nfields = ["income"]\ntext.en = "The income is low."\n'
    )
    reference = f"{before.name}:9.0.0"
    assert run("bundle", "repolicy", reference, "--reasons", "why.toml", "--version", "9.1.0").code == 0
    later = store.entry(f"{before.name}:9.1.0").manifest
    assert later is not None
    assert later.policy == after.policy
    ended = run("policy", "check", reference, "--json")
    assert (ended.code, json.loads(ended.out)["findings"]) == (0, [])
