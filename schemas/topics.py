"""The topics: their default names and configuration, and the sizes of records on them."""

from collections.abc import Mapping
from typing import Final

APPLICATIONS = "credit.applications"
DECISIONS = "credit.decisions"
DEAD_LETTERS = "credit.applications.dlq"
DEPLOYMENTS = "scorer.deployments"
REVIEWS = "credit.reviews"

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"  # Kafka's rule

RECORD_BYTES_DEFAULT: Final = 65_536
"""Maximum size of an application, unless the setting record_bytes_max says otherwise."""
RECORD_BYTES_MAX: Final = 8_388_608
"""The largest value of the setting record_bytes_max."""
BATCH_BYTES_DEFAULT: Final = 1_048_588
"""Kafka's default of a topic's max.message.bytes."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 65_536
"""Room for the headers that a dead letter has in addition to the record's own."""
DAY_MS: Final = 24 * 3_600_000

CONFIGS: Final[Mapping[str, Mapping[str, int]]] = {
    # max.message.bytes is Kafka's default, set explicitly because the dead letters' limit depends on it.
    APPLICATIONS: {"retention.ms": 30 * DAY_MS, "max.message.bytes": BATCH_BYTES_DEFAULT},
    # Reg B, 12 CFR 1002.12(b): records of applications are kept for 25 months after notice of the action taken.
    DECISIONS: {"retention.ms": 25 * 31 * DAY_MS},
    DEAD_LETTERS: {
        "retention.ms": 90 * DAY_MS,
        "max.message.bytes": BATCH_BYTES_DEFAULT + DEAD_LETTER_OVERHEAD_BYTES,
    },
    DEPLOYMENTS: {"retention.ms": -1},
    REVIEWS: {"retention.ms": 25 * 31 * DAY_MS},  # as long as the decisions that they are about
}
"""Configuration by default name, in addition to the cleanup policy `delete`."""
