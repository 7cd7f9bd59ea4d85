"""Decodes the newest applications with a new contract and with the champion's, and counts what each rejects."""

from schemas.contract import Contract
from scorer.core.records import read_values
from scorer.core.rejections import RejectionComparison
from scorer.operate.newest import read_newest
from scorer.operate.reading import Skipped
from scorer.settings import Settings


def compare_contracts(
    settings: Settings, new: Contract, current: Contract | None, offsets_max: int
) -> tuple[RejectionComparison, Skipped]:
    """Counts which of the newest committed applications two contracts reject; joins no group and publishes nothing.

    Args:
        settings: the brokers and the topic.
        new: the new contract.
        current: the champion's contract; None if it is unknown.
        offsets_max: the number of offsets to read, over all partitions; see `scorer.operate.newest.find_newest`.

    Returns:
        The counts, and the record batches that could not be read.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    comparison, skipped = RejectionComparison(new, current, settings.record_bytes_max), Skipped()
    for records in read_newest(settings, offsets_max, skipped):
        comparison.add(read_values(records, settings.record_bytes_max))
    return comparison, skipped
