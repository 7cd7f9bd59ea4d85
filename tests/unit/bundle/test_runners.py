"""Runners: the model's format and columns are what the manifest says, and a pickle is never opened."""

import bz2
import gzip
import importlib
import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import xgboost

from scorer.bundle.manifest import parse_manifest
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.runners import library_of, open_model
from scorer.errors import BundleError, ModelError, RunnerMissingError
from tests.unit.bundle.making import PLAIN

MODEL = (PLAIN / "model.ubj").read_bytes()
COLUMNS = parse_manifest((PLAIN / "bundle.json").read_bytes()).features.columns


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._target,)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.ubj", "model.bin"])
def test_a_pickle_is_known_by_its_bytes(tmp_path: Path, protocol: int, name: str) -> None:
    """Whatever it is called, a pickle is refused as one, and the code that it carries does not run."""
    target = tmp_path / "sprung"
    with pytest.raises(BundleError, match="pickles are never opened"):
        open_model("xgboost", name, pickle.dumps(_Trap(target), protocol), COLUMNS)
    assert not target.exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_ancient_pickle_is_rejected_too(tmp_path: Path, protocol: int) -> None:
    """Protocols 0 and 1 have no mark; they are known by naming what they would call."""
    target = tmp_path / "sprung"
    with pytest.raises(BundleError, match=r"model\.bin is a pickle"):
        open_model("xgboost", "model.bin", pickle.dumps(_Trap(target), protocol), COLUMNS)
    assert not target.exists()


def _zip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return packed.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zip": _zip,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_pickle_is_rejected_too(tmp_path: Path, packer: str) -> None:
    """As joblib packs them and as PyTorch does; and only their first bytes are unpacked."""
    target = tmp_path / "sprung"
    with pytest.raises(BundleError, match=r"model\.bin is a pickle"):
        open_model("xgboost", "model.bin", PACKERS[packer](pickle.dumps(_Trap(target))), COLUMNS)
    assert not target.exists()


