"""Rejects pickles, which are recognized by their names and by their bytes, without unpickling them."""

import bz2
import io
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from scorer.errors import BundleError

_SUFFIXES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
# A pickle of protocol 2 or later begins with the opcode PROTO and its protocol version.
_HEADS: Final = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
# A file that parses as so many opcodes is a pickle; parsing them takes some hundredths of a second.
_OPCODES_MAX: Final = 100_000
_MEMBERS_MAX: Final = 10_000
# The opcodes of protocols 0 and 1 that name a callable: a pickle without them contains only numbers and text.
_CALL_OPCODES: Final = frozenset({"GLOBAL", "INST"})

_ZIP_END: Final = b"PK\x05\x06"
_ZIP_MEMBER: Final = b"PK\x01\x02"

_XZ_BYTES_MAX: Final = 100 << 20  # xz's strongest preset takes 65 MB
# joblib uses any of these formats: zlib and gzip, bzip2, xz and LZMA.
_DECOMPRESSORS: Final[tuple[tuple[tuple[bytes, ...], Callable[[], Any]], ...]] = (
    ((b"\x78", b"\x1f\x8b"), lambda: zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)),
    ((b"BZh",), bz2.BZ2Decompressor),
    ((b"\xfd7zXZ", b"\x5d\x00\x00"), lambda: lzma.LZMADecompressor(memlimit=_XZ_BYTES_MAX)),
)


def refuse_pickle(name: str, content: bytes) -> None:
    """Rejects a file that is a pickle by its name, by its first bytes (compressed or not), or by its opcodes.

    Args:
        name: the file's name.
        content: its bytes.

    Raises:
        BundleError: the file is a pickle.
    """
    if _is_pickle(name, content):
        raise BundleError(
            f"{name} is a pickle, and pickles are never opened: unpickling runs any code in them. "
            "Save the model in its library's open format instead (XGBoost: UBJSON; scikit-learn: ONNX)"
        )


def _is_pickle(name: str, content: bytes) -> bool:
    return (
        name.lower().endswith(_SUFFIXES)
        or _decompress_head(content).startswith(_HEADS)
        or _names_callable(content)
        or _contains_pickle(content)
    )


def _decompress_head(content: bytes) -> bytes:
    """Returns the first two bytes, decompressed; no more are, whatever the size of the file."""
    for magics, new_decompressor in _DECOMPRESSORS:
        if content.startswith(magics):
            with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):
                return bytes(new_decompressor().decompress(content, 2))
    return content[:2]


def _names_callable(content: bytes) -> bool:
    """Returns whether all bytes parse as a pickle of protocol 0 or 1, which has no mark, that names a callable.

    The opcodes are only parsed, not executed. A file with too many opcodes counts as such a pickle.
    """
    if not content.endswith(b"."):
        return False
    with suppress(ValueError):
        for count, (opcode, _, _) in enumerate(pickletools.genops(content)):
            if opcode.name in _CALL_OPCODES or count == _OPCODES_MAX:
                return True
    return False


def _contains_pickle(content: bytes) -> bool:
    """Returns whether it is a zip archive with a pickle in it (PyTorch's format), or with too many files to check."""
    if content.rfind(_ZIP_END) >= 0 and content.count(_ZIP_MEMBER) > _MEMBERS_MAX:
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(member.lower().endswith(_SUFFIXES) for member in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
