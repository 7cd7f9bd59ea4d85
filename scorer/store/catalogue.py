"""Resolves references to bundles, among the shipped bundles and those of a store."""

import difflib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from schemas.decision import NAME_PATTERN, VERSION_PATTERN, BundleReference
from scorer.bundle.load import read_manifest
from scorer.errors import BundleError, BundleNotFoundError
from scorer.store.backends import NO_STORE, UNREADABLE, Backend, NoBackend
from scorer.store.entry import (
    CONCURRENT_READS,
    Entry,
    Key,
    Located,
    ParsedReference,
    digest_error,
    is_name,
    is_version,
    sort_key,
)
from scorer.store.notes import BundleNotes
from scorer.store.tags import LATEST

_DIGEST_LENGTH: Final = 64

parse_reference: Final = re.compile(
    f"(?P<name>{NAME_PATTERN})(?=[:@])(:((?P<version>{VERSION_PATTERN})|(?P<tag>{NAME_PATTERN})))?"
    "(@(?P<digest>[0-9a-f]{6,64}))?"
).fullmatch
"""Matches a reference; its groups are name, version, tag and digest."""


class Catalogue:
    """The shipped bundles and those of a store."""

    def __init__(self, shipped: Backend, stored: Backend, notes: BundleNotes) -> None:
        self._shipped = shipped
        self._stored = stored
        self._notes = notes

    def find_locally(self, reference: str) -> Located | None:
        """Finds a bundle by version and full digest on this machine, shipped or cached, without accessing the store."""
        parsed = parse_reference(reference)
        if not parsed or not parsed["version"] or len(parsed["digest"] or "") != _DIGEST_LENGTH:
            return None
        name, version, digest = parsed.group("name", "version", "digest")
        expected = BundleReference(name=name, version=version, digest=digest)
        if (name, version) in self._shipped.versions(name):
            shipped = self._read_from((name, version), self._shipped)
            if shipped.manifest and shipped.manifest.reference == expected:
                return Located(Path(shipped.location), expected, shipped=True)
        cached = self._stored.cached(digest)
        if cached is None or read_manifest(cached).reference != expected:
            return None
        return Located(cached, expected, shipped=False)

    def entry(self, reference: str) -> Entry:
        """Returns the one bundle that a reference means; see `BundleStore.entry`.

        Raises:
            BundleNotFoundError: it is not found.
            BundleError: it is ambiguous or damaged, or the store is unreachable.
        """
        parsed = self._resolve(reference)
        keys = self.keys(parsed.name)
        if (parsed.name, UNREADABLE) in keys:
            (unreadable,) = self.read({(parsed.name, UNREADABLE): keys[parsed.name, UNREADABLE]})
            raise BundleError(unreadable.fault)
        if parsed.version == LATEST:
            keys = dict(list(keys.items())[-1:])
        elif parsed.version:
            keys = {key: backends for key, backends in keys.items() if key[1] == parsed.version}
        entries = self._read_each(keys) if parsed.digest else self.read(keys)
        if parsed.digest:
            same_version = entries if parsed.version else []
            entries = [entry for entry in entries if entry.manifest and entry.manifest.digest.startswith(parsed.digest)]
            if same_version and not entries:
                raise digest_error(same_version[0], parsed.digest)
        if len(entries) > 1:
            candidates = " or ".join(entry.reference for entry in entries)
            raise BundleError(f"{parsed.shown_name} is ambiguous: {candidates}; give more digits of the digest")
        if not entries:
            raise BundleNotFoundError(self._explain_not_found(parsed.shown_name))
        return entries[0]

    def keys(self, name: str | None = None) -> dict[Key, list[Backend]]:
        """Returns the sorted names and versions, each with its backends: shipped, the store, or both."""
        backends_by_key: dict[Key, list[Backend]] = {}
        for backend in (self._shipped, self._stored):
            for key in backend.versions(name):
                if is_name(key[0]) and (is_version(key[1]) or key[1] == UNREADABLE):
                    backends_by_key.setdefault(key, []).append(backend)
        return {key: backends_by_key[key] for key in sorted(backends_by_key, key=sort_key)}

    def read(self, keys: Mapping[Key, list[Backend]]) -> list[Entry]:
        """Reads the bundles of these versions, including damaged ones."""
        with ThreadPoolExecutor(CONCURRENT_READS) as pool:
            return list(pool.map(self._read_entry, keys, keys.values()))

    def _read_each(self, keys: Mapping[Key, list[Backend]]) -> list[Entry]:
        """Reads for a lookup by digest: both bundles of a version if the shipped and the stored one differ."""
        entries = {
            (key, entry.manifest and entry.manifest.digest): entry
            for key, backends in keys.items()
            for entry in (self._read_from(key, backend) for backend in reversed(backends))  # the shipped one wins
        }
        return list(entries.values())

    def _read_entry(self, key: Key, backends: list[Backend]) -> Entry:
        """Reads the bundle of a version; an entry with a fault if the shipped and the stored one differ."""
        first, *others = (self._read_from(key, backend) for backend in backends)
        for other in others:
            if first.manifest and other.manifest and first.manifest.digest == other.manifest.digest:
                continue
            of_first, of_other = (
                entry.manifest.digest[:12] if entry.manifest else "cannot be read" for entry in (first, other)
            )
            fault = (
                f"two bundles are named {other.reference}: the shipped one ({of_first}) and {other.location} "
                f"({of_other}). Neither can be used. Move {other.location} out of the store, and add it again with "
                "another version"
            )
            return Entry(*key, other.location, False, None, fault)
        return first

    def _read_from(self, key: Key, backend: Backend) -> Entry:
        name, version = key
        uri, shipped = backend.uri(name, version), backend is self._shipped
        try:
            manifest = backend.manifest(name, version)
            if (manifest.name, manifest.version) != key:
                raise BundleError(f"bundle {uri}: its manifest says {manifest.name}:{manifest.version}; was it moved?")
        except BundleError as error:
            return Entry(name, version, uri, shipped, None, str(error))
        return Entry(name, version, uri, shipped, manifest)

    def _resolve(self, reference: str) -> ParsedReference:
        """Parses a reference and resolves its tag."""
        parsed = parse_reference(reference)
        if not parsed:
            raise BundleNotFoundError(self._explain_not_found(reference))
        name, version, tag, digest = parsed.group("name", "version", "tag", "digest")
        if tag is None or tag == LATEST:
            return ParsedReference(reference, name, version or tag, digest)
        target = self._notes.tag(name, tag)
        if target is None:
            raise BundleNotFoundError(self._explain_not_found(reference))
        shown_name = f"{name}:{target.version}@{target.digest[:12]}"
        if not target.digest.startswith(digest or ""):
            raise BundleNotFoundError(f"{reference} not found: {name}:{tag} is now {shown_name}")
        return ParsedReference(f"{shown_name} (tag {name}:{tag})", name, target.version, target.digest)

    def _explain_not_found(self, reference: str) -> str:
        existing = [f"{name}:{version}" for name, version in [*self.keys(), *self._notes.tags()]]
        close = difflib.get_close_matches(reference, existing, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        only_shipped = (
            f". Only the shipped bundles were searched: {NO_STORE}" if isinstance(self._stored, NoBackend) else ""
        )
        return (
            f"bundle {reference} not found.{hint} Available: {', '.join(existing)}. Name a bundle as name:version, "
            f"name:latest, name:tag, name@digest or by the path of its folder{only_shipped}"
        )
