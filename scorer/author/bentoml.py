"""Drafts a bundle from a `.bentomodel` file exported by BentoML, without running any code in it.

This is the format that BentoML 1.0 to 1.4 write for `bentoml.xgboost.save_model(…, custom_objects={"dictVectorizer":
dv})` followed by `bentoml models export`: a tar archive compressed with xz that contains `model.yaml`, XGBoost's
`saved_model.ubj`, and the pickle `custom_objects.pkl`, of which `scorer.author.pickled` reads the DictVectorizer only.
"""

import io
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.fault_words import describe_faults
from schemas.printable import printable
from scorer.author.boosters import Rounds, check_booster
from scorer.author.build import Draft
from scorer.author.model_input import ModelInput
from scorer.author.pickled import ClassName, Pickled, read_pickle
from scorer.bundle.manifest import FILE_BYTES_MAX, Features, Word
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.errors import BundleError, MisuseError, RunnerMissingError
from scorer.extras import install_command

_INFO_FILE: Final = "model.yaml"
_MODEL_FILE: Final = "saved_model.ubj"
_OBJECTS_FILE: Final = "custom_objects.pkl"
_MEMBERS_MAX: Final = 100  # three are needed; BentoML adds any other files in the model's folder
# Twenty times the size that BentoML writes. The YAML parser needs a second for ten times that, and much longer for
# nested brackets: the cost of each bracket grows with the number of open ones.
_INFO_BYTES_MAX: Final = 1 << 15
_INFO_BRACKETS_MAX: Final = 1_000
_YAML_TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_NAME_CHARACTERS_MAX: Final = 300  # of a column, in a message
_DECODER_BYTES_MAX: Final = 100 << 20  # xz's strongest preset takes 65 MB

_MODULE: Final = "bentoml.xgboost"
_VECTORIZER: Final = ClassName("sklearn.feature_extraction._dict_vectorizer", "DictVectorizer")
# The vectorizer's dtype. XGBoost and the scorer compute in 32 bits; integer types would truncate numbers.
_DTYPES: Final = (ClassName("numpy", "float64"), ClassName("numpy", "float32"))
_SAVE_AGAIN: Final = (
    "Save the model again with the DictVectorizer as its only custom object: "
    'bentoml.xgboost.save_model(name, booster, custom_objects={"dictVectorizer": dv})'
)


@dataclass(frozen=True, slots=True)
class BentoModel:
    """The content of an exported model."""

    tag: str
    """BentoML's `name:version`."""
    libraries: dict[str, str]
    """Version of each library that the model was made with, by name."""
    model: bytes
    """The XGBoost model in UBJSON, as BentoML wrote it."""
    columns: tuple[str, ...]
    """The vectorizer's columns, in order."""
    by_wrapper: bool
    """Whether XGBoost's scikit-learn wrapper was saved (such as XGBClassifier), not a booster."""


def read_bentomodel(path: Path) -> BentoModel:
    """Reads an exported model in memory; nothing is written to disk, and no code in it is run.

    Args:
        path: a `.bentomodel` file.

    Raises:
        MisuseError: the file cannot be read, or the YAML library is not installed.
        BundleError: the file is not an export of an XGBoost model with a DictVectorizer, or has content that is not
            safe to read.
    """
    if find_spec("yaml") is None:
        raise MisuseError(f"reading a .bentomodel needs pyyaml: {install_command('bentoml')}")
    try:
        contents = _read_members(_decompress(path))
        info = _read_info(contents[_INFO_FILE])
        return BentoModel(
            tag=printable(f"{info.name}:{info.version}"),
            libraries=_name_libraries(info),
            model=contents[_MODEL_FILE],
            columns=_read_columns(contents[_OBJECTS_FILE]),
            by_wrapper=info.options.model_class != "Booster",
        )
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def draft_bundle(
    model: BentoModel,
    identity: tuple[str, str, datetime],
    policy: Policy,
    missing: float,
    rounds: Rounds | None = None,
    contract: Contract | None = None,
) -> Draft:
    """Drafts a bundle from an exported model, without metrics: BentoML does not store any.

    Args:
        model: the exported model.
        identity: the bundle's name, version and creation time (UTC).
        policy: the bundle's policy; with BentoML it is in the service's code, which is not exported.
        missing: the number that stood for unknown numbers in training; NaN leaves unknown numbers to the model.
        rounds: the rounds to use of a booster that was trained with early stopping.
        contract: the contract of the applications that the model is for; default: the shipped one.

    Returns:
        The draft; its labels name the origin and, if rounds were left out, the rounds that remain.

    Raises:
        BundleError: the vectorizer has a column that is not in the contract, or the model does not pass
            `scorer.author.boosters.check_booster`.
    """
    contract = contract or shipped_contract()
    try:
        FeatureEncoding(contract, model.columns, missing)
    except ValueError as error:
        fields = ", ".join(contract.inputs)
        raise BundleError(
            f"{model.tag}: the vectorizer has {printable(str(error), _NAME_CHARACTERS_MAX)}. The contract's fields are "
            f"{fields}, in lower case; a category's columns are field=value, with the values in schemas/generated: "
            "train the model on those"
        ) from None
    inputs = ModelInput(contract, Features(columns=model.columns, missing=None if isnan(missing) else missing))
    try:
        checked = check_booster(model.model, inputs, rounds, by_wrapper=model.by_wrapper)
    except RunnerMissingError:
        raise
    except BundleError as error:
        raise BundleError(f"{model.tag}: {error}") from error
    rounds_label = {"rounds": checked.note} if checked.note else {}
    name, version, created = identity
    return Draft(
        name=name,
        version=version,
        created=created,
        runner="xgboost",
        model=checked.model,
        inputs=inputs,
        policy=policy,
        metrics=None,
        training=None,
        libraries=model.libraries,
        labels={"imported from": f"BentoML, {model.tag}", **rounds_label},
    )


