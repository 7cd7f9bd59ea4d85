"""Checks and opens a bundle's folder: digests, contract, columns, model, golden examples."""

import hashlib
import platform
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from scorer.bundle.explainer import describe_explainer, make_explainer
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
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.score import Bundle
from scorer.errors import BundleError, ModelError, RunnerMissingError

_FIX = "Do not repair a bundle in place: copy it again from its source, or train it again"


def load_bundle(folder: Path, passed: Callable[[str], None] = lambda _: None, called: str = "") -> Bundle:
    """Opens a bundle after running all checks.

    Args:
        folder: the bundle's folder. Files that the manifest does not list, and links, are errors.
        passed: called with a line of text for each passed check.
        called: name of the bundle in messages, if the folder's path would not help the reader.

    Returns:
        The bundle; its model has run once, on the golden examples.

    Raises:
        BundleError: it is damaged, was changed, or does not fit this release; the message says what and how to fix it.
    """
    manifest = read_manifest(folder, called)
    passed(f"manifest: {manifest.name}:{manifest.version}, digest {manifest.digest}")
    try:
        contents = read_files(folder, manifest)
        for name, content in contents.items():
            refuse_pickle(name, content)
        passed(f"files: {len(contents)}, all with the sha256 in the manifest; no other files, no links")
        contract = read_contract(manifest, contents)
        decoder = Decoder(contract)
        encoding = _encode_features(contract, manifest)
        policy = _prepare_policy(contract, manifest)
        passed(f"contract: {contract}, {len(contract.fields)} fields; it gives all columns")
        model = open_model(
            manifest.runner,
            manifest.model,
            contents[manifest.model],
            manifest.features.columns,
            manifest.runner_settings,
            encoding.categories,
        )
        passed(f"model: {manifest.runner}, with the {len(encoding.columns)} columns in the manifest")
        explainer = make_explainer(manifest.reasons, encoding, model) if manifest.reasons else None
        if explainer is not None:
            passed(describe_explainer(explainer))
        exact = manifest.platform == platform.machine()
        golden = read_golden(contents[GOLDEN_FILE], decoder)
        matrix, probabilities = golden.reproduce(encoding, model, policy, explainer, exact=exact)
        passed(f"golden examples: {golden.describe()} reproduced {'bit for bit' if exact else 'within 1e-6'}")
    except RunnerMissingError as error:
        raise RunnerMissingError(f"bundle {called or folder}: {error}") from error
    except (BundleError, ModelError) as error:
        raise BundleError(f"bundle {called or folder}: {error}. {_suggest_fix(manifest)}") from error
    reference = manifest.reference
    encoder = DecisionEncoder(reference, () if explainer is None else explainer.codes)
    return Bundle(
        reference,
        decoder,
        encoding,
        model,
        policy,
        encoder,
        matrix,
        probabilities,
        golden.values,
        explainer=explainer,
    )


def _suggest_fix(manifest: Manifest) -> str:
    """Suggests a fix for a bundle that does not open: another version of the model's library, or a new copy."""
    try:
        installed = library_of(manifest.runner)
    except BundleError:
        return _FIX
    for library, version in installed.items():
        made_with = manifest.libraries.get(library)
        if made_with not in {None, version}:
            return (
                f"It was built with {library} {made_with}, but {version} is installed: install {library} {made_with}, "
                "or build the bundle again with this version"
            )
    return _FIX


def read_manifest(folder: Path, called: str = "") -> Manifest:
    """Reads a bundle's manifest, and no other file.

    Args:
        folder: the bundle's folder.
        called: name of the bundle in messages, if the folder's path would not help the reader.

    Raises:
        BundleError: the manifest is missing or invalid.
    """
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise BundleError(f"bundle {folder}: cannot be read: {error.strerror}; may this user read it?") from None
    if not is_folder:
        raise BundleError(f"bundle {folder}: no such folder; is the path right?")
    try:
        return parse_manifest(_read_file(folder / MANIFEST_FILE, MANIFEST_BYTES_MAX))
    except BundleError as error:
        raise BundleError(f"bundle {called or folder}: {error}. {_FIX}") from None


