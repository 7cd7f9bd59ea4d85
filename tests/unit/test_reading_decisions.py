"""The table of decisions in docs/reading-decisions.md: what is current, in any order of reading."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import ReadDecision, read_decision, timestamp_ms
from tests.fakes import FakeRecord
from tests.unit.replay.test_current import DECISIONS, HISTORIES, Written, read, record, spread

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CREATE = (ROOT / "examples" / "decisions.sql").read_text(encoding="utf-8")
RECORD = (ROOT / "examples" / "record_decision.sql").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "reading-decisions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def row(of: FakeRecord, application_id: str | None = None) -> dict[str, Any]:
    """A decision's record as a reader enters it."""
    decision = read_decision(of)
    assert isinstance(decision, ReadDecision)
    return {
        "written_partition": of.partition(),
        "written_offset": of.offset(),
        "written_at": timestamp_ms(of),
        "application_id": application_id or decision.application_id,
        "decision_id": decision.decision_id,
        "decision": decision.decision,
        "probability_of_default": decision.probability_of_default,
        "bundle": str(decision.bundle),
        "source_topic": decision.source_topic,
        "source_partition": decision.source_partition,
        "source_offset": decision.source_offset,
        "supersedes": decision.supersedes,
        "replay_id": decision.replay_id,
        "reasons": " ".join(decision.reasons),
    }


def table(rows: Iterable[dict[str, Any]]) -> dict[str, tuple[str, int, int]]:
    """Of each application the current decision, after entering these in order: its bundle, and its record's place."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(CREATE)
        database.executemany(RECORD, rows)
        rows_read = database.execute("SELECT application_id, bundle, written_partition, written_offset FROM decisions")
        return {application: (bundle.split("@")[0], *position) for application, bundle, *position in rows_read}


@pytest.mark.parametrize(("decisions", "wanted"), HISTORIES.values(), ids=HISTORIES)
def test_what_corrections_supersede_is_not_current(decisions: list[Written], wanted: str) -> None:
    """In any order of reading, any partitions, and read twice; as replays choose what is current."""
    random = Random(2)
    for order in permutations(range(len(decisions))):
        written = spread(decisions, [random.randrange(3) for _ in decisions])
        rows = [row(record(written[index])) for index in order]
        ((bundle, *_),) = table([*rows, *rows]).values()
        assert bundle == f"credit:{wanted}"


@given(st.lists(DECISIONS, max_size=8, unique_by=lambda written: written.at), st.randoms())
def test_the_table_holds_what_replays_go_by(decisions: list[Written], random: Random) -> None:
    """Whatever is written, forged or not, both name the same decision, however often and in what order it is read."""
    rows = [row(record(written)) for written in decisions]
    current = table([*random.sample(rows, len(rows)), *random.sample(rows, len(rows) // 2)])
    selection = read(decisions).selection
    bundles = {f"a-0-{r['offset']}": f"credit:{selection.bundles[r['bundle']].version}" for r in selection.rows}
    assert {application: bundle for application, (bundle, *_) in current.items()} == bundles


def sent(*offsets: tuple[int, int]) -> list[dict[str, Any]]:
    """Decisions on records of one application, at these partitions and offsets, one after another."""
    rows = []
    for number, (partition, offset) in enumerate(offsets):
        one = row(record(Written("1.0.1", application=offset, at=(number % 2, number), at_ms=number)), "a")
        rows.append(one | {"source_partition": partition, "decision_id": f"t:{partition}:{offset}@1.0.1"})
    return rows


def test_an_id_that_is_sent_again() -> None:
    """The last record counts, also where an earlier one is corrected afterwards; in another partition by its time."""
    first, second = sent((0, 3), (0, 9))
    correction = first | {"written_offset": 7, "written_at": 99, "decision_id": "t:0:3@1.0.2", "replay_id": "r-1"}
    correction |= {"supersedes": first["decision_id"], "bundle": "credit:1.0.2@2"}
    for order in permutations([first, second, correction]):
        assert table(order) == {"a": ("credit:1.0.1", 1, 1)}
    for order in permutations(sent((2, 9), (0, 3))):
        assert table(order) == {"a": ("credit:1.0.1", 1, 1)}


def test_page_shows_the_files() -> None:
    """The SQL on the page is that of the files, which the tests above run."""
    for text in (CREATE, RECORD):
        assert text.partition("\n")[2] in BLOCKS


def test_the_other_statements() -> None:
    """A replay's corrections are counted, and a letter is written once for each decision and each correction."""
    question, create_letters, enter_letter = BLOCKS[2:]
    decisions: Sequence[Written] = [
        Written("1.0.1", at=(0, 0), application=1),
        Written("1.0.1", at=(0, 1), application=2),
        Written("1.0.2", "1.0.1", "r-1", at=(0, 2), application=1),
    ]
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(CREATE)
        database.executemany(RECORD, [row(record(written)) for written in decisions])
        assert database.execute(question, {"replay_id": "r-1"}).fetchall() == [("APPROVED", 1)]
        database.execute(create_letters)
        first = {"decision_id": "applications:0:0@1581f37bfc6d", "replay_id": ""}
        turned_back = first | {"replay_id": "r-2"}
        entered = [database.execute(enter_letter, one).rowcount for one in (first, first, turned_back, first)]
        assert entered == [1, 0, 1, 0]