def _decompress(path: Path) -> bytes:
    """Returns the decompressed tar archive, limited in size, so that no header in it can exceed the limit."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MisuseError(f"{path}: cannot be read: {error.strerror}; is the path right?") from None
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DECODER_BYTES_MAX)
    try:
        archive = decoder.decompress(raw[:FILE_BYTES_MAX], max_length=FILE_BYTES_MAX + 1)
    except lzma.LZMAError:
        raise BundleError(
            "not a .bentomodel file, which is a tar archive compressed with xz: "
            "write one with `bentoml models export NAME:VERSION /PATH/TO/FILE.bentomodel`"
        ) from None
    if max(len(raw), len(archive)) > FILE_BYTES_MAX:
        raise BundleError(f"more than {FILE_BYTES_MAX} bytes")
    if not decoder.eof:
        raise BundleError("the file is truncated: export the model again")
    return archive


def _read_members(archive: bytes) -> Mapping[str, bytes]:
    """Returns the content of the three files; an archive with anything but regular files and folders is rejected."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                if count > _MEMBERS_MAX:
                    raise BundleError(f"the archive contains more than {_MEMBERS_MAX} files")
                parts = Path(member.name).parts
                is_plain = member.isdir() or (member.isreg() and not member.issparse())
                if not is_plain or member.name.startswith("/") or ".." in parts:
                    raise BundleError("the archive contains a link, a device or a path outside of it, which is unsafe")
                name = "/".join(parts)
                if name in contents:
                    raise BundleError(f"the archive contains {name} twice: which one is meant?")
                if name in (_INFO_FILE, _MODEL_FILE, _OBJECTS_FILE) and (content := tar.extractfile(member)):
                    contents[name] = content.read()
    except (tarfile.TarError, ValueError, OverflowError, RecursionError):  # invalid sizes, nested headers
        raise BundleError("the file is damaged: its content is not a tar archive") from None
    for name in (_INFO_FILE, _MODEL_FILE, _OBJECTS_FILE):
        if name not in contents:
            raise BundleError(
                f"{name} not found in the archive: not an XGBoost model with a DictVectorizer. {_SAVE_AGAIN}"
            )
    return contents


class _Options(BaseModel):
    model_class: str = "Booster"
    """BentoML before 1.0.7 supported only boosters and had no such option."""


class _Context(BaseModel):
    framework_versions: Annotated[dict[Word, Word], Field(max_length=8)]
    bentoml_version: Word
    python_version: Word


class _Info(BaseModel):
    """The entries of `model.yaml` that are used."""

    model_config = ConfigDict(strict=True)

    name: Word
    version: Word
    module: str
    options: _Options = _Options()
    context: _Context


def _read_info(raw: bytes) -> _Info:
    import yaml

    if len(raw) > _INFO_BYTES_MAX:
        raise BundleError(f"{_INFO_FILE} has more than {_INFO_BYTES_MAX} bytes")
    if raw.count(b"[") + raw.count(b"{") > _INFO_BRACKETS_MAX:
        raise BundleError(f"{_INFO_FILE} has more than {_INFO_BRACKETS_MAX} brackets; BentoML writes only a few")

    class PlainLoader(yaml.BaseLoader):
        """Loads strings, lists and dictionaries only.

        A few bytes of numbers, dates or merge keys can exhaust time or memory, and none of them is needed.
        """

        def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
            if node.tag not in _YAML_TAGS:
                raise yaml.YAMLError
            return super().construct_object(node, deep)

    try:
        info = _Info.model_validate(yaml.load(raw, PlainLoader))  # noqa: S506  (a safe loader)
    except ValidationError as error:
        why = describe_faults(error)
        raise BundleError(f"{_INFO_FILE} is not in the format of BentoML 1.0 to 1.4: {why}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BundleError(f"{_INFO_FILE} is not the plain YAML that BentoML writes") from None
    if info.module != _MODULE:
        raise BundleError(f"the model was not saved with {_MODULE}, the only supported module")
    return info


def _name_libraries(info: _Info) -> dict[str, str]:
    context = info.context
    return {"python": context.python_version, **context.framework_versions, "bentoml": context.bentoml_version}


def _read_columns(raw: bytes) -> tuple[str, ...]:
    """Returns the columns of the only DictVectorizer among the custom objects, in order."""
    try:
        objects = read_pickle(raw, (_VECTORIZER, *_DTYPES))
    except BundleError as error:
        raise BundleError(f"cannot read {_OBJECTS_FILE}: {error}. {_SAVE_AGAIN}") from None
    objects_by_name = objects if isinstance(objects, dict) else {}
    vectorizers = [item for item in objects_by_name.values() if isinstance(item, Pickled) and item.of == _VECTORIZER]
    if len(vectorizers) != 1:
        raise BundleError(f"{_OBJECTS_FILE} has {len(vectorizers)} vectorizers, expected one. {_SAVE_AGAIN}")
    state = vectorizers[0].state
    names = state.get("feature_names_")
    if not isinstance(names, list) or not names or not all(type(name) is str for name in names):
        raise BundleError("the vectorizer has no column names: was it fitted?")
    if state.get("vocabulary_") != {name: position for position, name in enumerate(names)}:
        raise BundleError("the vectorizer's vocabulary_ does not match its feature_names_")
    if state.get("separator") != "=":
        raise BundleError("the vectorizer's separator is not '=', which the contract's columns use: train with '='")
    if state.get("sparse") is not False:
        raise BundleError(
            "the vectorizer is sparse, so XGBoost reads a category that does not apply as a missing value, not as 0: "
            "train with DictVectorizer(sparse=False)"
        )
    return tuple(names)
