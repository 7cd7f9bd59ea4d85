"""The bundle store: resolves `name:version`, tags and digests to stored and shipped bundles."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.decision import NAME_PATTERN, VERSION_PATTERN, BundleReference
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.signing import Signature
from scorer.bundle.trial import open_in_child
from scorer.core.score import Bundle
from scorer.errors import BundleError, MisuseError
from scorer.store.entry import Entry, Key, Located, Wanted, explain_digest, order_of
from scorer.store.places import NO_STORE, SIGNATURES, TAGS, UNREADABLE, FolderPlace, NoPlace, Place
from scorer.store.remote import local_path
from scorer.store.tags import LATEST, Tag, parse_tag, require_tag
from scorer.store.url_place import UrlPlace

SHIPPED: Final = Path(__file__).parent / "shipped"
_DIGEST_LENGTH: Final = 64
_CONCURRENT_READS: Final = 16  # reading a manifest from a bucket takes a moment; not too many for the server

_parse_reference = re.compile(
    f"(?P<name>{NAME_PATTERN})(?=[:@])(:((?P<version>{VERSION_PATTERN})|(?P<tag>{NAME_PATTERN})))?"
    "(@(?P<digest>[0-9a-f]{6,64}))?"
).fullmatch
_is_name = re.compile(NAME_PATTERN).fullmatch
_is_version = re.compile(VERSION_PATTERN).fullmatch


class BundleStore:
    """Bundles as `name/version/` in a folder or at a URL, plus the shipped bundles, which are read-only.

    Stored bundles are immutable: a version is written once. For concurrent writes of the same version, the guarantee
    depends on the backend: see `scorer.store.places`.
    """

    def __init__(self, place: Path | str | None, shipped: Path = SHIPPED) -> None:
        """Creates the store for a folder or URL, which the first write creates; None means that there is no store.

        Raises:
            MisuseError: no installed filesystem supports the URL; the message says what to install.
        """
        folder = None if place is None else local_path(str(place))
        self._own: Place
        if place is None:
            self._own = NoPlace()
        else:
            self._own = UrlPlace(str(place)) if folder is None else FolderPlace(folder)
        self._shipped: Place = FolderPlace(shipped)

    def entries(self) -> list[Entry]:
        """Lists all bundles by name and version, including damaged ones.

        A version that is both shipped and in the store with different digests is ambiguous: its entry has a fault that
        names both.

        Raises:
            BundleError: the store is unreachable.
        """
        return self._read(self._keys())

    def entry(self, reference: str) -> Entry:
        """Resolves a reference to a bundle, which may be damaged.

        Args:
            reference: `name:version`, `name:latest` (the highest version), `name:tag`, `name@digest` (at least 6
                digits), or one of the others with a digest.

        Raises:
            BundleError: it is not found or ambiguous (the message lists the candidates), or the store is unreachable.
        """
        return self._choose(self._resolve(reference))

    def find(self, reference: str) -> Path:
        """Returns the local folder of a bundle: in the store, or a cached copy that was fetched and checked.

        With a version and a full digest, shipped and cached bundles are found without accessing the store, since the
        digest identifies them. So deployed bundles can be opened again while the store is unreachable.

        Args:
            reference: as for `entry`, or the path of a bundle's folder.

        Raises:
            BundleError: it is not found, ambiguous or damaged, or the store is unreachable.
        """
        return _as_folder(reference) or self.locate(reference).folder

    def open(self, reference: str) -> Bundle:
        """Finds, checks and opens a bundle.

        Args:
            reference: as for `find`.

        Raises:
            BundleError: it is not found or damaged, or the store is unreachable; the message says how to fix it. Or it
                was replaced after it was located.
        """
        folder = _as_folder(reference)
        return load_bundle(folder) if folder else self.locate(reference).open()

    def locate(self, wanted: BundleReference | str) -> Located:
        """Finds a bundle of this store. The reference is never a path, so events from a topic cannot name one.

        Raises:
            BundleError: it is not found or damaged, or the store is unreachable.
        """
        reference = str(wanted)
        parsed = _parse_reference(reference)
        if parsed and parsed["version"] and len(parsed["digest"] or "") == _DIGEST_LENGTH:
            name, version, digest = parsed.group("name", "version", "digest")
            local_folder = self._find_locally(name, version, digest)
            if local_folder is not None:
                resolved = BundleReference(name=name, version=version, digest=digest)
                return Located(local_folder, resolved, str(local_folder) == self._shipped.where(name, version))
        return self._fetch(self.entry(reference))

    def put(self, folder: Path) -> str:
        """Adds a bundle to the store, after checking it. It is added completely or not at all.

        Args:
            folder: the bundle's folder; it is copied.

        Returns:
            Its path or URL in the store.

        Raises:
            BundleError: it is damaged, the version exists already, or the store is unreachable.
        """
        load_bundle(folder)
        manifest = read_manifest(folder)
        self.require_new(manifest.name, manifest.version)
        self._own.put(folder, manifest)
        return self._own.where(manifest.name, manifest.version)

    def require_new(self, name: str, version: str) -> None:
        """Checks that this version can be added.

        Raises:
            MisuseError: the name or version is invalid, or there is no store.
            BundleError: the version exists, or the store is unreachable.
        """
        if not _is_name(name):
            raise MisuseError(
                f"invalid bundle name {name!r}: use 1 to 64 of a-z, 0-9 and dashes, for example credit-risk"
            )
        if not _is_version(version):
            raise MisuseError(f"invalid version {version!r}: use three numbers, for example 1.2.0")
        places = self._keys(name).get((name, version))
        if places:
            raise BundleError(
                f"{name}:{version} already exists in {places[0].where(name, version)}, and a bundle is never "
                "overwritten because decisions refer to it. Choose the next version"
            )
        self._own.where(name, version)  # raises MisuseError without a store, before the caller builds the bundle

    def take_in(self, folder: Path, called: str) -> bool:
        """Imports a bundle, unless the store has the same one.

        Args:
            folder: the bundle's folder; it is copied.
            called: name of the bundle in messages.

        Returns:
            Whether it was added.

        Raises:
            BundleError: it is damaged, the store has a different or damaged bundle with this name and version, or the
                store is unreachable.
        """
        new = open_in_child(folder, called)
        places = self._keys(new.name).get((new.name, new.version))
        if places is None:
            self.put(folder)
            return True
        (existing,) = self._read({(new.name, new.version): places})
        if existing.manifest and existing.manifest.digest != new.digest:
            raise BundleError(
                f"{called} is {new.short}, but {existing.where} is {existing.manifest.reference.short}: two bundles "
                "with the same name and version. Neither can replace the other, because decisions refer to them. Give "
                "one of them another version"
            )
        try:
            self._fetch(existing).open()
        except BundleError as error:
            raise BundleError(
                f"{error}. To replace it, delete it first: scorer bundle delete {existing.reference}"
            ) from error
        return False

    def delete(self, entry: Entry) -> None:
        """Deletes a bundle and its tags.

        Raises:
            MisuseError: it is shipped with this package.
            BundleError: it cannot be deleted, or the store is unreachable.
        """
        if entry.shipped:
            raise MisuseError(f"{entry.reference} is shipped with this package and cannot be deleted")
        tags = self.tags_of(entry)
        self._own.delete(entry.name, entry.version)
        for tag in tags:
            self._own.delete_note(entry.name, TAGS, tag)

    def tags(self, name: str | None = None) -> dict[Key, Tag]:
        """Returns all tags, or those of a name. Damaged tags are left out; resolving one raises an error.

        Raises:
            BundleError: the store is unreachable.
        """
        keys = sorted(key for key in self._own.tags(name) if all(map(_is_name, key)))
        with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
            contents = zip(keys, pool.map(lambda key: self._own.read_note(key[0], TAGS, key[1]), keys), strict=True)
        tags: dict[Key, Tag] = {}
        for key, raw in contents:
            with suppress(BundleError):
                tags[key] = parse_tag(raw or b"", ":".join(key))
        return tags

    def tags_of(self, entry: Entry) -> list[str]:
        """Returns the tags of a bundle.

        Raises:
            BundleError: the store is unreachable.
        """
        return entry.tags_among(self.tags(entry.name))

    def set_tag(self, entry: Entry, tag: str, by: str) -> Tag | None:
        """Sets a tag on a bundle; an existing tag is moved.

        Args:
            entry: the bundle.
            tag: the tag, without the bundle's name.
            by: the user who sets it.

        Returns:
            The previous tag, if it existed.

        Raises:
            MisuseError: the tag is invalid.
            BundleError: the bundle is damaged, or the store cannot be written.
        """
        require_tag(tag)
        if entry.manifest is None:
            raise BundleError(entry.fault)
        before = self.tags(entry.name).get((entry.name, tag))
        at = datetime.now(UTC).replace(microsecond=0)
        new_tag = Tag(version=entry.version, digest=entry.manifest.digest, at=at, by=by)
        self._own.write_note(entry.name, TAGS, tag, new_tag.model_dump_json(indent=2).encode() + b"\n")
        return before

    def remove_tag(self, entry: Entry, tag: str) -> None:
        """Removes a tag from a bundle.

        Raises:
            BundleError: the bundle has no such tag, or the store cannot be written.
        """
        tags = self.tags_of(entry)
        if tag not in tags:
            raise BundleError(f"{entry.reference} has no tag {tag}. Its tags: {', '.join(tags) or 'none'}")
        self._own.delete_note(entry.name, TAGS, tag)

    def add_signature(self, reference: BundleReference, signature: Signature) -> None:
        """Stores a signature next to its bundle.

        Raises:
            MisuseError: there is no store.
            BundleError: the store cannot be written.
        """
        key = f"{reference.digest}.{signature.key_id}"
        self._own.write_note(reference.name, SIGNATURES, key, f"{signature}\n".encode())

    def signatures(self, reference: BundleReference, key_ids: Iterable[str]) -> list[str]:
        """Returns the stored signatures of a bundle by these keys, without verifying them.

        Raises:
            BundleError: the store is unreachable.
        """
        contents = (self._own.read_note(reference.name, SIGNATURES, f"{reference.digest}.{key}") for key in key_ids)
        return [raw.decode(errors="replace").strip() for raw in contents if raw is not None]

    def _keys(self, name: str | None = None) -> dict[Key, list[Place]]:
        """Returns the sorted names and versions, each with its backends: shipped, the store, or both."""
        places_by_key: dict[Key, list[Place]] = {}
        for place in (self._shipped, self._own):
            for key in place.versions(name):
                if _is_name(key[0]) and (_is_version(key[1]) or key[1] == UNREADABLE):
                    places_by_key.setdefault(key, []).append(place)
        return {key: places_by_key[key] for key in sorted(places_by_key, key=order_of)}

    def _read(self, keys: Mapping[Key, list[Place]]) -> list[Entry]:
        with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
            return list(pool.map(self._read_entry, keys, keys.values()))

    def _read_each(self, keys: Mapping[Key, list[Place]]) -> list[Entry]:
        """Reads for a lookup by digest: both bundles of a version if the shipped and the stored one differ."""
        entries = {
            (key, entry.manifest and entry.manifest.digest): entry
            for key, places in keys.items()
            for entry in (self._read_place(key, place) for place in reversed(places))  # the shipped one wins
        }
        return list(entries.values())

    def _read_entry(self, key: Key, places: list[Place]) -> Entry:
        """Reads the bundle of a version; an entry with a fault if the shipped and the stored one differ."""
        first, *others = (self._read_place(key, place) for place in places)
        for other in others:
            if first.manifest and other.manifest and first.manifest.digest == other.manifest.digest:
                continue
            of_first, of_other = (
                entry.manifest.digest[:12] if entry.manifest else "cannot be read" for entry in (first, other)
            )
            fault = (
                f"two bundles are named {other.reference}: the shipped one ({of_first}) and {other.where} "
                f"({of_other}). Neither can be used. Move {other.where} out of the store, and add it again with "
                "another version"
            )
            return Entry(*key, other.where, False, None, fault)
        return first

    def _read_place(self, key: Key, place: Place) -> Entry:
        name, version = key
        uri, shipped = place.where(name, version), place is self._shipped
        try:
            manifest = place.manifest(name, version)
            if (manifest.name, manifest.version) != key:
                raise BundleError(f"bundle {uri}: its manifest says {manifest.name}:{manifest.version}; was it moved?")
        except BundleError as error:
            return Entry(name, version, uri, shipped, None, str(error))
        return Entry(name, version, uri, shipped, manifest)

    def _fetch(self, entry: Entry) -> Located:
        if entry.manifest is None:
            raise BundleError(entry.fault)
        place = self._shipped if entry.shipped else self._own
        return Located(place.fetch(entry.name, entry.version, entry.manifest), entry.manifest.reference, entry.shipped)

    def _resolve(self, reference: str) -> Wanted:
        """Parses a reference and resolves its tag."""
        parsed = _parse_reference(reference)
        if not parsed:
            raise BundleError(self._explain_not_found(reference))
        name, version, tag, digest = parsed.group("name", "version", "tag", "digest")
        if tag is None or tag == LATEST:
            return Wanted(reference, name, version or tag, digest)
        raw = self._own.read_note(name, TAGS, tag)
        if raw is None:
            raise BundleError(self._explain_not_found(reference))
        target = parse_tag(raw, f"{name}:{tag}")
        called = f"{name}:{target.version}@{target.digest[:12]}"
        if not target.digest.startswith(digest or ""):
            raise BundleError(f"{reference} not found: {name}:{tag} is now {called}")
        return Wanted(f"{called} (tag {name}:{tag})", name, target.version, target.digest)

    def _find_locally(self, name: str, version: str, digest: str) -> Path | None:
        """Returns a bundle that is on this machine, shipped or cached, without accessing the store."""
        for entry in self._read({key: [self._shipped] for key in self._shipped.versions(name) if key[1] == version}):
            if entry.manifest and entry.manifest.digest == digest:
                return Path(entry.where)
        cached = self._own.kept(digest)
        if cached is None:
            return None
        manifest = read_manifest(cached)
        return cached if (manifest.name, manifest.version) == (name, version) else None

    def _choose(self, wanted: Wanted) -> Entry:
        """Returns the one bundle that matches, or raises BundleError."""
        keys = self._keys(wanted.name)
        if (wanted.name, UNREADABLE) in keys:
            (unreadable,) = self._read({(wanted.name, UNREADABLE): keys[wanted.name, UNREADABLE]})
            raise BundleError(unreadable.fault)
        if wanted.version == LATEST:
            keys = dict(list(keys.items())[-1:])
        elif wanted.version:
            keys = {key: places for key, places in keys.items() if key[1] == wanted.version}
        entries = self._read_each(keys) if wanted.digest else self._read(keys)
        if wanted.digest:
            same_version = entries if wanted.version else []
            entries = [entry for entry in entries if entry.manifest and entry.manifest.digest.startswith(wanted.digest)]
            if same_version and not entries:
                raise BundleError(explain_digest(same_version[0], wanted.digest))
        if len(entries) > 1:
            candidates = " or ".join(entry.reference for entry in entries)
            raise BundleError(f"{wanted.called} is ambiguous: {candidates}; give more digits of the digest")
        if not entries:
            raise BundleError(self._explain_not_found(wanted.called))
        return entries[0]

    def _explain_not_found(self, reference: str) -> str:
        existing = [f"{name}:{version}" for name, version in [*self._keys(), *self.tags()]]
        close = difflib.get_close_matches(reference, existing, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        only_shipped = f". Only the shipped bundles were searched: {NO_STORE}" if isinstance(self._own, NoPlace) else ""
        return (
            f"bundle {reference} not found.{hint} Available: {', '.join(existing)}. Name a bundle as name:version, "
            f"name:latest, name:tag, name@digest or by the path of its folder{only_shipped}"
        )


def _as_folder(reference: str) -> Path | None:
    """Returns the folder if the reference is the path of one."""
    if not _parse_reference(reference) and os.path.isdir(reference):  # noqa: PTH112  (accepts any string)
        return Path(reference)
    return None
