"""`scorer bundle repolicy`: add a version of a bundle with another policy and the same model."""

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.completion import ReferenceArgument
from scorer.cli.describe import describe
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of
from scorer.cli.policy_source import read_for
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.author.build import Draft
    from scorer.bundle.manifest import Manifest
    from scorer.store.store import BundleStore


def repolicy(
    reference: ReferenceArgument,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="Policy file of the new version.")],
    version: Annotated[str, typer.Option("--version", metavar="X.Y.Z", help="The new version.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a version of a bundle to the store, with another policy and the same model.

    The model, the contract and the features stay as they are; PDs do not change. A policy file whose cases do not hold
    is rejected. The metrics of decisions stay those of the earlier policy, and say so.

    Example: `scorer bundle repolicy credit-risk:1.1.0 --policy policy.toml --version 1.2.0`
    """
    from scorer.author.policy_cases import require_cases
    from scorer.author.repolicy import draft_repolicy
    from scorer.bundle.load import read_contract, read_files, read_manifest
    from scorer.store.store import BundleStore

    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    folder = bundles.find(reference)
    before = read_manifest(folder, reference)
    _require_version(bundles, before, version)
    contents = read_files(folder, before)
    contract = read_contract(before, contents)
    source = read_for(policy, contract, before.reasons.codes if before.reasons else ())
    cases = 0 if source.cases is None else require_cases(source.cases, source.decider, contract)
    now = datetime.now(UTC).replace(microsecond=0)
    draft = draft_repolicy(before, contents, contract, source.decider.policy, (version, now))
    manifest, uri = _add(draft, bundles)
    if as_json:
        same = {"same_model_as": before.reference.short, "cases": cases, "location": uri}
        typer.echo(json.dumps(same | describe(manifest), indent=2))
        return
    sha256 = manifest.files[manifest.model]
    typer.echo(f"same model: {manifest.model}, sha256 {sha256[:12]}, as in {before.reference.short}")
    typer.echo(f"cases that hold: {cases:,}" if source.cases else "no cases: the policy file names none")
    typer.echo(f"Saved {manifest.reference.short} to {uri}")
    typer.echo(f"Next: scorer bundle diff {before.name}:{before.version} {manifest.name}:{manifest.version}")


def _require_version(bundles: "BundleStore", before: "Manifest", version: str) -> None:
    import re

    from schemas.decision import VERSION_PATTERN

    if not re.fullmatch(VERSION_PATTERN, version):
        raise MisuseError(f"--version {version[:80]}: write three numbers, for example 1.2.0")
    bundles.require_new(before.name, version)


def _add(draft: "Draft", bundles: "BundleStore") -> "tuple[Manifest, str]":
    from scorer.author.build import build_bundle

    with TemporaryDirectory() as folder:
        manifest = build_bundle(draft, Path(folder))
        return manifest, bundles.put(Path(folder))
