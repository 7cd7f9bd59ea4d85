"""The schemas of KEDA's and the Prometheus operator's resources; `python -m tests.ops.custom_resources` makes them.

They come from the projects' Go modules, by the Go tool, which checks their digests. What is kept is what decides
whether a resource is sound: no descriptions, and no field that is not declared.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "schemas"
_KEDA: Final = "github.com/kedacore/keda/v2@v2.21.0"
_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_DEFINITIONS: Final = {
    "ScaledObject": (_KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (_KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "ServiceMonitor": (_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    "PrometheusRule": (_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
}
_KAFKA_TRIGGER: Final = FOLDER / "kafka-trigger.json"


def schema_of(kind: str) -> dict[str, Any] | None:
    """The JSON Schema of a kind of resource; None if it is not one of theirs."""
    path = FOLDER / f"{kind}.json"
    return json.loads(path.read_text(encoding="utf-8")) if kind in _DEFINITIONS else None


def kafka_trigger() -> dict[str, list[str]]:
    """What KEDA's Kafka trigger reads: names of `metadata`, and of `authentication` parameters."""
    report: dict[str, list[str]] = json.loads(_KAFKA_TRIGGER.read_text(encoding="utf-8"))
    return report


def main() -> None:
    """Writes the schemas."""
    FOLDER.mkdir(exist_ok=True)
    for kind, (module, path) in _DEFINITIONS.items():
        definition = yaml.safe_load((_fetch(module) / path).read_text(encoding="utf-8"))
        (version,) = definition["spec"]["versions"]
        schema = _strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        source = f"{path} of {module}, Apache-2.0; descriptions left out, undeclared fields refused"
        _write(FOLDER / f"{kind}.json", {"$comment": source, **schema})
    scalers = json.loads((_fetch(_KEDA) / "schema/generated/scalers-schema.json").read_text(encoding="utf-8"))
    (kafka,) = (scaler["parameters"] for scaler in scalers["scalers"] if scaler["type"] == "kafka")
    readable = {"metadata": "metadataVariableReadable", "authentication": "triggerAuthenticationVariableReadable"}
    _write(
        _KAFKA_TRIGGER,
        {"$comment": f"schema/generated/scalers-schema.json of {_KEDA}, Apache-2.0"}
        | {key: [p["name"] for p in kafka if p.get(flag)] for key, flag in readable.items()},
    )


def _fetch(module: str) -> Path:
    completed = subprocess.run(["go", "mod", "download", "-json", module], cwd="/", check=True, capture_output=True)
    return Path(json.loads(completed.stdout)["Dir"])


def _strict(schema: Any) -> Any:
    """The schema without what a validator does not need, and closed where it lists properties."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    schema_kept = {
        name: {key: _strict(part) for key, part in value.items()} if name == "properties" else _strict(value)
        for name, value in schema.items()
        if name != "description" and not name.startswith("x-kubernetes-")
    }
    if "properties" in schema_kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema_kept.setdefault("additionalProperties", False)
    return schema_kept


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
