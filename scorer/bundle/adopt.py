"""A model that was trained elsewhere, to a bundle: its file, or the model itself as a notebook has it."""

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from scorer.bundle.build import Draft, build_bundle
from scorer.bundle.describe import Description
from scorer.bundle.figures import measure
from scorer.bundle.golden import made_up_matrix
from scorer.bundle.manifest import FILE_BYTES_MAX, Manifest, Metrics, Setting
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.runners import library_of, open_model
from scorer.bundle.sklearn_onnx import convert, is_classifier
from scorer.core.features import FeatureEncoding
from scorer.core.score import Model, checked_predict
from scorer.errors import BundleError, InputFileError, MisuseError

if TYPE_CHECKING:
    from scorer.bundle.store import BundleStore
    from scorer.bundle.train import Examples

_RUNNERS: Final = {".ubj": "xgboost", ".json": "xgboost", ".onnx": "onnx"}  # by the file's ending
_LABEL_CHARACTERS_MAX: Final = 1_000  # as the manifest's
_AUC_MIN: Final = 0.5  # of a model that guesses
_is_suffix = re.compile(r"\.[A-Za-z0-9]{1,16}").fullmatch


@dataclass(frozen=True, slots=True)
class _Given:
    """A model as it goes into the bundle."""

    runner: str
    content: bytes
    file: str
    settings: dict[str, Setting]
    libraries: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def draft_model(
    model: object, description: Description, holdout: "Examples | None" = None, default_class: object = 1
) -> Draft:
    """Makes a model the draft of a bundle, and measures it.

    Args:
        model: a fitted scikit-learn classifier or pipeline, which is converted to ONNX and compared with what comes of
            it; an XGBoost booster; an ONNX model (`onnx.ModelProto`); or the path of a model's file.
        description: everything else.
        holdout: labelled applications to measure it on, which it has not seen; without them there are no figures.
        default_class: which of a scikit-learn classifier's two classes stands for a loan that was not paid back.

    Raises:
        MisuseError: it is no such model, a library is not here, or the file cannot be read.
        InputFileError: the held-out applications do not have both outcomes.
        BundleError: it is a pickle, does not fit the description, cannot be converted, differs from what it was
            converted from, or rates those who paid as the likelier defaulters.
        ModelError: it fails on the golden examples or on the held-out applications.
    """
    given = _convert(model, description, holdout, default_class) if is_classifier(model) else _take(model, description)
    features = description.features
    opened = open_model(given.runner, given.file, given.content, features.columns, given.settings)
    own = {"python": python_version(), "numpy": np.__version__, **library_of(given.runner)}
    return Draft(
        name=description.name,
        version=description.version,
        created=description.created,
        runner=given.runner,
        model=given.content,
        features=features,
        policy=description.policy,
        metrics=_measure(opened, description, holdout) if holdout else None,
        training=None,
        libraries={**own, **given.libraries, **description.libraries},
        labels={**given.labels, **description.labels},
        runner_settings=given.settings,
        model_file=given.file,
    )


def add_model(
    model: object,
    description: Description,
    store: "BundleStore",
    holdout: "Examples | None" = None,
    default_class: object = 1,
) -> tuple[Manifest, str]:
    """Makes a model a bundle and puts it into a store: whole, or not at all.

    Args:
        model: as `draft_model` takes it, and so the rest.
        description: everything about the bundle but its model.
        store: where it goes.
        holdout: labelled applications to measure it on.
        default_class: which class stands for a loan that was not paid back.

    Returns:
        The bundle's manifest, and where it is in the store: a path or a URL.

    Raises:
        BundleError: the store has this version already, or is out of reach.
        ScorerError: as `draft_model`.
    """
    store.require_new(description.name, description.version)
    draft = draft_model(model, description, holdout, default_class)
    with TemporaryDirectory() as folder:
        manifest = build_bundle(draft, Path(folder))
        return manifest, store.put(Path(folder))


def _convert(model: object, description: Description, holdout: "Examples | None", default_class: object) -> _Given:
    """A scikit-learn classifier as ONNX; the two agree on the golden examples and on what was held out."""
    features = description.features
    encoding = FeatureEncoding(features.columns, features.missing_number)
    matrix = made_up_matrix(encoding)
    if holdout:
        matrix = np.concatenate([matrix, encoding.matrix(holdout.applications)])
    made = convert(model, features.columns, default_class, matrix)
    labels = {"estimator": " ".join(repr(model).split())[:_LABEL_CHARACTERS_MAX]}
    return _Given("onnx", made.model, "model.onnx", made.settings, made.libraries, labels)


def _take(model: object, description: Description) -> _Given:
    settings = dict(description.runner_settings)
    if isinstance(model, Path):
        return _read(model, description, settings)
    if hasattr(model, "save_raw"):  # an XGBoost booster; to ask for its class would load XGBoost for every model
        return _Given("xgboost", bytes(model.save_raw("ubj")), "model.ubj", settings)
    if hasattr(model, "SerializeToString"):  # an onnx.ModelProto
        return _Given("onnx", model.SerializeToString(), "model.onnx", settings)
    raise MisuseError(
        f"a {type(model).__name__} is no model that a bundle can be made of: give a fitted scikit-learn classifier, "
        "an XGBoost booster, an onnx.ModelProto or the path of a model's file"
    )


def _read(path: Path, description: Description, settings: dict[str, Setting]) -> _Given:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MisuseError(f"{path}: cannot be read: {error.strerror}; is the path right?") from None
    if len(content) > FILE_BYTES_MAX:
        raise BundleError(f"{path} has more than {FILE_BYTES_MAX} bytes")
    refuse_pickle(str(path), content)
    runner = description.runner or _RUNNERS.get(path.suffix.lower())
    if runner is None:
        raise MisuseError(
            f"{path}: which runner opens it? Its ending is none of {', '.join(_RUNNERS)}: name the runner in the "
            "description"
        )
    return _Given(runner, content, f"model{path.suffix}" if _is_suffix(path.suffix) else "model", settings)


def _measure(model: Model, description: Description, holdout: "Examples") -> Metrics:
    if find_spec("sklearn") is None:
        raise MisuseError("the figures need scikit-learn: pip install 'streaming-credit-scorer[sklearn]'")
    if len(np.unique(holdout.defaulted)) < 2:
        raise InputFileError("the figures need loans that were paid back and loans that were not: one kind is missing")
    probabilities = checked_predict(model, description.matrix(holdout.applications))
    where = "the applications that were held out"
    metrics = measure(
        holdout.dataset, probabilities, holdout.defaulted, description.policy, description.holdout_about, where
    )
    if metrics.holdout.auc < _AUC_MIN:
        raise BundleError(
            f"the model rates those who paid back as likelier to default than those who did not (AUC "
            f"{metrics.holdout.auc:.3f}): does it give the probability of the other outcome? "
            "(ONNX: the setting column; scikit-learn: default_class)"
        )
    return metrics
