"""The facts of a manifest in words, as `scorer bundle show` and the console show them."""

from collections.abc import Mapping, Sequence

from schemas.contracts import CREDIT_APPLICATION
from scorer.bundle.manifest import Manifest


def describe_manifest(manifest: Manifest) -> Mapping[str, str | Sequence[str]]:
    """Returns facts by title, one line of text each; those of the policy are several lines."""
    return {
        "bundle": f"{manifest.name}:{manifest.version}",
        "digest": manifest.digest,
        "created": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC",
        "policy": manifest.policy.lines(),
        "fields": f"{', '.join(manifest.features.fields)} ({len(manifest.features.columns)} columns)",
        **_describe_model(manifest),
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
        "contract": describe_contract(manifest),
        "labels": ", ".join(f"{key}={value}" for key, value in manifest.labels.items()) or "none",
    }


def describe_contract(manifest: Manifest) -> str:
    """Returns the name and version of the bundle's contract."""
    return str(manifest.contract or f"{CREDIT_APPLICATION}:{manifest.contract_version}")


def _describe_model(manifest: Manifest) -> Mapping[str, str]:
    """Where the model comes from: training or runner, fields left out, and data set."""
    training, metrics = manifest.training, manifest.metrics
    parameters = training.parameters.items() if training else manifest.runner_settings.items()
    rounds = [f"{training.rounds} rounds"] if training else []
    facts = {
        "training" if training else "runner": ", ".join(
            [manifest.runner, *rounds, *(f"{name} {value}" for name, value in parameters)]
        )
    }
    if training:
        facts = {"left out": ", ".join(training.dropped_fields) or "nothing", **facts}
    if metrics:
        facts["data"] = f"{metrics.dataset.rows} rows, sha256 {metrics.dataset.sha256}"
    return facts
