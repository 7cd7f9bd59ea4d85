"""The decisions on one application, and its record: found on one partition of each topic, or with one clear message."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.decision import SUPERSEDES_HEADER
from scorer.errors import ExplanationError, MisuseError
from scorer.operate.partitioner import find_partition
from scorer.replay.lookup import look_up
from scorer.settings import Settings, load_settings
from tests.fakes import FakeRecord

APPLICATIONS, DECISIONS, REVIEWS = "credit.applications", "credit.decisions", "credit.reviews"
ID = "a-1"
FIRST, SECOND = "1" * 64, "2" * 64
NOW_MS = 1_769_853_600_000


class FakeTopics:
    """Topics of three partitions with records; `read` has the partitions of the decisions that were read."""

    def __init__(self) -> None:
        self.records: dict[str, list[FakeRecord]] = {APPLICATIONS: [], DECISIONS: [], REVIEWS: []}
        self.first = 0
        self.read: list[int] = []

    def decide(
        self,
        offset: int,
        digest: str = FIRST,
        partition: int | None = None,
        supersedes: str = "",
        label: str = "DECLINED",
    ) -> str:
        """Adds a decision on the record at this offset of partition 2; returns its id."""
        decision_id = f"{APPLICATIONS}:2:{offset}@{digest[:12]}"
        value = {
            "decision_id": decision_id,
            "application_id": ID,
            "decision": label,
            "probability_of_default": 0.75,
            "bundle": {"name": "credit", "version": "1.0.0", "digest": digest},
            "source": {"topic": APPLICATIONS, "partition": 2, "offset": offset},
        }
        at = find_partition(ID.encode(), 3) if partition is None else partition
        number = len(self.records[DECISIONS])
        pairs = [(SUPERSEDES_HEADER, supersedes.encode())] if supersedes else []
        raw = json.dumps(value).encode()
        self.records[DECISIONS].append(FakeRecord((at, number), raw, ID.encode(), pairs, number, DECISIONS))
        return decision_id

    def review(self, decision_id: str, **changed: Any) -> None:
        """Adds a review of a decision."""
        number = len(self.records[REVIEWS])
        review = {"review_id": f"r-{number}", "application_id": ID, "decision_id": decision_id, "label": "DECLINED"}
        review |= {"reason": "INCOME", "reviewer": "ana", "at": "2026-01-31T11:00:00Z"}
        raw = json.dumps(review | changed).encode()
        self.records[REVIEWS].append(FakeRecord((0, number), raw, ID.encode(), (), NOW_MS, REVIEWS))

    def apply(self, offset: int, key: bytes = ID.encode()) -> None:
        """Adds an application to partition 2."""
        self.records[APPLICATIONS].append(FakeRecord((2, offset), b"{}", key, topic_name=APPLICATIONS))

    def reader(self, _: Settings, topic: str) -> Any:
        """What stands in for a TopicReader."""
        topics = self

        class Reader:
            partitions = range(3)

            def bounds(self) -> dict[int, tuple[int, int]]:
                return dict.fromkeys(range(3), (topics.first if topic == APPLICATIONS else 0, 100))

            def read(self, bounds: Mapping[int, tuple[int, int]]) -> Iterator[list[FakeRecord]]:
                if topic == DECISIONS:
                    topics.read += sorted(bounds)
                yield [
                    record
                    for record in topics.records[topic]
                    if record.partition() in bounds
                    and bounds[record.partition()][0] <= record.offset() < bounds[record.partition()][1]
                ]

            def narrow(self, bounds: Mapping[int, tuple[int, int]], at_ms: int) -> Mapping[int, tuple[int, int]]:
                offsets = [one.offset() for one in topics.records[topic] if one.timestamp()[1] >= at_ms]
                return {p: (min(offsets, default=end), end) for p, (_, end) in bounds.items()}

            def close(self) -> None:
                pass

        return Reader()


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> FakeTopics:
    """There is no broker."""
    topics = FakeTopics()
    for module in ("application_records", "review_records"):
        monkeypatch.setattr(f"scorer.operate.{module}.TopicReader", topics.reader)
    return topics


SETTINGS = load_settings(environment={}).settings


def test_by_application_id(topics: FakeTopics) -> None:
    """Only the key's partition is read."""
    topics.apply(5)
    decision_id = topics.decide(5)
    lookup = look_up(SETTINGS, ID)
    assert (lookup.decision.decision_id, lookup.current_id, lookup.others) == (decision_id, decision_id, ())
    assert lookup.application.offset() == 5
    assert lookup.value == topics.records[DECISIONS][0].value()
    assert topics.read == [find_partition(ID.encode(), 3)]


