"""The ledger of the fault tests: what is acknowledged and not decided, publisher by publisher."""

from tests.chaos.history import ALL_PARTITIONS, TO_THE_END, Waiver
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import number_of


def test_undecided() -> None:
    """What is acknowledged counts until it is decided, in whichever order both are heard of; doubles count once."""
    ledger = Ledger()
    first = ledger.open_page()
    for index in (0, 5, 7):
        ledger.acked(first + index, 0, index)
    ledger.decided(first + 9)
    assert ledger.undecided() == 3
    ledger.decided(first + 5)
    ledger.decided(first + 5)
    ledger.acked(first + 9, 1, 0)
    assert ledger.undecided() == 2


def test_publishers_do_not_share_numbers() -> None:
    """Two publishers at the same time have different numbers, and an id tells its number."""
    ledger = Ledger()
    pages = [ledger.open_page(), ledger.open_page()]
    for base in pages:
        ledger.acked(base + 3, 0, 3)
    ledger.decided(number_of(f"{pages[1]}-3"))
    assert ledger.undecided() == 1


def test_waivers() -> None:
    """A waiver covers offsets of its partition that are acknowledged already, and no others."""
    ledger = Ledger()
    base = ledger.open_page()
    for partition in (0, 1):
        for offset in range(10):
            ledger.acked(base + 10 * partition + offset, partition, offset)
    ledger.waive(Waiver(1.0, 1, 0, 4))
    assert ledger.undecided() == 16
    ledger.waive(Waiver(1.0, ALL_PARTITIONS, 8, TO_THE_END))
    assert ledger.undecided() == 12
    ledger.acked(base + 20, 1, 0)
    assert ledger.undecided() == 13
