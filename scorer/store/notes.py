"""Tags and signatures, which a store keeps next to its bundles."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from schemas.decision import BundleReference
from scorer.bundle.signing import Signature
from scorer.errors import BundleError
from scorer.store.backends import SIGNATURES, TAGS, Backend
from scorer.store.entry import CONCURRENT_READS, Entry, Key, is_name
from scorer.store.tags import Tag, parse_tag, require_tag


class BundleNotes:
    """The tags and signatures in a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def tags(self, name: str | None = None) -> dict[Key, Tag]:
        """Returns all tags, or those of a name. Damaged tags are left out; resolving one raises an error.

        Raises:
            BundleError: the store is unreachable.
        """
        keys = sorted(key for key in self._backend.tags(name) if all(map(is_name, key)))
        with ThreadPoolExecutor(CONCURRENT_READS) as pool:
            contents = zip(keys, pool.map(lambda key: self._backend.read_note(key[0], TAGS, key[1]), keys), strict=True)
        tags: dict[Key, Tag] = {}
        for key, raw in contents:
            with suppress(BundleError):
                tags[key] = parse_tag(raw or b"", ":".join(key))
        return tags

    def tag(self, name: str, tag: str) -> Tag | None:
        """Returns a tag; None if it does not exist.

        Raises:
            BundleError: it is malformed, or the store is unreachable.
        """
        raw = self._backend.read_note(name, TAGS, tag)
        return None if raw is None else parse_tag(raw, f"{name}:{tag}")

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
        self._backend.write_note(entry.name, TAGS, tag, new_tag.model_dump_json(indent=2).encode() + b"\n")
        return before

    def remove_tag(self, entry: Entry, tag: str) -> None:
        """Removes a tag from a bundle.

        Raises:
            BundleError: the bundle has no such tag, or the store cannot be written.
        """
        tags = self.tags_of(entry)
        if tag not in tags:
            raise BundleError(f"{entry.reference} has no tag {tag}. Its tags: {', '.join(tags) or 'none'}")
        self._backend.delete_note(entry.name, TAGS, tag)

    def add_signature(self, reference: BundleReference, signature: Signature) -> None:
        """Stores a signature next to its bundle.

        Raises:
            MisuseError: there is no store.
            BundleError: the store cannot be written.
        """
        key = f"{reference.digest}.{signature.key_id}"
        self._backend.write_note(reference.name, SIGNATURES, key, f"{signature}\n".encode())

    def signatures(self, reference: BundleReference, key_ids: Iterable[str]) -> list[str]:
        """Returns the stored signatures of a bundle by these keys, without verifying them.

        Raises:
            BundleError: the store is unreachable.
        """
        contents = (self._backend.read_note(reference.name, SIGNATURES, f"{reference.digest}.{key}") for key in key_ids)
        return [raw.decode(errors="replace").strip() for raw in contents if raw is not None]
