"""Puts a trained model, its vectorizer and its policy into the BentoML model store, where the service finds them."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import bentoml
import xgboost
from sklearn.feature_extraction import DictVectorizer


def make_vectorizer(columns: list[str]) -> DictVectorizer:
    """A vectorizer that makes just these columns: `field=value` for a text, `field` for a number."""
    rows: list[dict[str, Any]] = []
    for column in columns:
        field, equals, value = column.partition("=")
        rows.append({field: value if equals else 0.0})
    vectorizer = DictVectorizer(sparse=False).fit(rows)
    if vectorizer.get_feature_names_out().tolist() != columns:
        raise ValueError("the columns are not in the vectorizer's order")
    return vectorizer


def main() -> None:
    """`python train_bundle.py FOLDER`, a folder with model.ubj and bundle.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if "BENTOML_HOME" not in os.environ:
        parser.error("set BENTOML_HOME to the folder of the model store")
    manifest = json.loads((folder / "bundle.json").read_text())
    saved = bentoml.xgboost.save_model(
        "credit_risk",
        xgboost.Booster(model_file=folder / "model.ubj"),
        signatures={"predict": {"batchable": True}},
        custom_objects={
            "vectorizer": make_vectorizer(manifest["features"]["columns"]),
            "policy": manifest["policy"],
        },
    )
    print(saved.tag)


if __name__ == "__main__":
    main()
