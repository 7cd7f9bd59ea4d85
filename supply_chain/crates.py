"""The locked crates of the compiled engine, out of engine/Cargo.lock, with their licences."""

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from supply_chain.locked import ROOT

CARGO_LOCK: Final = ROOT / "engine" / "Cargo.lock"
CRATE_LICENCES: Final = Path(__file__).with_name("crate-licences.tsv")
"""One crate per line: its name, its version, `engine` or `build`, and its licence, with tabs in between."""


class Crate(NamedTuple):
    """A locked crate."""

    name: str
    version: str
    sha256: str
    """Of the archive that cargo downloads."""
    in_engine: bool
    """Whether it is linked into the engine; the others only build it: macros and build scripts."""
    licence: str
    """As an SPDX expression."""
    needs: tuple[str, ...]
    """The names of locked crates that it depends on."""


def crates() -> list[Crate]:
    """Every locked crate except for the engine itself, by name."""
    with CARGO_LOCK.open("rb") as file:
        locked = [package for package in tomllib.load(file)["package"] if "checksum" in package]
    lines = CRATE_LICENCES.read_text(encoding="utf-8").splitlines()
    licences = {(name, version): rest for name, version, *rest in (line.split("\t") for line in lines)}
    return [
        Crate(
            package["name"],
            package["version"],
            package["checksum"],
            licences[package["name"], package["version"]][0] == "engine",
            licences[package["name"], package["version"]][1],
            tuple(need.partition(" ")[0] for need in package.get("dependencies", ())),
        )
        for package in locked
    ]
