"""The decisions topic, read back."""

import json

import pytest

from scorer.errors import ReplayError
from scorer.replay.decisions import DecisionTable
from tests.fakes import TOPIC, FakeRecord


def decision(partition: int, offset: int, outcome: str = "APPROVED", version: str = "1.0.0", **more: object) -> bytes:
    """A decision's bytes."""
    return json.dumps(
        {
            "decision_id": f"{TOPIC}:{partition}:{offset}@{version}",
            "application_id": f"a-{partition}-{offset}",
            "decision": outcome,
            "probability_of_default": 0.25,
            "bundle": {"name": "credit", "version": version, "digest": version[-1] * 64},
            "source": {"topic": TOPIC, "partition": partition, "offset": offset},
            **more,
        }
    ).encode()


def messages(*values: bytes | None, begin: int = 0) -> list[FakeRecord]:
    """Records of the decisions topic."""
    return [FakeRecord((0, i), value, topic_name="decisions") for i, value in enumerate(values, begin)]


def test_of_decisions_without_corrections_the_one_written_last() -> None:
    """Whatever was read in between; sorted by partition and offset."""
    table = DecisionTable(TOPIC)
    table.add(messages(decision(1, 5, "DECLINED"), decision(0, 9), decision(0, 2)))
    table.add(messages(decision(1, 5, "MAYBE", version="1.0.1"), decision(0, 2, "MAYBE"), begin=3))
    selection = table.current().selection
    assert selection.rows[["partition", "offset", "outcome", "bundle"]].tolist() == [
        (0, 2, 1, 0),
        (0, 9, 0, 0),
        (1, 5, 1, 1),
    ]
    assert [bundle.version for bundle in selection.bundles] == ["1.0.0", "1.0.1"]
    assert selection.rows["fingerprint"].tolist() == [
        hash(decision(0, 2, "MAYBE")),
        hash(decision(0, 9)),
        hash(decision(1, 5, "MAYBE", version="1.0.1")),
    ]


def test_only_what_is_wanted() -> None:
    """By id, and of this topic."""
    table = DecisionTable(TOPIC, ids=["a-0-1", "nobody"])
    elsewhere = {"topic": "others", "partition": 0, "offset": 1}
    table.add(messages(decision(0, 1), decision(0, 2), decision(0, 1, source=elsewhere, application_id="a-0-1")))
    current = table.current()
    assert current.selection.rows["offset"].tolist() == [1]
    assert current.ids_found == {"a-0-1"}
    assert len(DecisionTable(TOPIC).current().selection) == 0


@pytest.mark.parametrize("value", [b"", None, b"hello", b"{}", decision(0, 1, "PERHAPS"), b"\xff", b"[" * 100_000])
def test_a_record_that_is_not_a_decision_is_skipped_and_named(value: bytes | None) -> None:
    """A stranger's record ended every replay, for the reading stopped at it. It is counted, and named by its place."""
    table = DecisionTable(TOPIC)
    table.add(messages(decision(0, 1), value, decision(0, 2)))
    current = table.current()
    assert current.selection.rows["offset"].tolist() == [1, 2]
    assert current.skipped.count == 1
    assert str(current.skipped).startswith("1 malformed record skipped: decisions[0]@1: ")
    assert "PERHAPS" not in str(current.skipped)


def test_many_malformed_records_take_no_memory() -> None:
    """All are counted; the first ten are named."""
    table = DecisionTable(TOPIC)
    table.add(messages(*[b"x"] * 1_000))
    assert table.skipped.count == 1_000
    assert len(table.skipped.first) == 10
    assert str(table.skipped).endswith("decisions[0]@9: the value is not JSON; and 990 more")


def test_more_bundles_than_fit() -> None:
    """Their places are bytes."""
    table = DecisionTable(TOPIC)
    with pytest.raises(ReplayError, match="more than 255 bundles"):
        table.add(messages(*(decision(0, i, version=f"1.0.{i}") for i in range(300))))
