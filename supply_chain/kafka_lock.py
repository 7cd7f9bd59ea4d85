"""Writes the lock and the licences of Kafka's jars again, from what Maven resolves: after a change of its version."""

import hashlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from scorer.local.jars import LOCK, read_lock
from scorer.local.toolchain import KAFKA_POM

LICENCES: Final = Path(__file__).with_name("kafka-licences.tsv")
"""One jar per line: its path in a Maven repository, a tab, the licence that its POM or a parent of it names."""
_POM: Final = "{http://maven.apache.org/POM/4.0.0}"
_DOWNLOAD_S: Final = 600  # 43 MB on a slow line


def lock_lines(repository: Path) -> list[str]:
    """Each jar below a Maven repository, as sha256sum prints it, in the order of paths."""
    return [
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.relative_to(repository).as_posix()}"
        for jar in sorted(repository.rglob("*.jar"), key=Path.as_posix)
    ]


def licence_lines(repository: Path, jars: Iterable[PurePosixPath]) -> list[str]:
    """Each jar with its licence, out of the POMs of a Maven repository."""
    return [f"{jar}\t{_licence((repository / jar).with_suffix('.pom'), repository)}" for jar in jars]


def _licence(pom: Path, repository: Path) -> str:
    """The licences that a POM names, else its parent's; "" if none does."""
    project = ET.parse(pom).getroot()  # noqa: S314  (from where the jars come that this locks)
    named = [(name.text or "").strip() for name in project.iterfind(f"{_POM}licenses/{_POM}license/{_POM}name")]
    parent = project.find(f"{_POM}parent")
    if named or parent is None:
        return " OR ".join(named)
    group, artifact, version = (parent.findtext(f"{_POM}{part}", "") for part in ("groupId", "artifactId", "version"))
    return _licence(repository / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.pom", repository)


def main() -> int:
    """Downloads the jars into an empty repository, so that nothing that is cached gets into the lock."""
    maven = shutil.which("mvn")
    if maven is None:
        return _complain("Maven is missing: install it (Debian: maven, macOS: brew install maven)")
    with TemporaryDirectory() as scratch:
        pom, jars = Path(scratch, "pom.xml"), Path(scratch, "jars")
        pom.write_text(KAFKA_POM, encoding="utf-8")
        options = (f"-Dmaven.repo.local={scratch}/repository", "-Dmdep.useRepositoryLayout=true")
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}")
        done = subprocess.run((maven, "-B", "-q", "-f", pom, *options, *goal), check=False, timeout=_DOWNLOAD_S)
        if done.returncode != 0:
            return _complain("Maven cannot download Kafka's jars")
        LOCK.write_text("".join(f"{line}\n" for line in lock_lines(jars)), encoding="utf-8")
        licences = licence_lines(Path(scratch, "repository"), (jar.path for jar in read_lock()))
        LICENCES.write_text("".join(f"{line}\n" for line in licences), encoding="utf-8")
    return 0


def _complain(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
