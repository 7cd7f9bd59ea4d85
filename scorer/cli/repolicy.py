"""`scorer bundle repolicy`: add a version of a bundle with another policy or catalogue and the same model."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.completion import ReferenceArgument
from scorer.cli.describe import describe
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of
from scorer.cli.policy_source import read_for
from scorer.cli.progress_bar import elapsed_time
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from scorer.author.build import Draft
    from scorer.bundle.manifest import Manifest
    from scorer.core.catalogue import Reasons
    from scorer.core.policy import Policy
    from scorer.store.store import BundleStore

PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="Policy file of the new version (default: the bundle's policy)."),
]
CatalogueOption = Annotated[
    Path | None,
    typer.Option(
        "--reasons",
        metavar="FILE",
        help="Catalogue of reasons of the new version, a TOML or JSON file (default: the bundle's catalogue).",
    ),
]


def repolicy(
    reference: ReferenceArgument,
    version: Annotated[str, typer.Option("--version", metavar="X.Y.Z", help="The new version.")],
    policy: PolicyOption = None,
    reasons: CatalogueOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a version of a bundle to the store, with another policy or catalogue of reasons, and the same model.

    The model, the contract and the features stay as they are; PDs do not change. A policy file whose cases do not hold
    is rejected. The metrics of decisions stay those of the earlier policy, and say so.

    Examples:
    ```
    scorer bundle repolicy credit-risk:1.1.1 --policy policy.toml --version 1.2.0
    scorer bundle repolicy credit-risk:1.1.1 --reasons reasons.toml --version 1.1.2
    ```
    """
    from scorer.author.draft_reasons import read_reasons
    from scorer.author.repolicy import draft_repolicy
    from scorer.bundle.load import read_contract, read_files, read_manifest
    from scorer.store.store import BundleStore

    if policy is None and reasons is None:
        raise MisuseError("name what changes: --policy FILE, --reasons FILE, or both")
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    folder = bundles.find(reference)
    before = read_manifest(folder, reference)
    _require_version(bundles, before, version)
    contents = read_files(folder, before)
    catalogue = before.reasons if reasons is None else read_reasons(reasons)
    contract = read_contract(before, contents)
    new_policy, cases = before.policy, None
    if policy is not None:
        new_policy, cases = _read_policy(policy, contract, catalogue)
    lines: list[str] = []
    now = datetime.now(UTC).replace(microsecond=0)
    draft = draft_repolicy(before, contents, contract, new_policy, (version, now), catalogue)
    with elapsed_time("building the bundle"):
        manifest, uri = _add(draft, bundles, lines.append)
    if as_json:
        same = {"same_model_as": before.reference.short, "cases": cases or 0, "location": uri}
        typer.echo(json.dumps(same | describe(manifest), indent=2))
        return
    sha256 = manifest.files[manifest.model]
    typer.echo(f"same model: {manifest.model}, sha256 {sha256[:12]}, as in {before.reference.short}")
    if policy is not None:
        typer.echo("no cases: the policy file names none" if cases is None else f"cases that hold: {cases:,}")
    for line in lines:
        typer.echo(line)
    typer.echo(f"Saved {manifest.reference.short} to {uri}")
    typer.echo(f"Next: scorer bundle diff {before.name}:{before.version} {manifest.name}:{manifest.version}")


def _read_policy(path: Path, contract: "Contract", catalogue: "Reasons | None") -> "tuple[Policy, int | None]":
    """Reads the new policy; returns it with the number of its cases, all of which hold; None if it names none."""
    from scorer.author.policy_cases import require_cases

    source = read_for(path, contract, catalogue.codes if catalogue else ())
    cases = None if source.cases is None else require_cases(source.cases, source.decider, contract)
    return source.decider.policy, cases


def _require_version(bundles: "BundleStore", before: "Manifest", version: str) -> None:
    import re

    from schemas.decision import VERSION_PATTERN

    if not re.fullmatch(VERSION_PATTERN, version):
        raise MisuseError(f"--version {version[:80]}: write three numbers, for example 1.2.0")
    bundles.require_new(before.name, version)


def _add(draft: "Draft", bundles: "BundleStore", passed: Callable[[str], None]) -> "tuple[Manifest, str]":
    from scorer.author.build import build_bundle

    with TemporaryDirectory() as folder:
        manifest = build_bundle(draft, Path(folder), passed)
        return manifest, bundles.put(Path(folder))