def test_the_current_decision_counts_and_corrections_are_listed(topics: FakeTopics) -> None:
    """A correction supersedes; the earlier one can still be explained by its own id."""
    topics.apply(5)
    first = topics.decide(5)
    second = topics.decide(5, SECOND, supersedes=first)
    lookup = look_up(SETTINGS, ID)
    assert lookup.decision.decision_id == lookup.current_id == second
    assert [other.decision_id for other in lookup.others] == [first]
    earlier = look_up(SETTINGS, first)
    assert (earlier.decision.decision_id, earlier.current_id) == (first, second)


def test_the_review_that_counts_comes_with_its_decision(topics: FakeTopics) -> None:
    """The first one, or what replaced it; of another decision, or of one that is not MAYBE, none does."""
    topics.apply(5)
    maybe = topics.decide(5, label="MAYBE")
    assert look_up(SETTINGS, ID).review is None
    topics.review(f"{APPLICATIONS}:2:4@{FIRST[:12]}")
    topics.review(maybe)
    topics.review(maybe, reviewer="ben")
    counting = look_up(SETTINGS, maybe).review
    assert counting is not None
    assert (counting.review_id, counting.reviewer) == ("r-1", "ana")
    topics.review(maybe, reviewer="ben", supersedes="r-1", label="APPROVED")
    counting = look_up(SETTINGS, ID).review
    assert counting is not None
    assert (counting.reviewer, counting.label) == ("ben", "APPROVED")
    declined = topics.decide(5, SECOND, supersedes=maybe)
    topics.review(declined)
    assert look_up(SETTINGS, ID).review is None


@pytest.mark.parametrize("hours", [0, 5, 14])
def test_a_worker_whose_clock_is_in_another_time_zone(topics: FakeTopics, hours: int) -> None:
    """Its decisions are written later than their reviews, which were not found: the decision seemed to wait."""
    topics.apply(5)
    maybe = topics.decide(5, label="MAYBE")
    topics.records[DECISIONS] = [
        replace(record, timestamp_ms=NOW_MS + 3_600_000 * hours) for record in topics.records[DECISIONS]
    ]
    topics.review(maybe)
    assert look_up(SETTINGS, ID).review is not None


def test_a_review_with_the_id_of_the_one_that_counts_changes_nothing(topics: FakeTopics) -> None:
    """Its label, reviewer and reason were shown, although it has no effect: ids are chosen by the writer."""
    topics.apply(5)
    maybe = topics.decide(5, label="MAYBE")
    topics.review(maybe, review_id="r-1", label="APPROVED")
    topics.review(maybe, review_id="r-1", reviewer="mallory", label="DECLINED")
    topics.review(f"{APPLICATIONS}:2:4@{FIRST[:12]}", review_id="r-1", reviewer="mallory")
    counting = look_up(SETTINGS, ID).review
    assert counting is not None
    assert (counting.reviewer, counting.label) == ("ana", "APPROVED")


def test_an_application_that_was_sent_again_counts_from_its_last_record(topics: FakeTopics) -> None:
    """Even if a replay corrected the decision on the older one later."""
    topics.apply(5)
    topics.apply(8)
    first, again = topics.decide(5), topics.decide(8)
    topics.decide(5, SECOND, supersedes=first)
    lookup = look_up(SETTINGS, ID)
    assert lookup.decision.decision_id == again
    assert len(lookup.others) == 2


def test_other_partitions_are_read_if_the_keys_partition_has_none(topics: FakeTopics) -> None:
    """Partitions were added, or the key is not the id."""
    topics.apply(5, key=b"customer")
    decision_id = topics.decide(5, partition=(find_partition(ID.encode(), 3) + 1) % 3)
    assert look_up(SETTINGS, ID).decision.decision_id == decision_id
    assert sorted(topics.read) == [0, 1, 2]
    assert look_up(SETTINGS, decision_id).decision.decision_id == decision_id


def test_no_decision(topics: FakeTopics) -> None:
    """The message says where rejected applications are, and which decisions the record has."""
    topics.apply(5)
    with pytest.raises(ExplanationError, match=r"application id a-2 on topic credit.decisions: `scorer dlq list`"):
        look_up(SETTINGS, "a-2")
    decision_id = topics.decide(5)
    with pytest.raises(ExplanationError, match=f"the decisions on this record are {decision_id}"):
        look_up(SETTINGS, f"{APPLICATIONS}:2:5@{SECOND[:12]}")


def test_an_application_that_retention_deleted(topics: FakeTopics) -> None:
    """A decision is explained from the record alone."""
    decision_id = topics.decide(5)
    topics.first = 6
    for sought in (ID, decision_id):
        with pytest.raises(ExplanationError, match=r"@5 was deleted by retention \(the partition begins at 6\)"):
            look_up(SETTINGS, sought)
    topics.first = 0
    with pytest.raises(ExplanationError, match="was the topic deleted and created again"):
        look_up(SETTINGS, ID)


def test_a_decision_of_another_topic() -> None:
    """Its settings are those of another environment."""
    with pytest.raises(MisuseError, match=r"but applications_topic is credit\.applications"):
        look_up(SETTINGS, f"others:2:5@{SECOND[:12]}")
