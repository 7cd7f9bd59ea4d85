"""Archives that `scorer bundle import-bentoml` must reject, and its limits."""

import binascii
import io
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from scorer.author import bentoml
from scorer.author.bentoml import read_bentomodel
from scorer.errors import BundleError


def _header(kind: bytes, size: bytes = b"%011o\0" % 8) -> bytes:
    """The header of an archive's member, with a checksum that is right."""
    header = bytearray(512)
    for position, field in ((0, b"model.yaml"), (100, b"0000644\0"), (124, size), (156, kind), (257, b"ustar  \0")):
        header[position : position + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _tar(*members: tuple[str, dict[str, Any]]) -> bytes:
    """An archive with members as they are described."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:xz") as tar:
        for name, description in members:
            member = tarfile.TarInfo(name)
            for attribute, value in description.items():
                setattr(member, attribute, value)
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return written.getvalue()


SOUND = tuple((name, {"size": 1}) for name in ("model.yaml", "saved_model.ubj", "custom_objects.pkl"))
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "a link": (_tar(("model.yaml", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), "a link"),
    "a hard link": (_tar(("model.yaml", {"type": tarfile.LNKTYPE, "linkname": "saved_model.ubj"})), "a link"),
    "a device": (_tar(("model.yaml", {"type": tarfile.CHRTYPE})), "a device"),
    "a pipe": (_tar(("model.yaml", {"type": tarfile.FIFOTYPE})), "a device"),
    "a sparse file": (_tar(("model.yaml", {"type": tarfile.GNUTYPE_SPARSE})), "a device|damaged"),
    "a path that climbs": (_tar(("../model.yaml", {"size": 1})), "outside of it"),
    "a path that climbs later": (_tar(*SOUND, ("a/../../b", {"size": 1})), "outside of it"),
    "an absolute path": (_tar(("/model.yaml", {"size": 1})), "outside of it"),
    "a file twice": (_tar(*SOUND, ("./model.yaml", {"size": 1})), r"contains model\.yaml twice"),
    "no model": (_tar(SOUND[0], SOUND[2]), r"saved_model\.ubj not found in the archive"),
    "no custom objects": (_tar(*SOUND[:2]), r"custom_objects\.pkl not found in the archive"),
    "nothing": (_tar(), r"model\.yaml not found in the archive"),
    "many files": (_tar(*((f"{number}", {"size": 0}) for number in range(101))), "more than 100 files"),
    "headers within headers": (lzma.compress((_header(b"L") + bytes(512)) * 1_500), "damaged"),
    "headers of another kind within headers": (lzma.compress((_header(b"x") + bytes(512)) * 1_500), "damaged"),
    "a size beyond all": (lzma.compress(_header(b"0", b"\x80" + b"\xff" * 11) + bytes(2_048)), "damaged"),
    "a name of a size beyond all": (lzma.compress(_header(b"L", b"\x80" + b"\xff" * 11) + bytes(2_048)), "damaged"),
    "no tar": (lzma.compress(b"hello" * 1_000), "not a tar archive"),
    "a tar cut off within": (lzma.compress(lzma.decompress(_tar(*SOUND))[:700]), "damaged|not found in the archive"),
    "no xz": (b"PK\x03\x04 and so on", "bentoml models export NAME:VERSION "),
    "the old lzma format": (lzma.compress(b"x", lzma.FORMAT_ALONE), "not a .bentomodel"),
    "empty": (b"", "truncated"),
    "cut off": (_tar(*SOUND)[:-30], "truncated"),
    "a flipped bit": (_tar(*SOUND)[:60] + b"\xff" + _tar(*SOUND)[61:], "not a .bentomodel|truncated|damaged"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_not_safe_to_read(tmp_path: Path, name: str) -> None:
    """Each is refused with the file and the reason, and nothing is written anywhere."""
    raw, reason = ARCHIVES[name]
    path = tmp_path / "x.bentomodel"
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=reason):
        read_bentomodel(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_has_a_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed and decompressed: a few bytes that would become gigabytes are stopped at the limit."""
    path = tmp_path / "x.bentomodel"
    monkeypatch.setattr(bentoml, "FILE_BYTES_MAX", 1 << 16)
    path.write_bytes(lzma.compress(bytes(4 << 20)))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(BundleError, match="more than 65536 bytes"):
        read_bentomodel(path)
    path.write_bytes(lzma.compress(os.urandom(1 << 17)))
    with pytest.raises(BundleError, match="more than 65536 bytes"):
        read_bentomodel(path)


def test_a_decoder_has_a_greatest_size(tmp_path: Path) -> None:
    """A dictionary of more than a gigabyte that a few bytes ask for is not given."""
    path = tmp_path / "x.bentomodel"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    raw = bytearray(lzma.compress(b"x" * 10_000, filters=filters))
    position = raw.index(bytes([0x21, 0x01]), 12) + 2
    raw[position] = 36  # 1 GiB, by the format's table
    raw[20:24] = _crc(raw[12:20])
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"not a \.bentomodel"):
        read_bentomodel(path)


def _crc(block_header: bytes | bytearray) -> bytes:
    return binascii.crc32(bytes(block_header)).to_bytes(4, "little")
