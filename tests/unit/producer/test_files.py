"""Files of the command line: the profile of a bundle."""

from pathlib import Path

import pytest

from producer.errors import MisuseError
from producer.files import read_profile
from schemas.contracts import shipped_contract
from schemas.profile import PROFILE_FILE, FieldProfile, Profile

CONTRACT = shipped_contract()
PROFILE = Profile(fields={"age": FieldProfile(unknown=0.0)})


def test_a_profile_is_read_from_a_file_or_a_bundles_folder(tmp_path: Path) -> None:
    """Both give the same profile; without a path there is none."""
    file = tmp_path / PROFILE_FILE
    file.write_bytes(PROFILE.dump())
    assert read_profile(file, CONTRACT) == read_profile(tmp_path, CONTRACT) == PROFILE
    assert read_profile(None, CONTRACT) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no profile.json found; `scorer train` adds one"),
        (b"income,42", "profile.json: the file is not a profile: not JSON"),
        (Profile(fields={}).dump(), "profile.json: the profile has no field of credit-application:1.0.0"),
        (
            Profile(fields={"salary": FieldProfile(unknown=0)}).dump(),
            "has no field of credit-application:1.0.0; was it made for another contract?",
        ),
    ],
)
def test_a_profile_that_cannot_be_used_is_misuse(tmp_path: Path, content: bytes | None, message: str) -> None:
    """One message names the file and what is wrong, and repeats no value."""
    file = tmp_path / PROFILE_FILE
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MisuseError, match=message) as caught:
        read_profile(file, CONTRACT)
    assert str(file) in str(caught.value)
    assert "42" not in str(caught.value)
