"""A bundle that could not be loaded, as the group's offsets say it."""

import pytest

from scorer.stream.load_failure import Refusal
from scorer.stream.metadata import CommittedMetadata, decode_metadata

BUNDLE = f"my-risk:2.0.0@{'2' * 64}"


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("champion", BUNDLE, "there is no bundle my-risk:2.0.0"),
        Refusal("challenger", BUNDLE, 'digest: it differs\nfetch "it" again'),
        Refusal("champion", BUNDLE, ""),
    ],
)
def test_what_is_written_is_read(refusal: Refusal) -> None:
    """Slot, bundle and reason come back out of an offset's metadata, whatever the reason contains."""
    written = CommittedMetadata(f"credit-risk:1.1.0@{'1' * 64}", refused=refusal.write()).encode()
    assert Refusal.read(decode_metadata(written).refused) == refusal


def test_a_reason_that_was_cut_is_read() -> None:
    """Brokers limit the metadata: a long reason arrives cut, and is still known to be about this bundle."""
    written = CommittedMetadata("", refused=Refusal("champion", BUNDLE, "why " * 5_000).write()).encode()
    assert len(written) < 4_096
    refusal = Refusal.read(decode_metadata(written).refused)
    assert refusal is not None
    assert refusal.bundle == BUNDLE
    assert refusal.reason.startswith("why why")


@pytest.mark.parametrize("text", ["", "something else", "a: b"])
def test_anything_else_is_no_refusal(text: str) -> None:
    """Nothing was refused, or somebody else wrote it."""
    assert Refusal.read(text) is None
