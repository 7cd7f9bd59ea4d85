"""Opening a bundle: whatever was changed, lost or added is noticed; what is opened predicts as XGBoost does."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from schemas.application import CONTRACT_VERSION
from schemas.contracts import shipped_contract
from scorer.bundle import load
from scorer.bundle.golden import read_golden
from scorer.bundle.load import load_bundle, read_contract_of, read_manifest
from scorer.core.score import score_batch
from scorer.errors import BundleError
from tests.unit.bundle.contracts import CAR_LOAN, car_loan_bundle
from tests.unit.bundle.making import EXPLAINED, PLAIN, WITH_MARITAL, copy_bundle, remake

FILES = ("bundle.json", "model.ubj", "golden.jsonl", "model-card.md")


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def _replace_by_link(path: Path) -> None:
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "a bit": _flip_a_bit,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": Path.unlink,
    "link": _replace_by_link,
    "folder": _replace_by_folder,
    "pipe": _replace_by_pipe,
}


@pytest.mark.parametrize("tamper", TAMPERINGS)
@pytest.mark.parametrize("name", FILES)
def test_every_file_and_every_way_to_tamper_with_it(tmp_path: Path, name: str, tamper: str) -> None:
    """A damaged bundle is refused, and the message has the folder, the file and the cure."""
    folder = copy_bundle(tmp_path / "bundle")
    TAMPERINGS[tamper](folder / name)
    with pytest.raises(BundleError, match=f"{folder}: .*{name}.* Do not repair a bundle in place"):
        load_bundle(folder)


def test_a_manifest_that_was_edited_is_another_bundle(tmp_path: Path) -> None:
    """What still reads and fits has another digest, so decisions and deployments do not take it for the old one."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda manifest: manifest["labels"].update(approved="yes"))
    assert load_bundle(folder).reference.digest != read_manifest(PLAIN).digest


@pytest.mark.parametrize("name", ["extra.txt", ".DS_Store", "sub"])
def test_what_the_manifest_does_not_name_is_rejected(tmp_path: Path, name: str) -> None:
    """Nothing rides along in a bundle that its digest does not cover."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=f"{name} is not part of the bundle"):
        load_bundle(folder)


def test_a_path_that_climbs_is_never_followed(tmp_path: Path) -> None:
    """Even with the right digest, a file outside the folder is no part of a bundle."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model.ubj").rename(tmp_path / "model.ubj")

    def climb(manifest: dict[str, Any]) -> None:
        manifest["files"]["../model.ubj"] = manifest["files"].pop("model.ubj")
        manifest["model"] = "../model.ubj"

    with pytest.raises(BundleError, match="is not a valid manifest"):
        load_bundle(remake(folder, climb))


def test_a_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    """A link to the bundle's folder is the operator's own business; inside it there are none."""
    (tmp_path / "current").symlink_to(PLAIN)
    assert load_bundle(tmp_path / "current").reference == read_manifest(PLAIN).reference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contract_version": "2.0.0"}, f"built for contract 2.0.0, but this release has {CONTRACT_VERSION}"),
        (
            {"features": {"columns": ["age", "home=castle"], "missing": 0}},
            "are not in the contract: home=castle",
        ),
        ({"features": {"columns": ["age", "age"], "missing": 0}}, "duplicate columns: age"),
        ({"features": {"columns": ["age"], "missing": 0}}, "expects 24 columns, but the manifest has 1:"),
        ({"runner": "torch"}, "runner 'torch' not found"),
        ({"policy": {"maybe_above": 0.01, "declined_above": 0.02}}, "policy's decisions on the golden examples differ"),
    ],
)
def test_a_bundle_that_does_not_fit_is_rejected(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Digests right, content wrong: what the manifest says must fit the contract, the model and the examples."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda manifest: manifest.update(change))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_a_later_contract_of_the_same_kind_fits(tmp_path: Path) -> None:
    """A contract that only added something has the same first number."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda m: m.update(contract_version="1.99.0"))
    load_bundle(folder)


def _shift_golden(folder: Path, by: float) -> None:
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_bytes().splitlines()]
    lines[7]["probability_of_default"] += by
    (folder / "golden.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("machine", "by", "refused"),
    [
        (platform.machine(), 1e-9, True),
        ("another", 1e-9, False),
        ("another", 1e-5, True),
    ],
)
def test_golden_examples_hold_bit_for_bit_where_they_were_made(
    tmp_path: Path, machine: str, by: float, refused: bool
) -> None:
    """On the architecture that the manifest names not a bit may differ, on another a millionth."""
    folder = copy_bundle(tmp_path / "bundle")
    _shift_golden(folder, by)
    remake(folder, lambda manifest: manifest.update(platform=machine))
    if refused:
        with pytest.raises(BundleError, match="1 of 64 golden examples are not reproduced"):
            load_bundle(folder)
    else:
        load_bundle(folder)


def test_a_pickle_is_rejected_even_with_the_right_digest(tmp_path: Path) -> None:
    """Who made the bundle cannot make us open one."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model.ubj").write_bytes(b"\x80\x04.")
    with pytest.raises(BundleError, match="pickles are never opened"):
        load_bundle(remake(folder))


