"""Refuses pickles, which are known by their names and by their bytes, without opening them."""

import bz2
import io
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

from scorer.errors import BundleError

_SUFFIXES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
# A pickle of protocol 2 or later begins with this byte and its protocol.
_MARK: Final = 0x80
_PROTOCOLS: Final = range(2, 6)
# A file that reads as so many instructions is meant as a pickle; to read them takes some hundredths of a second.
_INSTRUCTIONS_MAX: Final = 100_000
_MEMBERS_MAX: Final = 10_000
# What names something to call, in the protocols before: a pickle that has none of these is only numbers and text.
_CALLS: Final = frozenset({"GLOBAL", "INST"})

_ZIP_END: Final = b"PK\x05\x06"
_ZIP_MEMBER: Final = b"PK\x01\x02"

_XZ_BYTES_MAX: Final = 100 << 20  # xz's strongest preset takes 65 MB
# joblib compresses with any of these. No more than the first two bytes are unpacked, whatever the file would become.
_UNPACKERS: Final[tuple[tuple[bytes, Callable[[bytes], bytes]], ...]] = (
    (b"\x78", lambda content: zlib.decompressobj().decompress(content, 2)),
    (b"\x1f\x8b", lambda content: zlib.decompressobj(wbits=31).decompress(content, 2)),
    (b"BZh", lambda content: bz2.BZ2Decompressor().decompress(content, 2)),
    (b"\xfd7zXZ", lambda content: lzma.LZMADecompressor(memlimit=_XZ_BYTES_MAX).decompress(content, 2)),
    (b"\x5d\x00\x00", lambda content: lzma.LZMADecompressor(memlimit=_XZ_BYTES_MAX).decompress(content, 2)),
)


def refuse_pickle(name: str, content: bytes) -> None:
    """Refuses a file that claims to be a pickle: by its name, by its first bytes, packed or not, or by what it calls.

    Args:
        name: the file's name.
        content: its bytes.

    Raises:
        BundleError: it does.
    """
    if _is_pickle(name, content):
        raise BundleError(
            f"{name} is a pickle, and pickles are never opened: they run whatever code they carry. "
            "Save the model in its library's open format instead (XGBoost: UBJSON; scikit-learn: ONNX)"
        )


def _is_pickle(name: str, content: bytes) -> bool:
    return (
        name.lower().endswith(_SUFFIXES)
        or _has_mark(_unpack_head(content))
        or _calls_by_name(content)
        or _holds_pickle(content)
    )


def _has_mark(head: bytes) -> bool:
    return len(head) >= 2 and head[0] == _MARK and head[1] in _PROTOCOLS


def _unpack_head(content: bytes) -> bytes:
    for magic, unpack in _UNPACKERS:
        if content.startswith(magic):
            try:
                return unpack(content)
            except (zlib.error, lzma.LZMAError, OSError, EOFError):
                return b""
    return content[:2]


def _calls_by_name(content: bytes) -> bool:
    """Whether the bytes read, to the last, as a pickle of protocol 0 or 1, which have no mark, that names what to call.

    The reader only tells the operations apart; it carries none of them out. A file that has more of them than anybody
    reads counts as one that does.
    """
    if not content.endswith(b"."):
        return False
    try:
        for count, (operation, _, _) in enumerate(pickletools.genops(content)):
            if operation.name in _CALLS or count == _INSTRUCTIONS_MAX:
                return True
    except ValueError:
        pass
    return False


def _holds_pickle(content: bytes) -> bool:
    """Whether it is a zip archive with a pickle in it, which is how PyTorch saves, or with too many files to look."""
    if content.rfind(_ZIP_END) >= 0 and content.count(_ZIP_MEMBER) > _MEMBERS_MAX:
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(member.lower().endswith(_SUFFIXES) for member in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
