"""A `.bentomodel` that BentoML exported, read without running anything of it, to the draft of a bundle.

What BentoML 1.0 to 1.4 write for `bentoml.xgboost.save_model(…, custom_objects={"dictVectorizer": dv})` followed by
`bentoml models export`: a tar archive compressed with xz, in it `model.yaml`, XGBoost's own `saved_model.ubj`, and
`custom_objects.pkl`, a pickle, of which `scorer.bundle.pickled` reads the DictVectorizer and nothing else.
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

from schemas.printable import printable
from scorer.bundle.boosters import Rounds, check_booster
from scorer.bundle.build import Draft
from scorer.bundle.manifest import FILE_BYTES_MAX, Features, Word, explain
from scorer.bundle.pickled import ClassName, Pickled, read_pickle
from scorer.core.features import CATEGORIES, NUMBERS, FeatureEncoding
from scorer.core.policy import Policy
from scorer.errors import BundleError, MisuseError, RunnerMissingError

_INFO_FILE: Final = "model.yaml"
_MODEL_FILE: Final = "saved_model.ubj"
_OBJECTS_FILE: Final = "custom_objects.pkl"
_MEMBERS_MAX: Final = 100  # three are needed; BentoML adds what the model's author left in its folder
# Twenty times what BentoML writes. What reads YAML takes a second for ten times that, and much longer where brackets
# are nested: each one costs as much as there are open ones.
_INFO_BYTES_MAX: Final = 1 << 15
_INFO_BRACKETS_MAX: Final = 1_000
_YAML_TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_NAME_CHARACTERS_MAX: Final = 300  # of a column, in a message
_DECODER_BYTES_MAX: Final = 100 << 20  # xz's strongest preset takes 65 MB

_MODULE: Final = "bentoml.xgboost"
_VECTORIZER: Final = ClassName("sklearn.feature_extraction._dict_vectorizer", "DictVectorizer")
# The vectorizer's dtype. XGBoost and we compute in 32 bits; an integer type would cut numbers off, so it is not here.
_DTYPES: Final = (ClassName("numpy", "float64"), ClassName("numpy", "float32"))
_SAVE_AGAIN: Final = (
    "Save the model again with the DictVectorizer as its only custom object: "
    'bentoml.xgboost.save_model(name, booster, custom_objects={"dictVectorizer": dv})'
)


@dataclass(frozen=True, slots=True)
class BentoModel:
    """What an exported model holds."""

    tag: str
    """BentoML's `name:version`."""
    libraries: dict[str, str]
    """By name, the version that it was made with."""
    model: bytes
    """XGBoost's, in UBJSON, as BentoML wrote it."""
    columns: tuple[str, ...]
    """The vectorizer's, in order."""
    by_wrapper: bool
    """Whether it was XGBoost's scikit-learn wrapper that was saved, such as XGBClassifier, and not a booster."""


def read_bentomodel(path: Path) -> BentoModel:
    """Reads an exported model; it is held in memory, and nothing of it is written or run.

    Args:
        path: a `.bentomodel` file.

    Raises:
        MisuseError: there is no such file, or the library that reads `model.yaml` is not here.
        BundleError: the file is not an export of an XGBoost model with a DictVectorizer, or holds what is not safe to
            read.
    """
    if find_spec("yaml") is None:
        raise MisuseError("reading a .bentomodel needs pyyaml: pip install 'streaming-credit-scorer[bentoml]'")
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
    found: BentoModel,
    identity: tuple[str, str, datetime],
    policy: Policy,
    missing: float,
    rounds: Rounds | None = None,
) -> Draft:
    """Makes it the draft of a bundle, without figures: BentoML keeps none.

    Args:
        found: the exported model.
        identity: the bundle's name, version and time of making (UTC).
        policy: what the bundle decides by; BentoML has it in the service's code, which is not in the export.
        missing: what stood for an unknown number when the model was trained; NaN leaves it to the model.
        rounds: which rounds of a booster decide that was trained with early stopping.

    Returns:
        The draft; labels say where it came from and, if some were left out, which rounds it has.

    Raises:
        BundleError: the vectorizer has a column that the contract does not give, or the model may not become a bundle's
            (`scorer.bundle.boosters.check_booster`).
    """
    try:
        FeatureEncoding(found.columns, missing)
    except ValueError as error:
        fields = ", ".join((*CATEGORIES, *NUMBERS))
        raise BundleError(
            f"{found.tag}: the vectorizer has {printable(str(error), _NAME_CHARACTERS_MAX)}. The contract's fields are "
            f"{fields}, in lower case, a category as field=value with the values that schemas/generated names: train "
            "the model on those"
        ) from None
    features = Features(columns=found.columns, missing=None if isnan(missing) else missing)
    try:
        checked = check_booster(found.model, features, rounds, by_wrapper=found.by_wrapper)
    except RunnerMissingError:
        raise
    except BundleError as error:
        raise BundleError(f"{found.tag}: {error}") from error
    rounds_label = {"rounds": checked.note} if checked.note else {}
    name, version, created = identity
    return Draft(
        name=name,
        version=version,
        created=created,
        runner="xgboost",
        model=checked.model,
        features=features,
        policy=policy,
        metrics=None,
        training=None,
        libraries=found.libraries,
        labels={"imported from": f"BentoML, {found.tag}", **rounds_label},
    )


