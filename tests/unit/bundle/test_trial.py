"""A bundle is opened in a process of its own first: whatever its model does there harms nothing else."""

from pathlib import Path

import pytest

from scorer.bundle import trial
from scorer.bundle.load import load_bundle
from scorer.bundle.trial import open_in_child
from scorer.errors import BundleError, RunnerMissingError
from scorer.store.store import BundleStore
from tests.unit.bundle.crashing import crashing_bundle, install_crashing_runners
from tests.unit.bundle.making import PLAIN, copy_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _runners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_crashing_runners(tmp_path / "packages")))


def test_a_good_bundle() -> None:
    """It says which one it is, as in this process."""
    assert open_in_child(PLAIN) == load_bundle(PLAIN).reference


def test_a_damaged_bundle(tmp_path: Path) -> None:
    """What is wrong with it is said as in this process."""
    folder = copy_bundle(tmp_path / "damaged")
    (folder / "model-card.md").write_text("another card")
    with pytest.raises(BundleError) as here:
        load_bundle(folder, called="mine.tar.gz")
    with pytest.raises(BundleError) as in_child:
        open_in_child(folder, "mine.tar.gz")
    assert str(in_child.value) == str(here.value)


def test_a_runner_that_is_missing(tmp_path: Path) -> None:
    """It stays what it is: the bundle may be fine."""
    with pytest.raises(RunnerMissingError, match="runner 'elsewhere' not found"):
        open_in_child(crashing_bundle(tmp_path / "mine", "elsewhere"))


@pytest.mark.parametrize(
    ("runner", "what"),
    [
        ("crash", "the process that opened it was killed by SIGSEGV"),
        ("leave", "the process that opened it ended with exit code 7"),
        ("vanish", "the process that opened it ended without a result"),
        ("hang", "its model was not loaded within 3 s"),
        ("grow", "MemoryError"),
    ],
)
def test_what_a_model_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str, what: str) -> None:
    """It is refused with what happened, by this function and by the store that takes it in."""
    monkeypatch.setattr(trial, "_OPEN_S", 3.0 if runner == "hang" else 60.0)
    folder = crashing_bundle(tmp_path / "bad", runner)
    with pytest.raises(BundleError, match=what):
        open_in_child(folder)
    store = BundleStore(tmp_path / "store")
    with pytest.raises(BundleError, match=f"bundle bad.tar.gz: .*{what}"):
        store.import_bundle(folder, "bad.tar.gz")
    assert [entry for entry in store.entries() if not entry.shipped] == []