def read_files(folder: Path, manifest: Manifest) -> Mapping[str, bytes]:
    """Reads the files in the manifest, by name, and checks their digests.

    Raises:
        BundleError: a file is missing, was changed, is not a regular file, or is not in the manifest.
    """
    try:
        unlisted = sorted({path.name for path in folder.iterdir()} - set(manifest.files) - {MANIFEST_FILE})
    except OSError as error:
        raise BundleError(f"the folder cannot be read: {error.strerror}") from None
    if unlisted:
        raise BundleError(f"{', '.join(unlisted[:3])} is not part of the bundle: the manifest does not list it")
    return _read_listed(folder, manifest, manifest.files)


def _read_listed(folder: Path, manifest: Manifest, names: Iterable[str]) -> Mapping[str, bytes]:
    """Reads some of the files in the manifest, and checks their digests."""
    contents = {name: _read_file(folder / name, FILE_BYTES_MAX) for name in names}
    changed = [n for n, content in contents.items() if hashlib.sha256(content).hexdigest() != manifest.files[n]]
    if changed:
        raise BundleError(
            f"{', '.join(changed)} was changed or damaged: its sha256 differs from the one in the manifest"
        )
    return contents


def _read_file(path: Path, bytes_max: int) -> bytes:
    """Reads a regular file up to a limit, once: the bytes that are checked are the bytes that are used."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleError(f"{path.name} is a link or a folder; a bundle contains regular files only")
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise BundleError(f"{path.name} is missing") from None
    except OSError as error:
        raise BundleError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise BundleError(f"{path.name} has more than {bytes_max} bytes")
    return content


def read_contract(manifest: Manifest, contents: Mapping[str, bytes]) -> Contract:
    """Returns a bundle's contract: the one in it, or for manifests up to version 2 the shipped one.

    Raises:
        BundleError: the file is not a contract, or not the one that the manifest names; or the shipped contract is not
            compatible with the one that the bundle was built for.
    """
    if manifest.contract is None:
        contract = shipped_contract()
        version = manifest.contract_version or ""
        if version.partition(".")[0] != contract.version.partition(".")[0]:
            raise BundleError(
                f"it was built for contract {version}, but this release has {contract.version}: "
                "the major versions must be equal; use a release with that contract"
            )
        return contract
    try:
        contract = parse_contract(contents[manifest.contract.file])
    except ContractError as error:
        raise BundleError(f"{manifest.contract.file} is not a contract: {error}") from None
    if (contract.name, contract.version) != (manifest.contract.name, manifest.contract.version):
        raise BundleError(
            f"{manifest.contract.file} is {contract}, but the manifest names "
            f"{manifest.contract.name}:{manifest.contract.version}"
        )
    return contract


def read_contract_of(folder: Path, called: str = "") -> tuple[BundleReference, Contract]:
    """Reads a bundle's reference and contract, without opening its model.

    Args:
        folder: the bundle's folder.
        called: name of the bundle in messages, if the folder's path would not help the reader.

    Raises:
        BundleError: the manifest or the contract is missing, was changed, or is invalid.
    """
    manifest = read_manifest(folder, called)
    names = [] if manifest.contract is None else [manifest.contract.file]
    try:
        return manifest.reference, read_contract(manifest, _read_listed(folder, manifest, names))
    except BundleError as error:
        raise BundleError(f"bundle {called or folder}: {error}. {_FIX}") from None


def _encode_features(contract: Contract, manifest: Manifest) -> FeatureEncoding:
    try:
        features = manifest.features
        return FeatureEncoding(contract, features.columns, features.missing_number, features.derived)
    except ValueError as error:
        raise BundleError(str(error)) from None


def _prepare_policy(contract: Contract, manifest: Manifest) -> Decider:
    try:
        return Decider(manifest.policy, contract)
    except ValueError as error:
        raise BundleError(f"policy: {error}") from None
