"""A model that was trained elsewhere, to a bundle: its file, or the model itself as a notebook has it."""

import re
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.text import TextFileError, strip_mark
from scorer.bundle.boosters import check_booster, read_booster
from scorer.bundle.build import Draft, build_bundle
from scorer.bundle.comparison import comparison_matrix
from scorer.bundle.describe import Description
from scorer.bundle.figures import measure
from scorer.bundle.manifest import FILE_BYTES_MAX, Features, Manifest, Metrics, Setting
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.runners import library_of, open_model
from scorer.bundle.sklearn_onnx import convert
from scorer.bundle.sklearn_steps import explain_unusable, is_classifier, unwrap
from scorer.bundle.xgboost_wrapper import is_wrapper, read_features, require_same_answers
from scorer.core.features import FeatureEncoding
from scorer.core.score import Model, checked_predict
from scorer.errors import BundleError, InputFileError, MisuseError, RunnerMissingError

if TYPE_CHECKING:
    from scorer.bundle.store import BundleStore
    from scorer.bundle.train import Examples

_RUNNERS: Final = {
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".model": "xgboost",
    ".bst": "xgboost",
    ".deprecated": "xgboost",
    ".onnx": "onnx",
}
"""By the file's ending; what a file of XGBoost's own endings holds is found out when it is read."""

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
    features: Features
    libraries: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def draft_model(
    model: object, description: Description, holdout: "Examples | None" = None, default_class: object = None
) -> Draft:
    """Makes a model the draft of a bundle, and measures it.

    Args:
        model: a fitted scikit-learn classifier or pipeline, which is converted to ONNX and compared with what comes of
            it; a classifier of XGBoost's scikit-learn wrapper, whose rounds and missing values are taken as it takes
            them; an XGBoost booster; an ONNX model (`onnx.ModelProto`); or the path of a model's file.
        description: everything else.
        holdout: labelled applications to measure it on, which it has not seen; without them there are no figures.
        default_class: which of a scikit-learn classifier's two classes stands for a loan that was not paid back; needed
            unless the classes are 0 and 1 (or false and true), where it is 1.

    Raises:
        MisuseError: the model cannot become a bundle's, a library is missing, or the file cannot be read.
        InputFileError: the held-out applications do not have both outcomes.
        BundleError: the model is a pickle, does not fit the description, cannot be converted, differs from what it was
            converted from, gives no probability of default, or rates those who paid as the likelier defaulters.
        ModelError: it fails on the golden examples or on the held-out applications.
    """
    given = _take(unwrap(model), description, holdout, default_class)
    features = given.features
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
        metrics=_measure(opened, features, description, holdout) if holdout else None,
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
    default_class: object = None,
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


def _take(model: object, description: Description, holdout: "Examples | None", default_class: object) -> _Given:
    """The model as it goes into the bundle, by what it is."""
    if isinstance(model, type):
        raise MisuseError(explain_unusable(model))
    if is_wrapper(model):
        given = _take_wrapper(model, description, holdout, default_class)
    elif is_classifier(model):
        given = _convert(model, description, holdout, default_class)
    elif default_class is not None:
        raise MisuseError(
            "default_class is for scikit-learn classifiers: leave it out. An XGBoost model gives the probability of "
            "the label 1; of an ONNX model, runner_settings names the column"
        )
    elif isinstance(model, Path):
        given = _read(model, description)
    elif hasattr(model, "save_raw"):  # an XGBoost booster; to ask for its class would load XGBoost for every model
        given = _check("model.ubj", read_booster(model), description, description.features)
    elif hasattr(model, "SerializeToString"):  # an onnx.ModelProto
        settings = dict(description.runner_settings)
        given = _Given("onnx", model.SerializeToString(), "model.onnx", settings, description.features)
    else:
        raise MisuseError(explain_unusable(model))
    if description.runner not in {None, given.runner}:
        raise MisuseError(
            f"the description's runner is {description.runner}, and this model is run by {given.runner}: leave runner "
            "out"
        )
    if description.rounds is not None and given.runner != "xgboost":
        raise MisuseError(f"rounds is for XGBoost models, and this one is run by {given.runner}: leave rounds out")
    return given


