"""The store: `name:version`, tags and digests to bundles and back, over a folder or URL and what is shipped."""

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
from scorer.bundle.entry import Entry, Key, Located, Wanted, explain_digest, order_of
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.places import NO_STORE, SIGNATURES, TAGS, UNREADABLE, FolderPlace, NoPlace, Place
from scorer.bundle.remote import local_path
from scorer.bundle.signing import Signature
from scorer.bundle.tags import LATEST, Tag, parse_tag, require_tag
from scorer.bundle.trial import open_in_child
from scorer.bundle.url_place import UrlPlace
from scorer.core.score import Bundle
from scorer.errors import BundleError, MisuseError

SHIPPED: Final = Path(__file__).parent / "shipped"
_DIGEST_LENGTH: Final = 64
_READS_AT_ONCE: Final = 16  # manifests: a bucket takes a moment for each, and so many are polite

_parse_reference = re.compile(
    f"(?P<name>{NAME_PATTERN})(?=[:@])(:((?P<version>{VERSION_PATTERN})|(?P<tag>{NAME_PATTERN})))?"
    "(@(?P<digest>[0-9a-f]{6,64}))?"
).fullmatch
_is_name = re.compile(NAME_PATTERN).fullmatch
_is_version = re.compile(VERSION_PATTERN).fullmatch


