"""Bundles with contracts of their own: a small one with a model, and the shipped one with a changed contract."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.author.build import Draft, build_bundle
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import Features
from scorer.core.policy import Policy
from tests.unit.bundle.making import PLAIN, copy_bundle, remake

CAR_LOAN: Final = parse_contract(
    json.dumps(
        {
            "x-name": "car-loan",
            "x-version": "1.0.0",
            "type": "object",
            "properties": {
                "loan_id": {"type": "string", "x-id": True},
                "salary": {"type": "number", "minimum": 0, "maximum": 100_000},
                "owner": {"type": "boolean"},
            },
            "required": ["loan_id", "salary", "owner"],
        }
    )
)
"""A contract that shares no field with the shipped one."""


def car_loan(loan_id: str = "c-1", salary: object = 2_000, **fields: object) -> bytes:
    """A valid application of `CAR_LOAN`, but for the fields given."""
    return json.dumps({"loan_id": loan_id, "salary": salary, "owner": True, **fields}).encode()


def car_loan_bundle(
    folder: Path, version: str = "1.0.0", contract: Contract = CAR_LOAN, declined_above: float = 0.6
) -> Path:
    """A bundle `car-loan` of this contract; who earns little defaults."""
    folder.mkdir(parents=True)
    draft = Draft(
        name="car-loan",
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        runner="xgboost",
        model=_train(),
        inputs=ModelInput(contract, Features(columns=("salary", "owner"), missing=None)),
        policy=Policy(maybe_above=0.4, declined_above=declined_above),
        metrics=None,
        training=None,
        libraries={"xgboost": xgboost.__version__},
        labels={},
    )
    build_bundle(draft, folder)
    return folder


@cache
def _train() -> bytes:
    salaries = np.linspace(0, 5_000, 40, dtype=np.float32)
    matrix = np.column_stack([salaries, np.arange(40) % 2])
    train = xgboost.DMatrix(matrix, label=salaries < 2_500, feature_names=["salary", "owner"])
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "nthread": 1}, train, num_boost_round=8)
    return bytes(booster.save_raw("ubj"))


def recontracted(folder: Path, version: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """The shipped bundle as `credit-risk:version`, with a changed contract, which its golden examples must satisfy."""
    from schemas.contracts import shipped_contract

    document = json.loads(shipped_contract().canonical)
    change(document)
    contract = parse_contract(json.dumps(document))
    copy_bundle(folder, PLAIN)
    (folder / "contract.schema.json").write_bytes(contract.canonical)

    def name_contract(manifest: dict[str, Any]) -> None:
        del manifest["contract_version"]
        sha256 = hashlib.sha256(contract.canonical).hexdigest()
        named = {"file": "contract.schema.json", "name": contract.name, "version": contract.version, "sha256": sha256}
        manifest.update(manifest_version=3, version=version, contract=named, runner_settings={})
        manifest["features"]["derived"] = {}
        manifest["files"]["contract.schema.json"] = sha256

    return remake(folder, name_contract)
