"""Writes build/sbom.cdx.json, a bill of materials as CycloneDX 1.6, and build/licences.md: what is in, by which right.

Both are made from the locks and from what is installed, without asking a registry, and without cargo.
"""

import sys
import tomllib
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scorer.local.jars import Jar, read_lock
from supply_chain.crates import Crate, crates
from supply_chain.kafka_lock import LICENCES
from supply_chain.locked import ROOT, Package, packages

SBOM: Final = ROOT / "build" / "sbom.cdx.json"
LICENCE_LIST: Final = ROOT / "build" / "licences.md"
_PREFIX: Final = "streaming-credit-scorer"
_INTRODUCTION: Final = """# Licences

What each dependency says of itself: Python packages and crates in their metadata, Kafka's jars in their POMs. The image
has the dependencies marked with *image*; *engine's build* is used to build the compiled engine and is not in it; *local
broker* is downloaded by `scorer up` where no Docker engine is.

| dependency | version | used | licence |
|---|---|---|---|
"""


def make_sbom() -> str:
    """The bill of materials: every locked package, crate and jar, with its checksums, licence and dependencies."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    root = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=_PREFIX,
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    with_needs = [
        [(_component(package), package.name, package.needs) for package in packages()],
        [(_crate_component(crate), crate.name, crate.needs) for crate in crates()],
    ]
    jars = [_jar_component(jar, _jar_licences()[str(jar.path)]) for jar in read_lock()]
    components = [*(component for same_kind in with_needs for component, _, _ in same_kind), *jars]
    bom = Bom(components=components, metadata=BomMetaData(component=root))
    bom.register_dependency(root, components)
    for same_kind in with_needs:
        by_name: dict[str, list[Component]] = {}
        for component, name, _ in same_kind:
            by_name.setdefault(name, []).append(component)
        for component, _, needs in same_kind:
            bom.register_dependency(component, [needed for name in needs for needed in by_name[name]])
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def make_licence_list() -> str:
    """Every locked package, crate and jar with its licence, as a table in Markdown."""
    licences = _jar_licences()
    rows = [
        (package.name, package.version, "image" if package.at_run_time else "development", _shown_licence(package))
        for package in packages()
    ]
    rows += [
        (crate.name, crate.version, "image" if crate.in_engine else "engine's build", crate.licence)
        for crate in crates()
    ]
    rows += [(*_coordinates(jar)[1:], "local broker", licences[str(jar.path)]) for jar in read_lock()]
    return _INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown_licence(package: Package) -> str:
    return package.licence or f"not installed on this machine ({package.marker})"


def _component(package: Package) -> Component:
    purl = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED if package.at_run_time else ComponentScope.OPTIONAL,
        licenses=[LicenseFactory().make_from_string(package.licence)] if package.licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256) for sha256 in package.sha256s],
        properties=[Property(name=f"{_PREFIX}:marker", value=package.marker)] if package.marker else [],
    )


def _crate_component(crate: Crate) -> Component:
    purl = PackageURL("cargo", name=crate.name, version=crate.version)
    return Component(
        name=crate.name,
        version=crate.version,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED if crate.in_engine else ComponentScope.OPTIONAL,
        licenses=[LicenseFactory().make_from_string(crate.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=crate.sha256)],
    )


def _coordinates(jar: Jar) -> tuple[str, str, str]:
    """Group, artifact and version: the folders of a Maven repository."""
    *group, artifact, version, _ = jar.path.parts
    return ".".join(group), artifact, version


def _jar_component(jar: Jar, licence: str) -> Component:
    group, artifact, version = _coordinates(jar)
    purl = PackageURL("maven", namespace=group, name=artifact, version=version)
    return Component(
        name=artifact,
        group=group,
        version=version,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.OPTIONAL,
        licenses=[LicenseFactory().make_from_string(licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=jar.sha256)],
    )


def _jar_licences() -> dict[str, str]:
    lines = LICENCES.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)


def main() -> int:
    """Writes both files and prints where they are."""
    SBOM.parent.mkdir(exist_ok=True)
    for path, text in ((SBOM, make_sbom()), (LICENCE_LIST, make_licence_list())):
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{_shown(path)}\n")
    return 0


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    sys.exit(main())
