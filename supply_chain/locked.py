"""The locked Python packages, out of requirements.lock and runtime.lock, with what their metadata say of licences."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
_EVERYTHING: Final = ROOT / "requirements.lock"
_RUNTIME: Final = ROOT / "runtime.lock"
_FIELD_MAX: Final = 100  # characters of a licence's name; longer ones are its text
_as_pin = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+)((?: ;[^\\\n]*)?) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


class Package(NamedTuple):
    """A locked Python package."""

    name: str
    version: str
    marker: str
    """Where it is installed, as an environment marker; "" everywhere."""
    sha256s: tuple[str, ...]
    """Of the files that may be installed, one of which is."""
    at_run_time: bool
    """Whether it is in the image; the others are for training, development and documentation."""
    licence: str
    """As the metadata of the installed version say; "" if none is installed here, or they say nothing."""
    needs: tuple[str, ...]
    """The names of locked packages that it requires itself."""


def packages() -> list[Package]:
    """Every locked Python package, once per version, by name."""
    pins = _pins(_EVERYTHING)
    at_run_time = {(name, version) for name, version, *_ in _pins(_RUNTIME)}
    names = {name for name, *_ in pins}
    return sorted(
        Package(name, version, marker, hashes, (name, version) in at_run_time, *_metadata(name, names))
        for name, version, marker, hashes in pins
    )


def _pins(lock: Path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    text = lock.read_text(encoding="utf-8")
    return [
        (
            canonicalize_name(pin[1]),
            pin[2],
            pin[3].removeprefix(" ; ").strip(),
            tuple(re.findall(r"sha256:(\w+)", pin[4])),
        )
        for pin in _as_pin.finditer(text)
    ]


def _metadata(name: str, names: set[str]) -> tuple[str, tuple[str, ...]]:
    """The licence and the requirements of a package, if it is installed here."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return "", ()
    required = {canonicalize_name(requirement.name) for requirement in _requirements(installed)}
    return _licence(installed), tuple(sorted(required & names - {name}))


def _requirements(installed: Distribution) -> Iterator[Requirement]:
    for text in installed.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _licence(installed: Distribution) -> str:
    """What the metadata say: the SPDX expression, else the classifiers, else a licence field of one short line."""
    metadata = installed.metadata.json
    if expression := metadata.get("license_expression"):
        return str(expression)
    kinds = [line.rpartition(" :: ")[2] for line in metadata.get("classifier", ()) if line.startswith("License :: ")]
    if named := [kind for kind in kinds if kind != "OSI Approved"]:
        return " OR ".join(named)
    field = str(metadata.get("license", "")).strip()
    return field if field and "\n" not in field and len(field) < _FIELD_MAX else ""