class BundleStore:
    """Bundles as `name/version/` in a folder or at a URL, with the shipped ones as a second place that is only read.

    What is in it never changes: a version is put once. How far that holds when two put the same one at the same moment
    is for the place to say: `scorer.bundle.places`.
    """

    def __init__(self, place: Path | str | None, shipped: Path = SHIPPED) -> None:
        """Takes the folder or URL, which need not be there before something is put into it; None is no store at all.

        Raises:
            MisuseError: nothing here can reach such a URL; the message says what to install.
        """
        folder = None if place is None else local_path(str(place))
        self._own: Place
        if place is None:
            self._own = NoPlace()
        else:
            self._own = UrlPlace(str(place)) if folder is None else FolderPlace(folder)
        self._shipped: Place = FolderPlace(shipped)

    def entries(self) -> list[Entry]:
        """All bundles by name and version, damaged ones included.

        A version that is shipped and in the store too, with another digest, is no bundle that could be meant: its fault
        names both.

        Raises:
            BundleError: the store is out of reach.
        """
        return self._read(self._keys())

    def entry(self, reference: str) -> Entry:
        """The bundle that is meant, damaged or not.

        Args:
            reference: `name:version`, `name:latest` (the highest version), `name:tag`, `name@digest` (its first 6
                digits or more), or one of the others with a digest.

        Raises:
            BundleError: there is none, or more than one; the message names what there is. Or the store is out of reach.
        """
        return self._choose(self._resolve(reference))

    def find(self, reference: str) -> Path:
        """The folder of a bundle on this machine: the store's own, or that of a copy which was fetched and checked.

        With a version and a whole digest, what is shipped or was fetched before is found without asking the store:
        nothing else has that digest. So what is deployed can be opened again while the store is out of reach.

        Args:
            reference: as `entry` takes it, or the path of a bundle's folder.

        Raises:
            BundleError: there is none, or more than one, or it is damaged, or the store is out of reach.
        """
        return _as_folder(reference) or self.locate(reference).folder

    def open(self, reference: str) -> Bundle:
        """Finds, checks and opens a bundle.

        Args:
            reference: as `find` takes it.

        Raises:
            BundleError: there is none, or it is damaged, or the store is out of reach; the message says how to mend it.
                Or another one was put in its place after it was found.
        """
        folder = _as_folder(reference)
        return load_bundle(folder) if folder else self.locate(reference).open()

    def locate(self, wanted: BundleReference | str) -> Located:
        """Finds a bundle of this store. What an event names is no path here, whatever is in it.

        Raises:
            BundleError: there is none, or it is damaged, or the store is out of reach.
        """
        reference = str(wanted)
        parsed = _parse_reference(reference)
        if parsed and parsed["version"] and len(parsed["digest"] or "") == _DIGEST_LENGTH:
            name, version, digest = parsed.group("name", "version", "digest")
            here = self._here(name, version, digest)
            if here is not None:
                asked = BundleReference(name=name, version=version, digest=digest)
                return Located(here, asked, str(here) == self._shipped.where(name, version))
        return self._fetch(self.entry(reference))

    def put(self, folder: Path) -> str:
        """Takes a bundle in: whole and checked, or not at all.

        Args:
            folder: the bundle's folder; it is copied.

        Returns:
            Where it is in the store: a path or a URL.

        Raises:
            BundleError: it is damaged, or there is such a version already, or the store is out of reach.
        """
        load_bundle(folder)
        manifest = read_manifest(folder)
        self.require_new(manifest.name, manifest.version)
        self._own.put(folder, manifest)
        return self._own.where(manifest.name, manifest.version)

    def require_new(self, name: str, version: str) -> None:
        """Makes sure that this version may be put.

        Raises:
            MisuseError: it is no name or no version, or there is no store.
            BundleError: there is one, or the store is out of reach.
        """
        if not _is_name(name):
            raise MisuseError(f"{name!r} cannot name a bundle: 1 to 64 of a-z, 0-9 and dashes, as in credit-risk")
        if not _is_version(version):
            raise MisuseError(f"{version!r} is no version: three numbers are, as in 1.2.0")
        places = self._keys(name).get((name, version))
        if places:
            raise BundleError(
                f"{name}:{version} is there already, in {places[0].where(name, version)}, and a bundle is never "
                "overwritten: decisions refer to it. Choose the next version"
            )
        self._own.where(name, version)  # what is to be put there takes a while to make

    def take_in(self, folder: Path, called: str) -> bool:
        """Puts a bundle that came from elsewhere, unless the same one is there.

        Args:
            folder: the bundle's folder; it is copied.
            called: what messages call it.

        Returns:
            Whether it was put.

        Raises:
            BundleError: it is damaged, or another one of its name and version is there, or the one there is damaged, or
                the store is out of reach.
        """
        new = open_in_child(folder, called)
        places = self._keys(new.name).get((new.name, new.version))
        if places is None:
            self.put(folder)
            return True
        (there,) = self._read({(new.name, new.version): places})
        if there.manifest and there.manifest.digest != new.digest:
            raise BundleError(
                f"{called} is {new.short}, and {there.where} is "
                f"{there.manifest.reference.short}: two bundles of one name and version, and neither may "
                "take the other's place, because decisions refer to it. Give one of them another version"
            )
        try:
            self._fetch(there).open()
        except BundleError as error:
            raise BundleError(f"{error}. To replace it, remove it: scorer bundle delete {there.reference}") from error
        return False

    def delete(self, entry: Entry) -> None:
        """Removes a bundle, and the tags that mean it.

        Raises:
            MisuseError: it is shipped with this package.
            BundleError: it cannot be removed, or the store is out of reach.
        """
        if entry.shipped:
            raise MisuseError(f"{entry.reference} is shipped with this package and cannot be deleted")
        tags = self.tags_of(entry)
        self._own.delete(entry.name, entry.version)
        for tag in tags:
            self._own.delete_note(entry.name, TAGS, tag)

    def tags(self, name: str | None = None) -> dict[Key, Tag]:
        """What tags mean, all or those of a name; without damaged ones, of which whoever refers to them is told.

        Raises:
            BundleError: the store is out of reach.
        """
        keys = sorted(key for key in self._own.tags(name) if all(map(_is_name, key)))
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            found = zip(keys, pool.map(lambda key: self._own.read_note(key[0], TAGS, key[1]), keys), strict=True)
        means: dict[Key, Tag] = {}
        for key, raw in found:
            with suppress(BundleError):
                means[key] = parse_tag(raw or b"", ":".join(key))
        return means

    def tags_of(self, entry: Entry) -> list[str]:
        """The tags that mean a bundle.

        Raises:
            BundleError: the store is out of reach.
        """
        return entry.tags_among(self.tags(entry.name))

    def set_tag(self, entry: Entry, tag: str, by: str) -> Tag | None:
        """Lets a tag mean a bundle from now on.

        Args:
            entry: the bundle.
            tag: the tag, without the bundle's name.
            by: who does it.

        Returns:
            What it meant before, if there was such a tag.

        Raises:
            MisuseError: that may not be a tag.
            BundleError: the bundle is damaged, or the store cannot be written.
        """
        require_tag(tag)
        if entry.manifest is None:
            raise BundleError(entry.fault)
        before = self.tags(entry.name).get((entry.name, tag))
        at = datetime.now(UTC).replace(microsecond=0)
        means = Tag(version=entry.version, digest=entry.manifest.digest, at=at, by=by)
        self._own.write_note(entry.name, TAGS, tag, means.model_dump_json(indent=2).encode() + b"\n")
        return before

    def remove_tag(self, entry: Entry, tag: str) -> None:
        """Takes a tag away from a bundle.

        Raises:
            BundleError: the bundle has no such tag, or the store cannot be written.
        """
        tags = self.tags_of(entry)
        if tag not in tags:
            raise BundleError(f"{entry.reference} has no tag {tag}. It has: {', '.join(tags) or 'none'}")
        self._own.delete_note(entry.name, TAGS, tag)

    def add_signature(self, reference: BundleReference, signature: Signature) -> None:
        """Keeps a signature of a bundle beside it.

        Raises:
            MisuseError: there is no store.
            BundleError: the store cannot be written.
        """
        key = f"{reference.digest}.{signature.key_id}"
        self._own.write_note(reference.name, SIGNATURES, key, f"{signature}\n".encode())

    def signatures(self, reference: BundleReference, key_ids: Iterable[str]) -> list[str]:
        """What is kept as signatures of a bundle by these keys; none of them is verified.

        Raises:
            BundleError: the store is out of reach.
        """
        found = (self._own.read_note(reference.name, SIGNATURES, f"{reference.digest}.{key}") for key in key_ids)
        return [raw.decode(errors="replace").strip() for raw in found if raw is not None]

    def _keys(self, name: str | None = None) -> dict[Key, list[Place]]:
        """Names and versions in order, and where each is: shipped, in the store, or both."""
        found: dict[Key, list[Place]] = {}
        for place in (self._shipped, self._own):
            for key in place.versions(name):
                if _is_name(key[0]) and (_is_version(key[1]) or key[1] == UNREADABLE):
                    found.setdefault(key, []).append(place)
        return {key: found[key] for key in sorted(found, key=order_of)}

    def _read(self, keys: Mapping[Key, list[Place]]) -> list[Entry]:
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            return list(pool.map(self._read_entry, keys, keys.values()))

    def _read_apart(self, keys: Mapping[Key, list[Place]]) -> list[Entry]:
        """Where a digest says which one is meant: also both of one version, unless they are the same."""
        found = {
            (key, entry.manifest and entry.manifest.digest): entry
            for key, places in keys.items()
            for entry in (self._read_place(key, place) for place in reversed(places))  # what is shipped comes last
        }
        return list(found.values())

    def _read_entry(self, key: Key, places: list[Place]) -> Entry:
        """The one bundle of a version; where what is shipped and the store have different ones, the fault of both."""
        first, *others = (self._read_place(key, place) for place in places)
        for other in others:
            if first.manifest and other.manifest and first.manifest.digest == other.manifest.digest:
                continue
            of_first, of_other = (
                entry.manifest.digest[:12] if entry.manifest else "cannot be read" for entry in (first, other)
            )
            fault = (
                f"two bundles are called {other.reference}: the one that is shipped ({of_first}) and {other.where} "
                f"({of_other}). Neither may be taken for the other. Move {other.where} out of the store, and put it "
                "back under another version"
            )
            return Entry(*key, other.where, False, None, fault)
        return first

    def _read_place(self, key: Key, place: Place) -> Entry:
        name, version = key
        where, shipped = place.where(name, version), place is self._shipped
        try:
            manifest = place.manifest(name, version)
            if (manifest.name, manifest.version) != key:
                raise BundleError(f"bundle {where} says that it is {manifest.name}:{manifest.version}: was it moved?")
        except BundleError as error:
            return Entry(name, version, where, shipped, None, str(error))
        return Entry(name, version, where, shipped, manifest)

    def _fetch(self, entry: Entry) -> Located:
        if entry.manifest is None:
            raise BundleError(entry.fault)
        place = self._shipped if entry.shipped else self._own
        return Located(place.fetch(entry.name, entry.version, entry.manifest), entry.manifest.reference, entry.shipped)

    def _resolve(self, reference: str) -> Wanted:
        """What a reference asks for, its tag looked up."""
        parsed = _parse_reference(reference)
        if not parsed:
            raise BundleError(self._explain_absence(reference))
        name, version, tag, digest = parsed.group("name", "version", "tag", "digest")
        if tag is None or tag == LATEST:
            return Wanted(reference, name, version or tag, digest)
        raw = self._own.read_note(name, TAGS, tag)
        if raw is None:
            raise BundleError(self._explain_absence(reference))
        means = parse_tag(raw, f"{name}:{tag}")
        called = f"{name}:{means.version}@{means.digest[:12]}"
        if not means.digest.startswith(digest or ""):
            raise BundleError(f"{reference} is not there: {name}:{tag} means {called} now")
        return Wanted(f"{called}, which {name}:{tag} means", name, means.version, means.digest)

    def _here(self, name: str, version: str, digest: str) -> Path | None:
        """A bundle that this machine has, whatever the store says: one that is shipped, or that was fetched before."""
        for entry in self._read({key: [self._shipped] for key in self._shipped.versions(name) if key[1] == version}):
            if entry.manifest and entry.manifest.digest == digest:
                return Path(entry.where)
        kept = self._own.kept(digest)
        if kept is None:
            return None
        manifest = read_manifest(kept)
        return kept if (manifest.name, manifest.version) == (name, version) else None

    def _choose(self, wanted: Wanted) -> Entry:
        """The one bundle that is wanted."""
        keys = self._keys(wanted.name)
        if (wanted.name, UNREADABLE) in keys:
            (unreadable,) = self._read({(wanted.name, UNREADABLE): keys[wanted.name, UNREADABLE]})
            raise BundleError(unreadable.fault)
        if wanted.version == LATEST:
            keys = dict(list(keys.items())[-1:])
        elif wanted.version:
            keys = {key: places for key, places in keys.items() if key[1] == wanted.version}
        found = self._read_apart(keys) if wanted.digest else self._read(keys)
        if wanted.digest:
            same_version = found if wanted.version else []
            found = [entry for entry in found if entry.manifest and entry.manifest.digest.startswith(wanted.digest)]
            if same_version and not found:
                raise BundleError(explain_digest(same_version[0], wanted.digest))
        if len(found) > 1:
            may_be = " or ".join(entry.reference for entry in found)
            raise BundleError(f"{wanted.called} may be {may_be}: give more of the digest")
        if not found:
            raise BundleError(self._explain_absence(wanted.called))
        return found[0]

    def _explain_absence(self, reference: str) -> str:
        there = [f"{name}:{version}" for name, version in [*self._keys(), *self.tags()]]
        close = difflib.get_close_matches(reference, there, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        only_shipped = f". Only what is shipped was searched: {NO_STORE}" if isinstance(self._own, NoPlace) else ""
        return (
            f"there is no bundle {reference}.{hint} There is: {', '.join(there)}; and a bundle may be named as "
            f"name:version, name:latest, name:tag, name@digest or by the path of its folder{only_shipped}"
        )


def _as_folder(reference: str) -> Path | None:
    """The folder that a reference is the path of, if it is one."""
    if not _parse_reference(reference) and os.path.isdir(reference):  # noqa: PTH112  (it takes any string)
        return Path(reference)
    return None
