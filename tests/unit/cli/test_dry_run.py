"""`scorer deploy --dry-run`: which options go together, and what is printed of the counts."""

import json

import pytest

from schemas.contract import Contract
from schemas.decision import BundleReference
from schemas.records import Malformed
from scorer.cli.dry_run import DryRun, as_lines, as_report
from scorer.core.rejections import RejectionComparison
from scorer.operate.reading import Skipped
from tests.fakes import make_contract
from tests.unit.cli.conftest import Run

NEW, CHAMPION = (BundleReference(name="loans", version=f"{n}.0.0", digest=str(n) * 64) for n in (2, 1))
MANY = [f"f{i:02}" for i in range(40)]


def needing(*fields: str) -> Contract:
    """A contract with some required numbers."""
    return make_contract(*fields, **{field: {"type": "number"} for field in fields})


def dry_run(new: Contract, champion: Contract | None, *values: bytes, changes: tuple[str, ...] = ()) -> DryRun:
    """A dry run over these values."""
    counts = RejectionComparison(new, champion, 1_000)
    counts.add(values)
    return DryRun("applications", NEW, CHAMPION, list(changes), counts, Skipped())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dry-run", "--slot", "challenger"], "--slot challenger does not apply to --dry-run"),
        (["--dry-run", "--expect", "0123456789"], "--expect does not apply to --dry-run"),
        (["--dry-run", "--propose", "proposal.json"], "--propose does not apply to --dry-run"),
        (["--dry-run", "--despite", "x"], "--despite does not apply to --dry-run"),
        (["--sample", "5", "--reason", "x"], "--sample applies to --dry-run only"),
        (["--dry-run", "--sample", "0"], "must be at least 1"),
        ([], "--reason is missing"),
    ],
)
def test_options_that_contradict_each_other(run: Run, options: list[str], words: str) -> None:
    """What a dry run would ignore is misuse, and so is a deployment without a reason."""
    ended = run("deploy", "credit-risk:1.0.0", *options)
    assert ended.code == 2
    assert words in " ".join(ended.err.replace("│", "").split())


def test_both_columns() -> None:
    """Each cause has a line with numbers and shares, of the bundle and of the champion."""
    ran = dry_run(
        needing("a", "b"), needing("b"), b'{"id": "1", "a": 1, "b": 1}', b'{"id": "2"}', b"{", b'{"id": "3", "b": 1}'
    )
    assert [" ".join(line.split()) for line in as_lines(ran)] == [
        "dry run of loans:2.0.0@222222222222: nothing was changed",
        "the newest 4 applications of topic applications, rejected by field and code:",
        "field code this bundle champion",
        "a missing_field 2 (50.00%) 0 (0.00%)",
        "(value) not_json 1 (25.00%) 1 (25.00%)",
        "b missing_field 1 (25.00%) 1 (25.00%)",
        "3 (75.00%) would become dead letters",
        "2 (50.00%) are rejected by the champion",
        "1 (25.00%) are rejected by this bundle only",
        "0 (0.00%) are rejected by the champion only",
    ]
    report = as_report(ran)
    assert json.loads(json.dumps(report))["causes"][0] == {
        "field": "a", "code": "missing_field", "rejected": 2, "rejected_by_champion": 0,
    }  # fmt: skip
    assert (report["newly_rejected"], report["newly_accepted"]) == (1, 0)


def test_nothing_rejected() -> None:
    """If everything is valid, there is no table."""
    lines = list(as_lines(dry_run(needing("a"), needing("a"), b'{"id": "1", "a": 1}')))
    assert lines[2] == "0 (0.00%) would become dead letters"
    assert not any("missing_field" in line for line in lines)


def test_an_unknown_champion() -> None:
    """Without its contract, its column and the comparison are left out; scripts get null."""
    ran = dry_run(needing("a"), None, b'{"id": "1"}')
    assert [" ".join(line.split()) for line in as_lines(ran)][2:] == [
        "field code this bundle", "a missing_field 1 (100.00%)", "1 (100.00%) would become dead letters",
    ]  # fmt: skip
    report = as_report(ran)
    nulls = ("rejected_by_champion", "newly_rejected", "newly_accepted")
    assert [report[name] for name in nulls] == [None] * 3


def test_many_causes() -> None:
    """A value without any field of a large contract fills no screen; scripts get all causes."""
    ran = dry_run(needing(*MANY), needing(), b'{"id": "1"}')
    lines = list(as_lines(ran))
    assert sum("missing_field" in line for line in lines) == 30
    assert "  and 10 more; --json lists all" in lines
    assert len(as_report(ran)["causes"]) == 40  # type: ignore[arg-type]


def test_what_else_is_said() -> None:
    """An empty topic, breaking changes and unreadable batches are reported."""
    ran = dry_run(needing("a"), needing(), changes=("a: added, required",))
    ran.skipped.add(Malformed("applications", 0, 7, "a batch is damaged"))
    assert list(as_lines(ran)) == [
        "dry run of loans:2.0.0@222222222222: nothing was changed",
        "topic applications has no applications to decode",
        "1 malformed record skipped: applications[0]@7: a batch is damaged",
        "loans:2.0.0@222222222222 rejects applications that the champion loans:1.0.0@111111111111 accepts:",
        "  a: added, required",
        "To deploy it: --allow-breaking",
    ]
    assert as_report(ran)["skipped"] == 1
