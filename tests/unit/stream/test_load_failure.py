"""A bundle that could not be loaded, as the group's offsets say it."""

import pytest

from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata, decode_metadata

BUNDLE = f"my-risk:2.0.0@{'2' * 64}"


@pytest.mark.parametrize(
    "failure",
    [
        LoadFailure("champion", BUNDLE, "there is no bundle my-risk:2.0.0"),
        LoadFailure("challenger", BUNDLE, 'digest: it differs\nfetch "it" again'),
        LoadFailure("champion", BUNDLE, ""),
    ],
)
def test_what_is_written_is_read(failure: LoadFailure) -> None:
    """Slot, bundle and reason come back out of an offset's metadata, whatever the reason contains."""
    written = CommittedMetadata(f"credit-risk:1.1.0@{'1' * 64}", refused=failure.write()).encode()
    assert LoadFailure.read(decode_metadata(written).refused) == failure


def test_a_reason_that_was_cut_is_read() -> None:
    """Brokers limit the metadata: a long reason arrives cut, and is still known to be about this bundle."""
    written = CommittedMetadata("", refused=LoadFailure("champion", BUNDLE, "why " * 5_000).write()).encode()
    assert len(written) < 4_096
    failure = LoadFailure.read(decode_metadata(written).refused)
    assert failure is not None
    assert failure.bundle == BUNDLE
    assert failure.reason.startswith("why why")


@pytest.mark.parametrize("text", ["", "something else", "a: b"])
def test_other_text_is_not_a_load_failure(text: str) -> None:
    """Without a failure, or if another program wrote the metadata, there is no load failure."""
    assert LoadFailure.read(text) is None
