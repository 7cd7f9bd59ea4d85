"""The table of decisions in docs/reading-decisions.md: what holds of an application, however often it is read."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
CREATE = (ROOT / "examples" / "decisions.sql").read_text(encoding="utf-8")
RECORD = (ROOT / "examples" / "record_decision.sql").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "reading-decisions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Written(NamedTuple):
    """A record of the decisions topic: on which of an application's records, and whether it is a correction."""

    application: str
    source_offset: int
    corrects: bool


def row(written: Written, offset: int) -> dict[str, object]:
    """A record as a reader enters it; who decided tells the records apart."""
    return {
        "application_id": written.application,
        "decision_id": f"applications:0:{written.source_offset}@{offset:012x}",
        "decision": "DECLINED" if written.corrects else "APPROVED",
        "probability_of_default": 0.25,
        "bundle": f"b:1.0.0@{offset:064x}",
        "source_offset": written.source_offset,
        "written_offset": offset,
        "supersedes": "an earlier one" if written.corrects else "",
        "replay_id": "r-1" if written.corrects else "",
    }


def read(database: sqlite3.Connection, log: list[Written], offsets: Iterable[int]) -> None:
    """Enters records of the log."""
    database.executemany(RECORD, [row(log[offset], offset) for offset in offsets])


def held(database: sqlite3.Connection) -> dict[str, int]:
    """Of each application the offset of the decision that holds."""
    return dict(database.execute("SELECT application_id, written_offset FROM decisions").fetchall())


def expected(log: list[Written]) -> dict[str, int]:
    """The same by the rule as the page says it."""
    holds = {}
    for application in {written.application for written in log}:
        own = [(offset, written) for offset, written in enumerate(log) if written.application == application]
        last = max(written.source_offset for _, written in own)
        holds[application] = [offset for offset, written in own if written.source_offset == last][-1]
    return holds


LOGS = st.lists(st.builds(Written, st.sampled_from("ab"), st.integers(0, 2), st.booleans()), max_size=12)


@given(LOGS, st.data())
def test_what_holds(log: list[Written], data: st.DataObject) -> None:
    """The table holds what the rule says, and goes on holding it whatever part of the topic is read again."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(CREATE)
        for _ in range(data.draw(st.integers(0, 3), "readers that died")):
            start = data.draw(st.integers(0, len(log)), "begun at")
            read(database, log, range(data.draw(st.integers(start, len(log)), "died at")))
        read(database, log, range(len(log)))
        assert held(database) == expected(log)
        read(database, log, range(data.draw(st.integers(0, len(log)), "read again from"), len(log)))
        assert held(database) == expected(log)


def test_page_shows_the_files() -> None:
    """The SQL on the page is that of the files, which the test above runs."""
    for text in (CREATE, RECORD):
        assert text.partition("\n")[2] in BLOCKS


def test_the_other_statements() -> None:
    """A replay's corrections are counted, and a letter is written once for each decision and each correction."""
    question, create_letters, enter_letter = BLOCKS[2:]
    log = [Written("a", 0, False), Written("b", 1, False), Written("a", 0, True)]
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(CREATE)
        read(database, log, range(3))
        assert database.execute(question, {"replay_id": "r-1"}).fetchall() == [("DECLINED", 1)]
        database.execute(create_letters)
        first = {"decision_id": "applications:0:0@1581f37bfc6d", "replay_id": ""}
        turned_back = first | {"replay_id": "r-2"}
        entered = [database.execute(enter_letter, one).rowcount for one in (first, first, turned_back, first)]
        assert entered == [1, 0, 1, 0]
