"""Writes the licences of the locked crates again, from what cargo reports: after a change of engine/Cargo.lock."""

import json
import subprocess
import sys
from typing import Any, Final

from supply_chain.crates import CARGO_LOCK, CRATE_LICENCES

_COMMAND: Final = (
    "cargo", "metadata", "--locked", "--all-features", "--format-version=1",
    f"--manifest-path={CARGO_LOCK.with_name('Cargo.toml')}",
)  # fmt: skip
_DOWNLOAD_S: Final = 600  # 3 MB on a slow line


def licence_lines(metadata: dict[str, Any]) -> list[str]:
    """The lines of the file, from the output of `cargo metadata`."""
    linked = _linked(metadata)
    return [
        "\t".join((crate["name"], crate["version"], "engine" if crate["id"] in linked else "build", crate["license"]))
        for crate in sorted(metadata["packages"], key=lambda crate: (crate["name"], crate["version"]))
        if crate["source"] is not None  # the engine itself
    ]


def _linked(metadata: dict[str, Any]) -> set[str]:
    """The crates that are linked into the engine, which are all that it needs neither as a macro nor to be built."""
    macros = {
        crate["id"]
        for crate in metadata["packages"]
        if any("proc-macro" in target["kind"] for target in crate["targets"])
    }
    dependencies = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
    linked, waiting = set[str](), [metadata["resolve"]["root"]]
    while waiting:
        crate = waiting.pop()
        if crate not in linked and crate not in macros:
            linked.add(crate)
            waiting += [
                dependency["pkg"]
                for dependency in dependencies[crate]
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            ]
    return linked


def main() -> int:
    """Asks cargo, which downloads what it does not have yet."""
    reported = subprocess.run(_COMMAND, check=True, stdout=subprocess.PIPE, timeout=_DOWNLOAD_S).stdout
    CRATE_LICENCES.write_text("".join(f"{line}\n" for line in licence_lines(json.loads(reported))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
