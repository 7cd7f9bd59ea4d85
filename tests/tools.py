"""The programs that tests drive: where each is, and `python -m tests.tools` gets what is missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import pytest

from scorer.folders import cache_folder
from scorer.local.toolchain import KAFKA_VERSION

_NPM: Final = Path(__file__).parent / "ops" / "npm"
"""What comes by npm: package.json and its lock."""
_KAFKA_TOOLS: Final = Path(__file__).parent / "ops" / "kafka-tools.xml"
"""What comes by Maven."""


class Tool(NamedTuple):
    """A program that is on the PATH, or in a folder of the cache that `get` fills."""

    program: str
    folder: Path
    """Where `get` puts it, or a link to it."""
    get: Callable[[Path], None]
    """Fills the folder. Raises CalledProcessError or FileNotFoundError when that cannot be done here."""
    is_debian: bool = False
    """Whether apt gets it; apt runs one command at a time."""

    def find(self) -> Path | None:
        """The program, or None if it is not here."""
        here = self.folder / self.program
        path = str(here) if here.exists() else shutil.which(self.program)
        return Path(path) if path else None


def _run(*command: str | Path, cwd: Path | None = None, **environment: str) -> None:
    subprocess.run(command, check=True, cwd=cwd, env=os.environ | environment)


def _unpack(package: str, program: str, folder_pattern: str = "usr/bin") -> Callable[[Path], None]:
    """Unpacks a Debian package: installing it would start a service. The program is in a folder of that pattern."""

    def get(folder: Path) -> None:
        with TemporaryDirectory() as scratch:
            _run("apt-get", "download", package, cwd=Path(scratch))
            (archive,) = Path(scratch).glob("*.deb")
            _run("dpkg", "--extract", archive, folder / "unpacked")
        (path,) = (folder / "unpacked").glob(f"{folder_pattern}/{program}")
        (folder / program).symlink_to(path)

    return get


def _install(package: str) -> Callable[[Path], None]:
    """A Debian package that needs many others: installed, so only where we are root."""

    def get(_: Path) -> None:
        _run("apt-get", "install", "--yes", "--no-install-recommends", package, DEBIAN_FRONTEND="noninteractive")

    return get


def _build(module: str, program: str = "") -> Callable[[Path], None]:
    """A Go program, from its module at a version; `program` is its name where the module builds it under another."""

    def get(folder: Path) -> None:
        _run("go", "install", "-trimpath", "-ldflags=-s -w", module, GOBIN=str(folder), CGO_ENABLED="0")
        if program:
            (folder / module.partition("@")[0].rpartition("/")[2]).rename(folder / program)

    return get


def _kafka_tools(folder: Path) -> None:
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    options = (f"-Dkafka.version={KAFKA_VERSION}", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'libs'}")
    _run("mvn", "--batch-mode", "--quiet", "--file", _KAFKA_TOOLS, plugin, *options)
    program = folder / "kafka-tools"
    # A short run: no time for an optimising compiler and a parallel collector to pay.
    quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
    program.write_text(f'#!/bin/sh\nexec java {quick} -cp "{folder}/libs/*" "$@"\n', encoding="utf-8")
    program.chmod(0o755)


def _npm(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_NPM / name, folder)
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)


def _tool(program: str, edition: str, get: Callable[[Path], None]) -> Tool:
    return Tool(program, cache_folder() / "tools" / f"{program}-{edition}", get, is_debian=edition == "debian")


TOOLS: Final = {
    tool.program: tool
    for tool in (
        _tool("prometheus", "debian", _unpack("prometheus", "prometheus")),
        _tool("promtool", "debian", _unpack("prometheus", "promtool")),
        # Debian's does not run unpacked: it reads a template below /usr/share.
        _tool("alertmanager", "0.28.1", _build("github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1")),
        _tool("libfaketimeMT.so.1", "debian", _unpack("libfaketime", "libfaketimeMT.so.1", "usr/lib/*/faketime")),
        _tool("chromium", "debian", _install("chromium")),
        _tool("kcat", "debian", _install("kcat")),
        _tool("buildah", "debian", _install("buildah")),
        _tool("debootstrap", "debian", _install("debootstrap")),
        _tool("kafka-tools", KAFKA_VERSION, _kafka_tools),
        _tool("helm", "3.22.0", _build("helm.sh/helm/v3/cmd/helm@v3.22.0")),
        # The library with which Compose 2.40.3 reads files; Compose itself takes five times as long to compile.
        _tool("compose-spec", "2.9.1", _build("github.com/compose-spec/compose-go/v2/cmd@v2.9.1", "compose-spec")),
        _tool(
            "toxiproxy-server",
            "2.5.0",
            _build("github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0", "toxiproxy-server"),
        ),
    )
}
_PACKAGES: Final = Tool("node_modules", cache_folder() / "tools" / "npm", _npm)


def tool(program: str) -> Path:
    """The program's path; skips the test when it is not here."""
    splits = TOOLS[program].find()
    if splits is None:
        pytest.skip(f"{program} is not here: make tools gets it")
    return splits


def npm_package(name: str) -> Path:
    """The folder of an npm package that package.json names; skips the test when it is not here."""
    path = _PACKAGES.folder / "node_modules" / name
    if not path.is_dir() or shutil.which("node") is None:
        pytest.skip(f"node or its package {name} is not here: make tools gets it")
    return path


def _packages_are_current() -> bool:
    locks = [folder / "package-lock.json" for folder in (_NPM, _PACKAGES.folder)]
    return all(lock.exists() for lock in locks) and len({lock.read_bytes() for lock in locks}) == 1


def _get_from_debian(missing: Sequence[Tool]) -> None:
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
    _get(missing)


def _get(missing: Sequence[Tool]) -> None:
    for needed in missing:
        needed.folder.mkdir(parents=True, exist_ok=True)
        try:
            needed.get(needed.folder)
        except (subprocess.CalledProcessError, FileNotFoundError) as failure:
            print(f"{needed.program}: cannot be had here: {failure}", file=sys.stderr)


def main() -> None:
    """Gets what is missing, and says of each program where it is; exit 1 if one could not be had."""
    missing = [tool for tool in TOOLS.values() if tool.find() is None]
    if not _packages_are_current():
        missing.append(_PACKAGES)
    # apt waits for the network and the disk while Go compiles.
    with ThreadPoolExecutor(max_workers=2) as both:
        debian = both.submit(_get_from_debian, [tool for tool in missing if tool.is_debian])
        others = both.submit(_get, [tool for tool in missing if not tool.is_debian])
    debian.result()
    others.result()
    paths = {tool.program: tool.find() for tool in (*TOOLS.values(), _PACKAGES)}
    for program, path in paths.items():
        print(f"{program:<24} {path or 'missing: tests that need it are skipped'}")
    sys.exit(0 if all(paths.values()) else 1)


if __name__ == "__main__":
    main()
