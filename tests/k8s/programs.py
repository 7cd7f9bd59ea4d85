"""The programs of a cluster, and the files that belong to them, built from their Go modules once into the user's cache.

`python -m tests.k8s.programs` builds what is missing: about half an hour on two cores the first time. What is built
stands in a folder named by the digest of its go.mod and go.sum, so another version is another folder.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from scorer.folders import cache_folder
from tests.tools import TOOLS

_MODULES: Final = Path(__file__).with_name("modules")
_KUBERNETES: Final = "k8s.io/kubernetes"


class Program(NamedTuple):
    """What is built."""

    module: str
    """Whose go.mod pins it: a folder of `modules`."""
    package: str


class Files(NamedTuple):
    """What is copied from a module as it is."""

    module: str
    """Whose go.mod pins it: a folder of `modules`."""
    source: str
    """The module that has them."""
    folder: str


_PROGRAMS: Final = {
    "etcd": Program("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program("kubernetes", f"{_KUBERNETES}/cmd/kube-apiserver"),
    "kube-controller-manager": Program("kubernetes", f"{_KUBERNETES}/cmd/kube-controller-manager"),
    "kube-scheduler": Program("kubernetes", f"{_KUBERNETES}/cmd/kube-scheduler"),
    "kubectl": Program("kubernetes", f"{_KUBERNETES}/cmd/kubectl"),
    "kwok": Program("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "keda-operator": Program("keda", "github.com/kedacore/keda/v2/cmd/operator"),
    "keda-adapter": Program("keda", "github.com/kedacore/keda/v2/cmd/adapter"),
}
_FILES: Final = {
    "kwok-stages": Files("kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
    "keda-crds": Files("keda", "github.com/kedacore/keda/v2", "config/crd/bases"),
    "prometheus-crds": Files(
        "prometheus-operator", "github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd"
    ),
}


def program(name: str) -> Path:
    """Where a program is, or will be once it is built."""
    return _folder(_PROGRAMS[name].module) / name


def files(name: str) -> Path:
    """The folder of the files that belong to a program."""
    return _folder(_FILES[name].module) / name


def missing() -> list[str]:
    """What is yet to be built."""
    return [path.name for path in (*map(program, _PROGRAMS), *map(files, _FILES)) if not path.exists()]


def build() -> None:
    """Builds what is missing, a program at a time; one that is interrupted is begun again, the others are kept."""
    for name in [name for name in _PROGRAMS if not program(name).exists()]:
        sys.stdout.write(f"building {name} … ")
        sys.stdout.flush()
        began_at = time.monotonic()
        _build(name)
        sys.stdout.write(f"{time.monotonic() - began_at:.0f} s\n")
    for name in [name for name in _FILES if not files(name).exists()]:
        _copy(name)


def _folder(module: str) -> Path:
    pins = b"".join((_MODULES / module / name).read_bytes() for name in ("go.mod", "go.sum"))
    return cache_folder() / "k8s" / f"{module}-{hashlib.sha256(pins).hexdigest()[:12]}"


def _build(name: str) -> None:
    wanted, target = _PROGRAMS[name], program(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{name}.part")
    _go(wanted.module, "build", "-trimpath", f"-ldflags=-s -w {_version(wanted)}", "-o", str(part), wanted.package)
    part.replace(target)


def _version(wanted: Program) -> str:
    """What tells Kubernetes' programs their version, which a build from a module cannot know; Helm asks for it."""
    if not wanted.package.startswith(_KUBERNETES):
        return ""
    version = _go(wanted.module, "list", "-m", "-f", "{{.Version}}", _KUBERNETES).strip()
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())


def _copy(name: str) -> None:
    wanted, target = _FILES[name], files(name)
    home = Path(json.loads(_go(wanted.module, "mod", "download", "-json", wanted.source))["Dir"]) / wanted.folder
    part = target.with_name(f"{name}.part")
    for original in home.rglob("*.yaml"):
        copy = part / original.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(original.read_bytes())  # the text alone: in Go's cache everything is read-only
    part.rename(target)


def _go(module: str, *arguments: str) -> str:
    """Runs Go in a module's folder; returns what it prints."""
    ran = subprocess.run(
        ["go", *arguments],
        cwd=_MODULES / module,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        sys.exit(f"go {arguments[0]} failed in {_MODULES / module}")
    return ran.stdout


def main() -> None:
    """Builds what is missing, Helm included."""
    if shutil.which("go") is None:
        sys.exit("Go is needed to build the cluster's programs: install Go 1.26 or newer")
    helm = TOOLS["helm"]
    if helm.find() is None:
        helm.folder.mkdir(parents=True, exist_ok=True)
        helm.get(helm.folder)
    build()


if __name__ == "__main__":
    main()