@pytest.mark.parametrize("packer", PACKERS)
def test_what_is_packed_and_damaged_is_no_pickle(packer: str) -> None:
    """It is refused all the same, by the runner that cannot read it."""
    packed = PACKERS[packer](b"x" * 1_000)
    for content in (packed[:6], packed[: len(packed) // 2]):
        with pytest.raises(BundleError, match="neither in XGBoost's UBJSON"):
            open_model("xgboost", "model.bin", content, COLUMNS)


def test_a_pickle_is_read_no_further_than_anybody_needs() -> None:
    """To read a file of a few megabytes as instructions took a second at each load, and a minute for the largest."""
    read: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            read.append(1)
            return super().read(size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pickletools.io.BytesIO", Counted)
        with pytest.raises(BundleError, match=r"model\.bin is a pickle"):
            refuse_pickle("model.bin", b"N" * 4_000_000 + b".")
    assert len(read) <= 100_002


def test_an_archive_of_very_many_files_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its list could take gigabytes of memory; PyTorch's archives have some hundred files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}", b"")
    refuse_pickle("model.bin", packed.getvalue())
    monkeypatch.setattr("scorer.bundle.pickles._MEMBERS_MAX", 19)
    with pytest.raises(BundleError, match=r"model\.bin is a pickle"):
        refuse_pickle("model.bin", packed.getvalue())


@pytest.mark.parametrize("text", [b".", b"N.", b"I1\n.", b"car\nbus\n3.5", b'{"base": 1.}', b"tree\nversion=v4\nend."])
def test_a_text_is_no_pickle(text: bytes) -> None:
    """What a runner of one's own may want to read is not refused for looking like one at its beginning."""
    refuse_pickle("model.txt", text)


@pytest.mark.parametrize("name", ["model.pkl", "model.PICKLE", "model.joblib", "model.dill"])
def test_a_pickle_is_known_by_its_name(name: str) -> None:
    """Who names a model so meant a pickle, whatever is in it."""
    with pytest.raises(BundleError, match=f"{name} is a pickle"):
        open_model("xgboost", name, MODEL, COLUMNS)


def test_json_is_read_as_ubjson_is() -> None:
    """The two files of one booster give the same bits."""
    booster = xgboost.Booster(model_file=PLAIN / "model.ubj")
    rows = np.random.default_rng(1).random((50, len(COLUMNS)), dtype=np.float32) * 100
    models = [
        open_model("xgboost", f"model.{form}", bytes(booster.save_raw(form)), COLUMNS) for form in ("json", "ubj")
    ]
    assert np.array_equal(models[0].predict(rows), models[1].predict(rows))


@pytest.mark.parametrize("content", [b"", b"\x80", b"binf\x00", b"hello", b"\x7fELF"])
def test_only_ubjson_and_json_are_read(content: bytes) -> None:
    """Another format is refused before XGBoost's parser sees it."""
    with pytest.raises(BundleError, match="UBJSON"):
        open_model("xgboost", "model.ubj", content, COLUMNS)


@pytest.mark.parametrize("content", [b"{}", b'{"learner":{}}', b"{", b'{"', b"{L"])
def test_what_xgboost_cannot_read_is_a_bundle_error(content: bytes) -> None:
    """Its message comes in one line, without XGBoost's stack trace."""
    with pytest.raises(BundleError, match=r"the model is not XGBoost's|the model is damaged") as raised:
        open_model("xgboost", "model.ubj", content, COLUMNS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (COLUMNS[:-1], "expects 24 columns, but the manifest has 23"),
        ((*COLUMNS, "marital=unk"), "expects 24 columns, but the manifest has 25"),
        (COLUMNS[::-1], "in another order: age for time, amount for seniority, assets for records=yes"),
        (("price", *COLUMNS[1:]), "age for price"),
    ],
)
def test_the_columns_are_those_the_model_was_trained_on(columns: Sequence[str], message: str) -> None:
    """A matrix in another order would be scored without a word, and wrongly."""
    with pytest.raises(BundleError, match=message):
        open_model("xgboost", "model.ubj", MODEL, columns)


def test_a_model_without_names_is_matched_by_its_number_of_columns() -> None:
    """XGBoost keeps no names if it was trained without; then the manifest's are believed."""
    examples = xgboost.DMatrix(np.eye(4, dtype=np.float32), label=[0, 1, 0, 1])
    raw = bytes(xgboost.train({"nthread": 1}, examples, 1).save_raw("ubj"))
    open_model("xgboost", "model.ubj", raw, ("age", "amount", "assets", "debt"))


def test_an_unknown_runner_is_rejected_by_name() -> None:
    """The message says what there is."""
    with pytest.raises(BundleError, match=r"runner 'torch' not found \(installed: xgboost, onnx"):
        open_model("torch", "model.pt", MODEL, COLUMNS)


def test_settings_that_a_runner_does_not_accept_are_rejected() -> None:
    """What is written down and ignored would be believed."""
    with pytest.raises(BundleError, match="has no settings, but the manifest has depth"):
        open_model("xgboost", "model.ubj", MODEL, COLUMNS, {"depth": 3})


@pytest.mark.parametrize("shape", [(2, 3), (2,), (1, 2, 24)])
def test_a_matrix_that_does_not_fit_is_a_model_error(shape: tuple[int, ...]) -> None:
    """What the core narrows down to records: one line, with no stack trace."""
    model = open_model("xgboost", "model.ubj", MODEL, COLUMNS)
    with pytest.raises(ModelError, match="the model expects 24 columns") as raised:
        model.predict(np.zeros(shape, dtype=np.float32))
    assert "\n" not in str(raised.value)


def test_predictions_do_not_share_memory() -> None:
    """What one batch returned is not overwritten by the next."""
    model = open_model("xgboost", "model.ubj", MODEL, COLUMNS)
    first = model.predict(np.zeros((3, len(COLUMNS)), dtype=np.float32))
    copy = first.copy()
    second = model.predict(np.full((3, len(COLUMNS)), 50, dtype=np.float32))
    assert np.array_equal(first, copy)
    assert not np.array_equal(first, second)


class _Package:
    """An installed package, as an installer leaves it behind: its metadata, and a module."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        patch.syspath_prepend(folder)

    def install(self, package: str, code: str, *runners: str) -> None:
        """Puts it there, with these lines `name = module:function`."""
        metadata_folder = self._folder / f"{package}-1.2.3.dist-info"
        metadata_folder.mkdir()
        (metadata_folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3\n")
        (metadata_folder / "entry_points.txt").write_text("\n".join(["[scorer.runners]", *runners]) + "\n")
        (self._folder / f"{package}.py").write_text(code)
        importlib.invalidate_caches()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Package:
    """A folder for packages that is looked through."""
    return _Package(tmp_path, monkeypatch)


HALVES = """
import numpy as np
class Halves:
    def predict(self, matrix):
        if matrix[0, 0] == 4711:
            raise LookupError("4711 is nowhere")
        if matrix[0, 0] == 1:
            raise MemoryError
        return np.full(len(matrix), 0.5, dtype=np.float32)
def open(model, columns, settings):
    if settings:
        raise OSError(f"{len(model)} bytes, {len(columns)} columns, {settings}")
    return Halves()
"""


def test_an_installed_runner_is_found(packages: _Package) -> None:
    """By its name in the group; it is told the bytes, the columns and the settings; its package is named."""
    packages.install("halves_a", HALVES, "halves = halves_a:open")
    model = open_model("halves", "model.bin", b"123", ("age", "time"))
    assert model.predict(np.zeros((2, 2), dtype=np.float32)).tolist() == [0.5, 0.5]
    assert library_of("halves") == {"halves_a": "1.2.3"}
    with pytest.raises(BundleError, match=r"cannot open model\.bin: OSError: 3 bytes, 2 columns, \{'a': 1\}"):
        open_model("halves", "model.bin", b"123", ("age", "time"), {"a": 1})


def test_an_exception_of_a_runner_becomes_a_model_error_without_values(packages: _Package) -> None:
    """A library's message may hold an applicant's figures; its type does not. A lack of memory is nobody's record."""
    packages.install("halves_b", HALVES, "halves = halves_b:open")
    model = open_model("halves", "model.bin", b"", ("age",))
    with pytest.raises(ModelError, match="the runner halves failed with LookupError") as raised:
        model.predict(np.full((1, 1), 4711, dtype=np.float32))
    assert "4711" not in str(raised.value)
    with pytest.raises(MemoryError):
        model.predict(np.full((1, 1), 1, dtype=np.float32))


def test_two_packages_with_one_runner_are_rejected(packages: _Package) -> None:
    """Which one decides must not depend on the order of folders."""
    packages.install("halves_c", HALVES, "halves = halves_c:open")
    packages.install("halves_d", HALVES, "halves = halves_d:open")
    with pytest.raises(BundleError, match="'halves' is provided by halves_c and halves_d: uninstall all but one"):
        open_model("halves", "model.bin", b"", ("age",))


def test_our_runners_cannot_be_replaced(packages: _Package) -> None:
    """A package that calls its runner xgboost is not asked."""
    packages.install("halves_e", HALVES, "xgboost = halves_e:open")
    with pytest.raises(BundleError, match="UBJSON"):
        open_model("xgboost", "model.bin", b"", ("age",))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("broken_a:nothing", "cannot import the runner 'broken': AttributeError: .*Reinstall its package broken_a"),
        ("broken_b:nothing", "cannot import the runner 'broken': ModuleNotFoundError: No module named 'broken_b'"),
        ("broken_a:NUMBER", "the runner broken cannot open model.bin: TypeError: 'int' object is not callable"),
    ],
)
def test_a_runner_that_cannot_be_loaded(packages: _Package, entry: str, message: str) -> None:
    """The cause is reported; one that cannot be imported is not the bundle's fault."""
    packages.install("broken_a", "NUMBER = 1", f"broken = {entry}")
    with pytest.raises(BundleError, match=message) as refused:
        open_model("broken", "model.bin", b"", ("age",))
    assert isinstance(refused.value, RunnerMissingError) == ("cannot import" in message)