def _decompress(path: Path) -> bytes:
    """The tar archive in the file, whole and within the limits, so that no header in it can claim more."""
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
            "is no .bentomodel, which is a tar archive compressed with xz: "
            "write one with `bentoml models export NAME:VERSION /PATH/TO/FILE.bentomodel`"
        ) from None
    if max(len(raw), len(archive)) > FILE_BYTES_MAX:
        raise BundleError(f"has more than {FILE_BYTES_MAX} bytes")
    if not decoder.eof:
        raise BundleError("is cut off: export it again")
    return archive


def _read_members(archive: bytes) -> Mapping[str, bytes]:
    """The bytes of the three files, once it is sure that the archive holds nothing but plain files in folders."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                if count > _MEMBERS_MAX:
                    raise BundleError(f"holds more than {_MEMBERS_MAX} files")
                parts = Path(member.name).parts
                plain = member.isdir() or (member.isreg() and not member.issparse())
                if not plain or member.name.startswith("/") or ".." in parts:
                    raise BundleError("holds a link, a device or a path that leads out of it: it is not read further")
                name = "/".join(parts)
                if name in found:
                    raise BundleError(f"holds {name} twice: which one is meant?")
                if name in (_INFO_FILE, _MODEL_FILE, _OBJECTS_FILE) and (content := tar.extractfile(member)):
                    found[name] = content.read()
    except (tarfile.TarError, ValueError, OverflowError, RecursionError):  # of sizes and headers within headers
        raise BundleError("is damaged: what is compressed in it is no tar archive") from None
    for name in (_INFO_FILE, _MODEL_FILE, _OBJECTS_FILE):
        if name not in found:
            raise BundleError(f"holds no {name}, as an XGBoost model with a DictVectorizer does. {_SAVE_AGAIN}")
    return found


class _Options(BaseModel):
    model_class: str = "Booster"
    """Before BentoML 1.0.7 there was no other, and no such option."""


class _Context(BaseModel):
    framework_versions: Annotated[dict[Word, Word], Field(max_length=8)]
    bentoml_version: Word
    python_version: Word


class _Info(BaseModel):
    """What is of use in `model.yaml`."""

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
        raise BundleError(f"{_INFO_FILE} has more than {_INFO_BRACKETS_MAX} brackets, which is not what BentoML writes")

    class PlainLoader(yaml.BaseLoader):
        """Makes texts, lists and dictionaries alone.

        Numbers, dates and merge keys are where a few bytes take all time or memory, and nothing here needs them.
        """

        def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
            if node.tag not in _YAML_TAGS:
                raise yaml.YAMLError
            return super().construct_object(node, deep)

    try:
        info = _Info.model_validate(yaml.load(raw, PlainLoader))  # noqa: S506  (a safe loader)
    except ValidationError as error:
        raise BundleError(f"{_INFO_FILE} is not what BentoML 1.0 to 1.4 write: {explain(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BundleError(f"{_INFO_FILE} is not the plain YAML that BentoML writes") from None
    if info.module != _MODULE:
        raise BundleError(f"was saved with another module than {_MODULE}, which alone is read here")
    return info


def _name_libraries(info: _Info) -> dict[str, str]:
    context = info.context
    return {"python": context.python_version, **context.framework_versions, "bentoml": context.bentoml_version}


def _read_columns(raw: bytes) -> tuple[str, ...]:
    """The columns that the one DictVectorizer among the custom objects gives, in order."""
    try:
        objects = read_pickle(raw, (_VECTORIZER, *_DTYPES))
    except BundleError as error:
        raise BundleError(f"{_OBJECTS_FILE} is not read: {error}. {_SAVE_AGAIN}") from None
    named = objects if isinstance(objects, dict) else {}
    vectorizers = [found for found in named.values() if isinstance(found, Pickled) and found.of == _VECTORIZER]
    if len(vectorizers) != 1:
        raise BundleError(f"{_OBJECTS_FILE} has {len(vectorizers)} vectorizers, and one is needed. {_SAVE_AGAIN}")
    state = vectorizers[0].state
    names = state.get("feature_names_")
    if not isinstance(names, list) or not names or not all(type(name) is str for name in names):
        raise BundleError("the vectorizer names no columns: was it fitted?")
    if state.get("vocabulary_") != {name: place for place, name in enumerate(names)}:
        raise BundleError("the vectorizer puts values into other columns than it names")
    if state.get("separator") != "=":
        raise BundleError("the vectorizer's separator is not '=', as the contract's columns have it: train with it")
    if state.get("sparse") is not False:
        raise BundleError(
            "the vectorizer is sparse, with which XGBoost takes a category that does not apply for a missing value, "
            "not for 0: train with DictVectorizer(sparse=False)"
        )
    return tuple(names)