def _convert(model: object, description: Description, holdout: "Examples | None", default_class: object) -> _Given:
    """A scikit-learn classifier as ONNX, if the two agree."""
    features = description.features
    made = convert(model, features.columns, default_class, _matrix(features, holdout))
    if description.runner_settings and description.runner_settings != made.settings:
        raise MisuseError(
            "runner_settings of a scikit-learn classifier come of its conversion: leave runner_settings out"
        )
    return _Given("onnx", made.model, "model.onnx", made.settings, features, made.libraries, _label(model))


def _take_wrapper(model: Any, description: Description, holdout: "Examples | None", default_class: object) -> _Given:
    """A model of XGBoost's wrapper as its booster, if the two agree."""
    features = read_features(model, description.features, default_class)
    given = _check("model.ubj", read_booster(model.get_booster()), description, features, by_wrapper=True)
    opened = open_model(given.runner, given.file, given.content, features.columns)
    ours = checked_predict(opened, _matrix(features, holdout))
    require_same_answers(model, _matrix(description.features, holdout), ours, description.rounds)
    return replace(given, labels={**_label(model), **given.labels})


def _matrix(features: Features, holdout: "Examples | None") -> NDArray[np.float32]:
    """The rows on which a model is compared with what is made of it: made-up applications and the held-out ones."""
    made_up = comparison_matrix(features)
    if not holdout:
        return made_up
    encoding = FeatureEncoding(features.columns, features.missing_number)
    return np.concatenate([made_up, encoding.matrix(holdout.applications)])


def _label(model: object) -> dict[str, str]:
    return {"estimator": " ".join(repr(model).split())[:_LABEL_CHARACTERS_MAX]}


def _read(path: Path, description: Description) -> _Given:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MisuseError(f"{path}: cannot be read: {error.strerror}; is the path right?") from None
    except ValueError:
        raise MisuseError(f"{str(path)!r} has a NUL character, which no file's name has") from None
    if len(content) > FILE_BYTES_MAX:
        raise BundleError(f"{path} has more than {FILE_BYTES_MAX} bytes")
    refuse_pickle(str(path), content)
    try:
        content = strip_mark(content, str(path))  # of a model in JSON that went through an editor
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}") from None
    runner = description.runner or _RUNNERS.get(path.suffix.lower())
    if runner is None:
        raise MisuseError(
            f"{path}: which runner opens it? Its ending is none of {', '.join(_RUNNERS)}: name the runner in the "
            "description"
        )
    file_name = f"model{path.suffix}" if _is_suffix(path.suffix) else "model"
    if runner != "xgboost":
        return _Given(runner, content, file_name, dict(description.runner_settings), description.features)
    try:
        return _check(file_name, content, description, description.features)
    except RunnerMissingError:
        raise
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _check(
    file: str, content: bytes, description: Description, features: Features, *, by_wrapper: bool = False
) -> _Given:
    """An XGBoost model, if it may become a bundle's."""
    checked = check_booster(content, features, description.rounds, by_wrapper=by_wrapper)
    labels = {"rounds": checked.note} if checked.note else {}
    file = "model.ubj" if checked.is_rewritten else file
    return _Given("xgboost", checked.model, file, dict(description.runner_settings), features, labels=labels)


def _measure(model: Model, features: Features, description: Description, holdout: "Examples") -> Metrics:
    if find_spec("sklearn") is None:
        raise MisuseError("the figures need scikit-learn: pip install 'streaming-credit-scorer[sklearn]'")
    if len(np.unique(holdout.defaulted)) < 2:
        raise InputFileError("the figures need loans that were paid back and loans that were not: one kind is missing")
    encoding = FeatureEncoding(features.columns, features.missing_number)
    probabilities = checked_predict(model, encoding.matrix(holdout.applications))
    where = "the applications that were held out"
    metrics = measure(
        holdout.dataset, probabilities, holdout.defaulted, description.policy, description.holdout_about, where
    )
    if metrics.holdout.auc < _AUC_MIN:
        raise BundleError(
            f"the model rates those who paid back as likelier to default than those who did not (AUC "
            f"{metrics.holdout.auc:.3f}): does it give the probability of the other outcome? "
            "(ONNX: the setting column; scikit-learn: default_class; XGBoost: train with the label 1 for loans that "
            "were not paid back)"
        )
    return metrics
