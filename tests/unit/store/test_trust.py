"""The file of trusted keys: added to, revoked from, read again, and refused where it is wrong."""

import json
from pathlib import Path

import pytest

from scorer.bundle.signing import SigningKey, make_key
from scorer.errors import MisuseError, SettingsError
from scorer.store.trust import Trust, TrustedKey, add_key, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is, or will be."""
    return tmp_path / "trusted.json"


@pytest.fixture
def ana(tmp_path: Path, path: Path) -> SigningKey:
    """A key that is trusted for deployments."""
    key = make_key(tmp_path / "ana.pem")
    add_key(path, TrustedKey(name="ana", key=key.public.text, signs=("deployments",)))
    return key


def test_who_has_signed(tmp_path: Path, path: Path, ana: SigningKey) -> None:
    """Trusted keys are named once each, for what they are trusted for; whatever else is there counts for nothing."""
    ben = make_key(tmp_path / "ben.pem")
    add_key(path, TrustedKey(name="ben", key=ben.public.text, signs=("bundles", "deployments")))
    stranger = make_key(tmp_path / "stranger.pem")
    signatures = ["nonsense", *(str(key.sign(b"x")) for key in (stranger, ben, ana, ben))]
    trust = Trust(path)
    assert trust.signers("deployments", b"x", signatures) == ["ben", "ana"]
    assert trust.signers("bundles", b"x", signatures) == ["ben"]
    assert trust.signers("deployments", b"y", signatures) == []
    assert trust.key_ids("bundles") == [ben.public.key_id]


def test_what_is_revoked(path: Path, ana: SigningKey) -> None:
    """It counts no more, stays in the file, and cannot be added again."""
    before = Trust(path)
    revoke_key(path, "ana")
    assert before.signers("deployments", b"x", [str(ana.sign(b"x"))]) == ["ana"]
    now = before.reloaded()
    assert now is not before
    assert now.signers("deployments", b"x", [str(ana.sign(b"x"))]) == []
    assert now.reloaded() is now
    with pytest.raises(MisuseError, match=r"is already in .*, as ana \(revoked\)"):
        add_key(path, TrustedKey(name="ana-2", key=ana.public.text, signs=("bundles",)))
    with pytest.raises(MisuseError, match="has no key named eve; it has: ana"):
        revoke_key(path, "eve")


@pytest.mark.usefixtures("ana")
def test_a_name_is_used_once(tmp_path: Path, path: Path) -> None:
    """Two keys of one name would be two people whom the history calls the same."""
    other = make_key(tmp_path / "other.pem").public.text
    with pytest.raises(MisuseError, match="already has a key named ana"):
        add_key(path, TrustedKey(name="ana", key=other, signs=("bundles",)))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is invalid"),
        (b"{}", "keys"),
        (b'{"keys": [{"name": "ana", "key": "short", "signs": ["bundles"]}]}', "at least 44 characters"),
        (json.dumps({"keys": [{"name": "ana", "key": "!" * 44, "signs": ["bundles"]}]}).encode(), "not an Ed25519 key"),
        (json.dumps({"keys": [{"name": "ana", "key": "A" * 43 + "=", "signs": ["loans"]}]}).encode(), "signs"),
        (json.dumps({"keys": [{"name": "a", "key": "A" * 43 + "=", "signs": ["bundles"]}] * 2}).encode(), "twice"),
        (  # the same 32 bytes, spelt in two ways
            json.dumps({"keys": [{"name": n, "key": "A" * 42 + f"{n}=", "signs": ["bundles"]} for n in ("A", "B")]})
            .replace('"name": "A"', '"name": "a"')
            .replace('"name": "B"', '"name": "b"')
            .encode(),
            "contains a key twice",
        ),
        (b" " * 2_000_000, "more than 1048576 bytes"),
    ],
)
def test_files_that_are_wrong(path: Path, content: bytes, fault: str) -> None:
    """They are refused with what is wrong; a worker that runs goes on with what it has read."""
    path.write_bytes(b'{"keys": []}')
    running = Trust(path)
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=fault):
        Trust(path)
    assert running.reloaded() is running


def test_a_file_that_is_missing(path: Path) -> None:
    """It says which command makes one."""
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory; `scorer trust add` creates"):
        Trust(path)
