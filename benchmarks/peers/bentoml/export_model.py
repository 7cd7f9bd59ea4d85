"""Exports the course's model from BentoML's store, with the predictions of BentoML's runner to compare an import with.

`python export_model.py APPLICATIONS.jsonl FILE.bentomodel`: applications with a `status`, one JSON object a line. They
are what it learns from and what it then predicts; the predictions go to standard output as one JSON list.
"""

import argparse
import json
import os
from pathlib import Path

import bentoml
import xgboost
from sklearn.feature_extraction import DictVectorizer

PARAMETERS = {"eta": 0.1, "max_depth": 3, "min_child_weight": 1, "objective": "binary:logistic", "seed": 1}


def main() -> None:
    """Trains, saves, exports and predicts as the course's module 7 does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("applications", type=Path)
    parser.add_argument("exported", type=Path)
    options = parser.parse_args()
    if "BENTOML_HOME" not in os.environ:
        parser.error("set BENTOML_HOME to the folder of the model store")
    rows = [json.loads(line) for line in options.applications.read_text(encoding="utf-8").splitlines()]
    defaulted = [row.pop("status") == "default" for row in rows]
    applications = [{name: value or 0 for name, value in row.items() if name != "application_id"} for row in rows]

    vectorizer = DictVectorizer(sparse=False)
    matrix = vectorizer.fit_transform(applications)
    booster = xgboost.train(PARAMETERS, xgboost.DMatrix(matrix, label=defaulted), num_boost_round=60)
    bentoml.xgboost.save_model(
        "credit_risk_model",
        booster,
        custom_objects={"dictVectorizer": vectorizer},
        signatures={"predict": {"batchable": True, "batch_dim": 0}},
    )
    bentoml.models.export_model("credit_risk_model:latest", str(options.exported))

    reference = bentoml.xgboost.get("credit_risk_model:latest")
    runner = reference.to_runner()
    runner.init_local(quiet=True)
    predicted = runner.predict.run(reference.custom_objects["dictVectorizer"].transform(applications))
    print(json.dumps([float(probability) for probability in predicted]))


if __name__ == "__main__":
    main()