@pytest.mark.parametrize(("limit", "name"), [("FILE_BYTES_MAX", "model.ubj"), ("MANIFEST_BYTES_MAX", "bundle.json")])
def test_a_file_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch, limit: str, name: str) -> None:
    """No more than the limit is ever read into memory."""
    monkeypatch.setattr(load, limit, (PLAIN / name).stat().st_size)
    load_bundle(PLAIN)
    monkeypatch.setattr(load, limit, (PLAIN / name).stat().st_size - 1)
    with pytest.raises(BundleError, match=f"{name} has more than"):
        load_bundle(PLAIN)


def test_no_folder_no_bundle(tmp_path: Path) -> None:
    """A path that leads nowhere, or to a file, is said to."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BundleError, match="no such folder"):
            load_bundle(path)
    with pytest.raises(BundleError, match=r"bundle\.json is missing"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("folder", [PLAIN, WITH_MARITAL, EXPLAINED], ids=["1.1.0", "1.0.0", "1.1.1"])
def test_the_shipped_bundles_pass_every_check(folder: Path) -> None:
    """What a worker starts with is sound, and each check says that it was made."""
    checks: list[str] = []
    opened = load_bundle(folder, checks.append)
    reasons = ["reasons"] if folder == EXPLAINED else []
    names = ["manifest", "files", "contract", "model", *reasons, "golden examples"]
    assert [check.partition(":")[0] for check in checks] == names
    assert opened.works()
    assert opened.golden_matrix.shape == (64, len(opened.encoding.columns))


@pytest.mark.parametrize(
    ("folder", "digest"),
    [
        (WITH_MARITAL, "4ebcad5e357a0b60dd7e95800963fa6c8b513d09a6b383929b8ca66f910b2423"),
        (PLAIN, "1581f37bfc6d2da0f77a409a57cefac780e6ea0b478ee49242b220a4c159f987"),
        (EXPLAINED, "71719e81ec9b5868262acbf19668cf345602830d1b41c3de23188faeee333677"),
    ],
    ids=["1.0.0", "1.1.0", "1.1.1"],
)
def test_a_shipped_bundle_never_changes(folder: Path, digest: str) -> None:
    """Decisions name their bundle by digest: another one under an old version would make them lie."""
    assert read_manifest(folder).digest == digest


def _encode_by_hand(application: dict[str, Any], names: Sequence[str]) -> list[float]:
    """As the course does it: a dictionary of `field=value` and numbers, looked up column by column."""
    encoded: dict[str, float] = {}
    for field, value in ({"marital": "unk"} | application).items():
        if isinstance(value, str):
            encoded[f"{field}={value}"] = 1.0
        else:
            encoded[field] = float(value or 0)
    return [encoded.get(name, 0.0) for name in names]


@pytest.mark.parametrize("folder", [PLAIN, WITH_MARITAL], ids=["1.1.0", "1.0.0"])
def test_probabilities_are_xgboosts_own_to_the_bit(folder: Path) -> None:
    """XGBoost, asked directly with a matrix that was not built by our code, gives the same float32s."""
    booster = xgboost.Booster(model_file=folder / "model.ubj")
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_bytes().splitlines()]
    names = booster.feature_names
    assert names is not None
    rows = np.array([_encode_by_hand(line["application"], names) for line in lines], dtype=np.float32)
    direct = booster.predict(xgboost.DMatrix(rows, feature_names=names))
    opened = load_bundle(folder)
    applications = read_golden((folder / "golden.jsonl").read_bytes(), opened.decoder).columns
    assert np.array_equal(direct, opened.model.predict(opened.encoding.matrix(applications)))
    assert direct.astype(np.float64).tolist() == [line["probability_of_default"] for line in lines]


class _Record:
    def __init__(self, application: dict[str, Any]) -> None:
        self._value = json.dumps(application).encode()

    def __len__(self) -> int:
        return len(self._value)

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def value(self) -> bytes:
        return self._value


def test_the_default_bundle_does_not_look_at_the_marital_status() -> None:
    """Whatever it is, or if it is not there, the decision's bytes are the same; with 1.0.0 they are not."""
    application = json.loads((PLAIN / "golden.jsonl").read_bytes().splitlines()[0])["application"]
    statuses = ("single", "married", "widow", "separated", "divorced", "unk")
    records = [_Record(application | {"marital": status}) for status in statuses]
    records.append(_Record({name: value for name, value in application.items() if name != "marital"}))
    assert len(set(score_batch(records, load_bundle(PLAIN), 10_000).results)) == 1
    assert len(set(score_batch(records, load_bundle(WITH_MARITAL), 10_000).results)) > 1


def test_contract_without_the_model(tmp_path: Path) -> None:
    """A bundle's contract is read without its model: its own, and of earlier manifests the shipped one."""
    (old_folder := tmp_path / "old").mkdir()
    copy_bundle(old_folder / "bundle")
    (old_folder / "bundle" / "model.ubj").unlink()
    assert read_contract_of(old_folder / "bundle")[1] == shipped_contract()
    folder = car_loan_bundle(tmp_path / "new")
    reference, contract = read_contract_of(folder)
    assert (reference, contract) == (load_bundle(folder).reference, CAR_LOAN)
    (folder / "contract.schema.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"contract\.schema\.json was changed or damaged"):
        read_contract_of(folder)
