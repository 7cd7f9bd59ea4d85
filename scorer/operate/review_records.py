"""Reads the reviews of one application from the reviews topic."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

from schemas.records import Malformed, timestamp_ms
from schemas.review import Review, read_review
from scorer.operate.reading import TopicReader
from scorer.settings import Settings

_CLOCK_SKEW_MS: Final = 86_400_000
"""A review can seem older than its decision by this much: a day covers a clock that is set to another time zone."""


class WrittenReview(NamedTuple):
    """A review, and where and when it was written.

    Attributes:
        review: the review.
        offset: of its record.
        at_ms: the record's timestamp, in milliseconds since 1970.
    """

    review: Review
    offset: int
    at_ms: int


def read_reviews(settings: Settings, application_id: str, since_ms: int) -> Iterator[WrittenReview]:
    """Yields the reviews of an application, in the order of the topic.

    Args:
        settings: the brokers and topics.
        application_id: the application's id.
        since_ms: when the first of its decisions was written, in milliseconds since 1970.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    key = application_id.encode()
    with closing(TopicReader(settings, settings.reviews_topic)) as reader:
        for records in reader.read(reader.narrow(reader.bounds(), since_ms - _CLOCK_SKEW_MS)):
            for record in (one for one in records if one.key() == key):
                review = read_review(record)
                if not isinstance(review, Malformed) and review.application_id == application_id:
                    yield WrittenReview(review, record.offset(), timestamp_ms(record))
