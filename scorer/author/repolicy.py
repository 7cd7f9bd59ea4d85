"""Drafts a new version of a bundle with another policy or catalogue: the same model, features and metrics of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from schemas.contract import CONTRACT_FILE, Contract
from schemas.profile import PROFILE_FILE, parse_profile
from scorer.author.build import Draft
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    SAME_MODEL,
    SENTENCE_CHARACTERS_MAX,
    Manifest,
    Metrics,
)
from scorer.core.catalogue import Reasons
from scorer.core.policy import Policy

_EARLIER: Final = "By the policy of version "


def draft_repolicy(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    contract: Contract,
    policy: Policy,
    version: tuple[str, datetime],
    reasons: Reasons | None = None,
) -> Draft:
    """Drafts the new version, with all files of the bundle; model card and golden examples are its own.

    Args:
        manifest: of the bundle whose model is used.
        contents: that bundle's files, by name, with the digests in the manifest.
        contract: that bundle's contract.
        policy: the new policy.
        version: the new version, and the time of creation in UTC.
        reasons: the new catalogue of reasons; None keeps that of the bundle.
    """
    profile = contents.get(PROFILE_FILE)
    contract_file = manifest.contract.file if manifest.contract else CONTRACT_FILE
    written = {manifest.model, GOLDEN_FILE, CARD_FILE, PROFILE_FILE, contract_file}
    return Draft(
        name=manifest.name,
        version=version[0],
        created=version[1],
        runner=manifest.runner,
        model=contents[manifest.model],
        inputs=ModelInput(contract, manifest.features),
        policy=policy,
        metrics=_keep_metrics(manifest, policy),
        training=manifest.training,
        libraries=manifest.libraries,
        labels={**manifest.labels, SAME_MODEL: manifest.reference.short},
        runner_settings=manifest.runner_settings,
        model_file=manifest.model,
        reasons=reasons or manifest.reasons,
        profile=None if profile is None else parse_profile(profile),
        other_files={name: content for name, content in contents.items() if name not in written},
    )


def _keep_metrics(manifest: Manifest, policy: Policy) -> Metrics | None:
    """Returns the metrics; under another policy, those of the labels say by which one they were measured."""
    metrics = manifest.metrics
    if metrics is None or policy.has_labels_of(manifest.policy) or metrics.decisions.what.startswith(_EARLIER):
        return metrics
    first = "; rules or segments came first" if manifest.policy.exceptions() else ""
    thresholds = manifest.policy.describe()
    what = f"{_EARLIER}{manifest.version} ({thresholds}{first}), not by this version's: {metrics.decisions.what}"
    decisions = metrics.decisions.model_copy(update={"what": what[:SENTENCE_CHARACTERS_MAX]})
    return metrics.model_copy(update={"decisions": decisions})
