"""The publisher of `scorer up`: what it says of a file that it has published."""

import json
from pathlib import Path

import pytest

from scorer.local.load import Load, LoadPlan


@pytest.mark.parametrize(("exit_code", "notes"), [(0, ["the publisher: line 1: ignored columns"]), (1, [])])
def test_unused_properties_of_a_file_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, notes: list[str]
) -> None:
    """It was in the publisher's log alone; where the publisher fails, it is among the failures."""

    class Publisher:
        """A publisher that has ended."""

        def __init__(self, *_: object) -> None: ...

        def exit_code(self) -> int:
            return exit_code

        def output(self) -> str:
            hint = "line 1: ignored columns"
            return f"{hint}\n{json.dumps({'acknowledged': 2, 'hints': [hint]})}\n"

    monkeypatch.setattr("scorer.local.load.Child", Publisher)
    load = Load(LoadPlan(1, None, tmp_path / "loans.csv", 0, 1))
    load.start(tmp_path, {})
    assert load.notes() == notes
    assert len(load.failures()) == exit_code
