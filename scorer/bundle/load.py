"""A bundle's folder, checked and opened: digests, contract, columns, model, golden examples; or why not."""

import hashlib
import platform
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.application import CONTRACT_VERSION
from scorer.bundle.golden import read_golden
from scorer.bundle.manifest import (
    FILE_BYTES_MAX,
    GOLDEN_FILE,
    MANIFEST_BYTES_MAX,
    MANIFEST_FILE,
    Manifest,
    parse_manifest,
)
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.runners import library_of, open_model
from scorer.core.features import FeatureEncoding
from scorer.core.score import Bundle
from scorer.core.wire import DecisionEncoder
from scorer.errors import BundleError, ModelError, RunnerMissingError

_MEND = "A bundle is never mended in place: put it here again from where it came, or train it again"


def load_bundle(folder: Path, passed: Callable[[str], None] = lambda _: None, called: str = "") -> Bundle:
    """Opens a bundle, after every check there is.

    Args:
        folder: the bundle's folder. What else is in it than its manifest names is refused, and so is every link.
        passed: told what was checked, check by check.
        called: what messages call it, where its folder would tell nobody anything.

    Returns:
        The bundle, warmed up.

    Raises:
        BundleError: it is damaged, was changed, or does not fit this release; the message says what and how to mend it.
    """
    manifest = read_manifest(folder, called)
    passed(f"manifest: {manifest.name}:{manifest.version}, digest {manifest.digest}")
    try:
        contents = read_files(folder, manifest)
        for name, content in contents.items():
            refuse_pickle(name, content)
        passed(f"files: {len(contents)} with the sha256 that the manifest says, none besides, no links")
        encoding = _check_contract(manifest)
        passed(f"contract: {manifest.contract_version}, and this release's is {CONTRACT_VERSION}; it has every column")
        model = open_model(
            manifest.runner,
            manifest.model,
            contents[manifest.model],
            manifest.features.columns,
            manifest.runner_settings,
        )
        passed(f"model: {manifest.runner}, with the {len(encoding.columns)} columns that the manifest names")
        exact = manifest.platform == platform.machine()
        golden = read_golden(contents[GOLDEN_FILE])
        matrix, found = golden.reproduce(encoding, model, manifest.policy, exact=exact)
        passed(f"golden examples: {len(found)} come out {'bit for bit' if exact else 'within 1e-6'}")
    except RunnerMissingError as error:
        raise RunnerMissingError(f"bundle {called or folder}: {error}") from error
    except (BundleError, ModelError) as error:
        raise BundleError(f"bundle {called or folder}: {error}. {_advise(manifest)}") from error
    reference = manifest.reference
    return Bundle(reference, encoding, model, manifest.policy, DecisionEncoder(reference), matrix, found)


def _advise(manifest: Manifest) -> str:
    """What fixes a bundle that does not open: another version of the library that runs it, or the bundle again."""
    try:
        installed = library_of(manifest.runner)
    except BundleError:
        return _MEND
    for library, version in installed.items():
        made_with = manifest.libraries.get(library)
        if made_with not in {None, version}:
            return (
                f"It was made with {library} {made_with}, and {version} is installed: install {library} {made_with}, "
                "or make the bundle again with this version"
            )
    return _MEND


def read_manifest(folder: Path, called: str = "") -> Manifest:
    """Reads a bundle's manifest and nothing else of it.

    Args:
        folder: the bundle's folder.
        called: what messages call it, where its folder would tell nobody anything.

    Raises:
        BundleError: there is none, or it is wrong.
    """
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise BundleError(f"bundle {folder}: cannot be read: {error.strerror}; may this user read it?") from None
    if not is_folder:
        raise BundleError(f"bundle {folder}: there is no such folder; is the path right?")
    try:
        return parse_manifest(_read_file(folder / MANIFEST_FILE, MANIFEST_BYTES_MAX))
    except BundleError as error:
        raise BundleError(f"bundle {called or folder}: {error}. {_MEND}") from None


def read_files(folder: Path, manifest: Manifest) -> Mapping[str, bytes]:
    """The bytes of the manifest's files by name, each with the digest that the manifest says.

    Raises:
        BundleError: a file is missing, was changed, is no plain file, or is not named by the manifest.
    """
    try:
        strange = sorted({path.name for path in folder.iterdir()} - set(manifest.files) - {MANIFEST_FILE})
    except OSError as error:
        raise BundleError(f"the folder cannot be read: {error.strerror}") from None
    if strange:
        raise BundleError(f"{', '.join(strange[:3])} does not belong to it: the manifest does not name it")
    contents = {name: _read_file(folder / name, FILE_BYTES_MAX) for name in manifest.files}
    changed = [n for n, content in contents.items() if hashlib.sha256(content).hexdigest() != manifest.files[n]]
    if changed:
        raise BundleError(
            f"{', '.join(changed)} was changed or damaged: its sha256 is not the one that the manifest says"
        )
    return contents


def _read_file(path: Path, bytes_max: int) -> bytes:
    """The bytes of a plain file, up to a limit: what is read is what is checked, whatever happens on disk meanwhile."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleError(f"{path.name} is a link or a folder; a bundle holds plain files only")
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise BundleError(f"{path.name} is missing") from None
    except OSError as error:
        raise BundleError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise BundleError(f"{path.name} has more than {bytes_max} bytes")
    return content


def _check_contract(manifest: Manifest) -> FeatureEncoding:
    """The bundle's encoding, if this release's contract has what it wants."""
    if manifest.contract_version.partition(".")[0] != CONTRACT_VERSION.partition(".")[0]:
        raise BundleError(
            f"it was made for contract {manifest.contract_version} and this release has {CONTRACT_VERSION}: "
            "the first number must be the same; use a release with that contract"
        )
    try:
        return FeatureEncoding(manifest.features.columns, manifest.features.missing_number)
    except ValueError as error:
        raise BundleError(str(error)) from None
