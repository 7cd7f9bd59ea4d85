"""Builds a wheel of this package from the installed files, without a source tree, build tool or package index."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from scorer.errors import ScorerError

DISTRIBUTION: Final = "streaming-credit-scorer"
PACKAGES: Final = ("scorer", "schemas", "producer")

_ROOT: Final = Path(__file__).parents[2]
_COPIED_METADATA: Final = ("METADATA", "entry_points.txt")  # in the dist-info folder; the other files are generated
_WHEEL: Final = b"Wheel-Version: 1.0\nGenerator: streaming-credit-scorer\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that the wheel is reproducible


def write_wheel(folder: Path) -> Path:
    """Writes the wheel in the binary distribution format of the Python packaging guide.

    Args:
        folder: the output folder.

    Returns:
        The wheel's path; its name contains the version.

    Raises:
        ScorerError: the package is not installed, so its dependencies are unknown.
    """
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise ScorerError(
            f"{DISTRIBUTION} is not installed: pip install it, or run `make setup` in its source tree"
        ) from None
    stem = f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}"
    contents = dict(_read_packages()) | dict(_read_metadata(distribution, f"{stem}.dist-info"))
    record = f"{stem}.dist-info/RECORD"
    contents[record] = _write_record(contents, record)
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


def _read_packages() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(_ROOT).as_posix(), path.read_bytes()


def _read_metadata(distribution: metadata.Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted(distribution.files or ()):
        is_metadata = file.parts[0].endswith(".dist-info")
        if is_metadata and (file.name in _COPIED_METADATA or "licenses" in file.parts):
            yield "/".join((folder, *file.parts[1:])), file.read_binary()
    yield f"{folder}/WHEEL", _WHEEL


def _write_record(contents: dict[str, bytes], record: str) -> bytes:
    """Returns RECORD: each file with its digest and size, which are empty for RECORD itself."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((record, "", ""))
    return text.getvalue().encode()
