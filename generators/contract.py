"""The contract as files: JSON Schemas, the AsyncAPI document and examples."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from generators.files import dump_yaml
from schemas.application import CONTRACT_VERSION, CreditApplication
from schemas.asyncapi import build_document
from schemas.contracts import shipped_contract
from schemas.decision import Decision
from schemas.deployment import DeploymentEvent
from schemas.examples import APPLICATIONS, DECISION, DEPLOYMENT, INVALID, REVIEW
from schemas.files import dump_application
from schemas.review import Review

FOLDER: Final = "schemas/generated"
_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "application": CreditApplication,
    "decision": Decision,
    "deployment-event": DeploymentEvent,
    "review": Review,
}


def generate() -> dict[str, bytes]:
    """All generated files: contents by path, the same on every run."""
    files = {f"{name}.schema.json": _dump(_schema(name, model)) for name, model in _MODELS.items()}
    files["asyncapi.yaml"] = dump_yaml(build_document(shipped_contract()))
    # One line each, so that every file of applications is also valid JSON lines, and can be published as is.
    for name, application in APPLICATIONS.items():
        files[f"examples/applications/{name}.json"] = dump_application(application, shipped_contract()) + b"\n"
    files["examples/decision.json"] = DECISION.model_dump_json().encode() + b"\n"
    files["examples/deployment-event.json"] = DEPLOYMENT.model_dump_json().encode() + b"\n"
    files["examples/review.json"] = REVIEW.model_dump_json().encode() + b"\n"
    for record in INVALID:
        if record.file is not None and record.value is not None:
            files[f"examples/invalid/{record.file}"] = record.value
    index = [
        {"code": r.code, "reason": r.reason, "file": r.file}
        | ({} if r.how_to_make is None else {"how_to_make": r.how_to_make})
        for r in INVALID
    ]
    files["examples/invalid/index.json"] = _dump(index)
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:streaming-credit-scorer:{name}:{CONTRACT_VERSION}",
        **model.model_json_schema(),
    }


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
