"""Where bundles live: a folder, and what is shipped with this package; `name:version` to folder and back."""

import difflib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import MANIFEST_FILE, NAME_PATTERN, VERSION_PATTERN, Manifest
from scorer.core.score import Bundle
from scorer.errors import BundleError, MisuseError

SHIPPED: Final = Path(__file__).parent / "shipped"

_parse_reference = re.compile(
    f"(?P<name>{NAME_PATTERN})(:(?P<version>latest|{VERSION_PATTERN}))?(@(?P<digest>[0-9a-f]{{6,64}}))?"
).fullmatch
_is_name = re.compile(NAME_PATTERN).fullmatch
_is_version = re.compile(VERSION_PATTERN).fullmatch


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle in the store; `manifest` is None where it cannot be read, and `fault` says why."""

    name: str
    version: str
    folder: Path
    shipped: bool
    manifest: Manifest | None
    fault: str = ""

    @property
    def reference(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    @property
    def order(self) -> tuple[str, tuple[int, ...]]:
        """By name, then by version as numbers."""
        return self.name, tuple(int(part) for part in self.version.split("."))


class BundleStore:
    """A folder of bundles as `name/version/`, with the shipped ones as a second place that is only read.

    What is in it never changes: a version is put once.
    """

    def __init__(self, folder: Path, shipped: Path = SHIPPED) -> None:
        """Takes the folder, which need not be there before something is put into it."""
        self.folder = folder
        self._shipped = shipped

    def entries(self) -> list[Entry]:
        """All bundles by name and version, damaged ones included; where both places have one, the store's own."""
        found = {entry.reference: entry for place in (self._shipped, self.folder) for entry in self._entries_in(place)}
        return sorted(found.values(), key=lambda entry: entry.order)

    def find(self, reference: str) -> Path:
        """The folder of a bundle.

        Args:
            reference: `name:version`, `name:latest` (the highest version), `name@digest` (its first 6 digits or more),
                `name:version@digest`, or the path of a bundle's folder.

        Raises:
            BundleError: there is none, or more than one; the message names what there is.
        """
        parsed = _parse_reference(reference)
        if not parsed or not (parsed["version"] or parsed["digest"]):
            if os.path.isdir(reference):  # noqa: PTH112  (unlike Path's, it takes any string for an answer)
                return Path(reference)
            raise BundleError(self._explain_absence(reference))
        found = [entry for entry in self.entries() if entry.name == parsed["name"]]
        if parsed["version"] == "latest":
            found = found[-1:]
        elif parsed["version"]:
            found = [entry for entry in found if entry.version == parsed["version"]]
        if parsed["digest"]:
            same_version = found if parsed["version"] else []
            found = [e for e in found if e.manifest and e.manifest.digest.startswith(parsed["digest"])]
            if same_version and not found:
                raise BundleError(_explain_digest(same_version[0], parsed["digest"]))
        if len(found) > 1:
            raise BundleError(f"{reference} may be {' or '.join(e.reference for e in found)}: give more of the digest")
        if not found:
            raise BundleError(self._explain_absence(reference))
        if found[0].fault:
            raise BundleError(found[0].fault)
        return found[0].folder

    def open(self, reference: str) -> Bundle:
        """Finds, checks and opens a bundle.

        Raises:
            BundleError: there is none, or it is damaged; the message says how to mend it.
        """
        return load_bundle(self.find(reference))

    def put(self, folder: Path) -> Path:
        """Takes a bundle in: whole and checked, or not at all.

        Args:
            folder: the bundle's folder; it is copied.

        Returns:
            Its folder in the store.

        Raises:
            BundleError: it is damaged, or there is such a version already.
        """
        load_bundle(folder)
        manifest = read_manifest(folder)
        self.require_new(manifest.name, manifest.version)
        target = self.folder / manifest.name / manifest.version
        # Beside its place, so that the rename is one step; the dot keeps a half-copied one out of every list.
        incoming = self.folder / f".incoming-{secrets.token_hex(8)}"
        try:
            incoming.mkdir(parents=True)
            for name in (MANIFEST_FILE, *manifest.files):
                shutil.copyfile(folder / name, incoming / name, follow_symlinks=False)
            load_bundle(incoming)  # the copy too: what is checked is what is kept
            target.parent.mkdir(exist_ok=True)
            incoming.rename(target)  # fails if the version came meanwhile: a folder is never renamed over a full one
        except OSError as error:
            raise BundleError(f"bundle {folder} cannot be put into {target}: {error.strerror}") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return target

    def require_new(self, name: str, version: str) -> None:
        """Makes sure that this version may be put.

        Raises:
            MisuseError: it is no name or no version.
            BundleError: there is one.
        """
        if not _is_name(name):
            raise MisuseError(f"{name!r} cannot name a bundle: 1 to 64 of a-z, 0-9 and dashes, as in credit-risk")
        if not _is_version(version):
            raise MisuseError(f"{version!r} is no version: three numbers are, as in 1.2.0")
        for entry in self.entries():
            if (entry.name, entry.version) == (name, version):
                raise BundleError(
                    f"{entry.reference} is there already, in {entry.folder}, and a bundle is never overwritten: "
                    "decisions refer to it. Choose the next version"
                )

    def _entries_in(self, place: Path) -> Iterator[Entry]:
        for folder in place.glob("*/*"):
            name, version = folder.parent.name, folder.name
            if not (_is_name(name) and _is_version(version)):
                continue
            try:
                manifest = read_manifest(folder)
                if (manifest.name, manifest.version) != (name, version):
                    raise BundleError(
                        f"bundle {folder} says that it is {manifest.name}:{manifest.version}: was it moved?"
                    )
            except BundleError as error:
                yield Entry(name, version, folder, place == self._shipped, None, str(error))
            else:
                yield Entry(name, version, folder, place == self._shipped, manifest)

    def _explain_absence(self, reference: str) -> str:
        there = [entry.reference for entry in self.entries()]
        close = difflib.get_close_matches(reference, there, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return (
            f"there is no bundle {reference}.{hint} There is: {', '.join(there)}; and a bundle may be named as "
            "name:version, name:latest, name@digest or by the path of its folder"
        )


def _explain_digest(entry: Entry, wanted: str) -> str:
    """Why a version that is there is not the one that is wanted."""
    if entry.manifest is None:
        return entry.fault
    return (
        f"{entry.reference} in {entry.folder} has digest {entry.manifest.digest[:12]}, and {wanted[:12]} is wanted: "
        "two bundles of one name and version. Get the one that is wanted from where it was made, or deploy this one"
    )
