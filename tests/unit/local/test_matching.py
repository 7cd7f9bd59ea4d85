"""Matching results to applications by position: each application has one first result, in whatever order they come."""

from scorer.local.matching import Matching, Result

STARTS = {0: 10, 1: 0}


def result(label: str = "APPROVED") -> Result:
    """A result that was read at some time."""
    return Result({}, label, 1_700_000_000.0)


def test_a_result_after_its_application() -> None:
    """The first one is matched, and the application is pending until it is counted; later ones are duplicates."""
    matching = Matching(STARTS)
    assert matching.add((0, 10), 123) == []
    assert matching.match((0, 10), result()) == 123
    assert matching.pending == 1, "its result is not counted yet"
    matching.settle((0, 10))
    assert matching.pending == 0
    assert matching.match((0, 10), result()) is None
    assert (matching.duplicates, matching.unmatched) == (1, 0)


def test_results_before_their_application() -> None:
    """They are kept until the application is read, and unmatched until then."""
    matching = Matching(STARTS)
    first, second = result("APPROVED"), result("DECLINED")
    assert [matching.match((1, 5), early) for early in (first, second)] == [None, None]
    assert (matching.unmatched, matching.pending) == (2, 0)
    assert matching.add((1, 5), 123) == [first, second]
    assert (matching.unmatched, matching.pending) == (0, 1)


def test_results_of_records_that_are_not_applications() -> None:
    """Partitions and offsets that do not exist count as unmatched; what was before the start does not count."""
    matching = Matching(STARTS)
    matching.add((0, 12), 123)
    for position in ((2, 0), (0, -1), (0, 11)):
        assert matching.match(position, result()) is None
    assert matching.unmatched == 3, "no such partition, no such offset, and an offset without a record"
    assert matching.match((0, 9), result()) is None
    assert (matching.unmatched, matching.duplicates, matching.pending) == (3, 0, 1)


def test_foreign_applications_do_not_count() -> None:
    """Neither they nor their results, whichever is read first."""
    matching = Matching(STARTS)
    matching.match((0, 10), result())
    matching.add_foreign((0, 10))
    assert matching.match((0, 10), result()) is None
    assert (matching.pending, matching.unmatched, matching.duplicates) == (0, 0, 0)
