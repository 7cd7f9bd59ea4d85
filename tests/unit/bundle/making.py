"""Bundles and data for tests: copies of the shipped ones, made otherwise where a test wants it, and made-up loans."""

import hashlib
import io
import json
import pickle
import random
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sklearn.feature_extraction import DictVectorizer

from scorer.store.store import SHIPPED

PLAIN = SHIPPED / "credit-risk" / "1.1.0"
EXPLAINED = SHIPPED / "credit-risk" / "1.1.1"
WITH_MARITAL = SHIPPED / "credit-risk" / "1.0.0"


def copy_bundle(folder: Path, source: Path = PLAIN) -> Path:
    """A copy that may be tampered with."""
    return Path(shutil.copytree(source, folder))


def remake(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    """Seals a copy anew: as if somebody had made it this way, every digest right."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def named(folder: Path, name: str, version: str, source: Path = PLAIN) -> Path:
    """A copy of a shipped bundle under another name and version."""
    return remake(copy_bundle(folder, source), lambda manifest: manifest.update(name=name, version=version))


def everything_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their paths in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_loans(path: Path, rows: int = 300, seed: int = 5) -> Path:
    """A CSV file of made-up loans: the younger in the job and the deeper in trouble, the likelier a default."""
    chance = random.Random(seed)
    lines = ["Status,Seniority,Home,Time,Age,Marital,Records,Job,Expenses,Income,Assets,Debt,Amount,Price"]
    for _ in range(rows):
        seniority, records = chance.randint(0, 30), chance.choice([1, 1, 1, 2])
        status = 2 if chance.random() < 0.15 + 0.5 * (records == 2) + 0.3 * (seniority < 4) else 1
        income = chance.choice([99999999, 60, 100, 140, 200])
        lines.append(
            f"{status},{seniority},{chance.randint(1, 6)},{chance.choice([12, 36, 60])},{chance.randint(18, 68)},"
            f"{chance.randint(1, 5)},{records},{chance.randint(1, 4)},{chance.randint(35, 120)},{income},"
            f"{chance.randint(0, 9) * 1_000},{chance.randint(0, 3) * 500},{chance.randint(3, 20) * 100},"
            f"{chance.randint(5, 30) * 100}"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_vectorizer(columns: Iterable[str], **options: Any) -> DictVectorizer:
    """A vectorizer that gives these columns: `field=value` for a category, `field` for a number."""
    split = [column.partition("=") for column in columns]
    vectorizer = DictVectorizer(**{"sparse": False} | options)  # type: ignore[no-untyped-call]
    vectorizer.fit([{field: value if equals else 0.0} for field, equals, value in split])
    return vectorizer


BENTOMODEL_INFO = """\
name: credit_risk_model
version: puxjlfxhakuqeax4
module: bentoml.xgboost
labels: {}
options:
  model_class: Booster
metadata: {}
context:
  framework_name: xgboost
  framework_versions:
    xgboost: 3.2.0
  bentoml_version: 1.4.39
  python_version: 3.11.7
signatures:
  predict:
    batchable: true
    batch_dim:
    - 0
    - 0
api_version: v2
creation_time: '2026-01-31T10:00:00.000000+00:00'
"""


def bentomodel_files(source: Path = PLAIN) -> dict[str, bytes]:
    """The files of a shipped bundle's model as BentoML would have saved it."""
    columns = json.loads((source / "bundle.json").read_bytes())["features"]["columns"]
    return {
        "model.yaml": BENTOMODEL_INFO.encode(),
        "saved_model.ubj": (source / "model.ubj").read_bytes(),
        "custom_objects.pkl": pickle.dumps({"dictVectorizer": make_vectorizer(columns)}),
    }


def write_bentomodel(path: Path, files: Mapping[str, bytes], prefix: str = "./") -> Path:
    """An archive as `bentoml models export` writes it; before BentoML 1.4 its names had no prefix."""
    with tarfile.open(path, "w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
