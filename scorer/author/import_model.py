"""Makes a bundle from a model that was trained elsewhere: from a model file, or from a model object in a notebook."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.fault_words import describe_faults
from schemas.text import TextFileError, strip_mark
from scorer.author.boosters import check_booster, read_booster
from scorer.author.build import Draft, build_bundle
from scorer.author.comparison import comparison_matrix
from scorer.author.describe import Description
from scorer.author.draft_reasons import choose_reasons
from scorer.author.figures import measure
from scorer.author.model_input import ModelInput
from scorer.author.sklearn_onnx import convert
from scorer.author.sklearn_steps import explain_unusable, is_classifier, unwrap
from scorer.author.xgboost_wrapper import is_wrapper, read_input, require_same_answers
from scorer.bundle.manifest import FILE_BYTES_MAX, SENTENCE_CHARACTERS_MAX, Manifest, Metrics, Setting
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.runners import library_of, open_model, require_reader_of_indexes
from scorer.core.decide import Decider
from scorer.core.score import Model, checked_predict
from scorer.errors import BundleError, InputFileError, MisuseError, RunnerMissingError
from scorer.extras import install_command

if TYPE_CHECKING:
    from scorer.author.train import Examples
    from scorer.store.store import BundleStore

_RUNNERS: Final = {
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".model": "xgboost",
    ".bst": "xgboost",
    ".deprecated": "xgboost",
    ".onnx": "onnx",
}
"""Runner by file extension. The format of a file with one of XGBoost's extensions is detected when it is read."""

_AUC_MIN: Final = 0.5  # the AUC of random guessing
_is_suffix = re.compile(r"\.[A-Za-z0-9]{1,16}").fullmatch


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A model in the form in which it is stored in the bundle."""

    runner: str
    content: bytes
    file: str
    settings: dict[str, Setting]
    inputs: ModelInput
    libraries: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def draft_model(
    model: object, description: Description, holdout: "Examples | None" = None, default_class: object = None
) -> Draft:
    """Drafts a bundle from a model and evaluates the model on the held-out applications.

    Args:
        model: a fitted scikit-learn classifier or pipeline, which is converted to ONNX and compared with the converted
            model; a classifier of XGBoost's scikit-learn wrapper, with the rounds and missing values that the wrapper
            uses; an XGBoost booster; an ONNX model (`onnx.ModelProto`); or the path of a model file.
        description: everything about the bundle except its model.
        holdout: labelled applications for evaluation, not used in training; without them the bundle has no metrics.
        default_class: the class of a scikit-learn classifier that means "not paid back"; required unless the two
            classes are 0 and 1 (or false and true), where it is 1.

    Raises:
        MisuseError: the model is of an unsupported kind, a library is missing, or the file cannot be read.
        InputFileError: the held-out applications do not have both outcomes.
        BundleError: the model is a pickle, does not match the description, cannot be converted, differs from its
            converted form, does not output a probability of default, or gives applicants who paid back the higher one.
        ModelError: the model fails on the golden examples or on the held-out applications.
    """
    prepared = _prepare(unwrap(model), description, holdout, default_class)
    inputs = prepared.inputs
    opened_model = open_model(
        prepared.runner,
        prepared.file,
        prepared.content,
        inputs.columns,
        prepared.settings,
        inputs.encoding.categories,
    )
    own_libraries = {"python": python_version(), "numpy": np.__version__, **library_of(prepared.runner)}
    return Draft(
        name=description.name,
        version=description.version,
        created=description.created,
        runner=prepared.runner,
        model=prepared.content,
        inputs=inputs,
        policy=description.policy,
        metrics=_measure(opened_model, inputs, description, holdout) if holdout else None,
        training=None,
        libraries={**own_libraries, **prepared.libraries, **description.libraries},
        labels={**prepared.labels, **description.labels},
        runner_settings=prepared.settings,
        model_file=prepared.file,
        reasons=choose_reasons(description.reasons, inputs, opened_model),
    )


def add_model(
    model: object,
    description: Description,
    store: "BundleStore",
    holdout: "Examples | None" = None,
    default_class: object = None,
    passed: Callable[[str], None] = lambda _: None,
) -> tuple[Manifest, str]:
    """Makes a bundle from a model and adds it to a store atomically.

    Args:
        model: as in `draft_model`, like the other arguments.
        description: everything about the bundle except its model.
        store: the store to add the bundle to.
        holdout: labelled applications for evaluation.
        default_class: the class that means "not paid back".
        passed: called with a line of text on how decisions are explained.

    Returns:
        The bundle's manifest, and its location in the store: a path or a URL.

    Raises:
        BundleError: the store already has this version, or cannot be reached.
        ScorerError: as in `draft_model`.
    """
    store.require_new(description.name, description.version)
    draft = draft_model(model, description, holdout, default_class)
    with TemporaryDirectory() as folder:
        try:
            manifest = build_bundle(draft, Path(folder), passed)
        except ValidationError as error:  # a copy of a description is not validated
            raise MisuseError(f"the description is invalid: {describe_faults(error)}") from None
        return manifest, store.put(Path(folder))


def _prepare(model: object, description: Description, holdout: "Examples | None", default_class: object) -> _Prepared:
    """Prepares a model for the bundle, according to its kind."""
    if isinstance(model, type):
        raise MisuseError(explain_unusable(model))
    if is_wrapper(model):
        prepared = _prepare_wrapper(model, description, holdout, default_class)
    elif is_classifier(model):
        prepared = _prepare_sklearn(model, description, holdout, default_class)
    elif default_class is not None:
        raise MisuseError(
            "default_class is for scikit-learn classifiers only: leave it out. An XGBoost model outputs the "
            "probability of the label 1; for an ONNX model, name the output column in runner_settings"
        )
    elif isinstance(model, Path):
        prepared = _prepare_file(model, description)
    elif hasattr(model, "save_raw"):  # an XGBoost booster; isinstance would import XGBoost for every model
        prepared = _prepare_xgboost("model.ubj", read_booster(model), description, description.inputs)
    elif hasattr(model, "SerializeToString"):  # an onnx.ModelProto
        settings = dict(description.runner_settings)
        prepared = _Prepared("onnx", model.SerializeToString(), "model.onnx", settings, description.inputs)
    else:
        raise MisuseError(explain_unusable(model))
    if description.runner not in {None, prepared.runner}:
        raise MisuseError(
            f"the description's runner is {description.runner}, but this model needs the runner {prepared.runner}: "
            "leave runner out"
        )
    if description.rounds is not None and prepared.runner != "xgboost":
        raise MisuseError(
            f"rounds is for XGBoost models only, but this model needs the runner {prepared.runner}: leave rounds out"
        )
    return prepared


def _prepare_sklearn(
    model: object, description: Description, holdout: "Examples | None", default_class: object
) -> _Prepared:
    """Converts a scikit-learn classifier to ONNX; both must give the same predictions."""
    inputs = description.inputs
    require_reader_of_indexes("onnx", inputs.encoding.categories)
    onnx_model = convert(model, inputs.columns, default_class, _comparison_rows(inputs, holdout))
    if description.runner_settings and description.runner_settings != onnx_model.settings:
        raise MisuseError(
            "runner_settings are set by the conversion of a scikit-learn classifier: leave runner_settings out"
        )
    return _Prepared(
        "onnx",
        onnx_model.model,
        "model.onnx",
        onnx_model.settings,
        inputs,
        onnx_model.libraries,
        _estimator_label(model),
    )


def _prepare_wrapper(
    model: Any, description: Description, holdout: "Examples | None", default_class: object
) -> _Prepared:
    """Takes the booster of XGBoost's scikit-learn wrapper; both must give the same predictions."""
    inputs = read_input(model, description.inputs, default_class)
    prepared = _prepare_xgboost("model.ubj", read_booster(model.get_booster()), description, inputs, by_wrapper=True)
    opened_model = open_model(prepared.runner, prepared.file, prepared.content, inputs.columns)
    booster_predictions = checked_predict(opened_model, _comparison_rows(inputs, holdout))
    require_same_answers(model, _comparison_rows(description.inputs, holdout), booster_predictions, description.rounds)
    return replace(prepared, labels={**_estimator_label(model), **prepared.labels})


def _comparison_rows(inputs: ModelInput, holdout: "Examples | None") -> NDArray[np.float32]:
    """Returns the rows on which a model is compared with its converted form: synthetic and held-out applications."""
    synthetic = comparison_matrix(inputs)
    if not holdout:
        return synthetic
    encoding = inputs.encoding
    return np.concatenate([synthetic, encoding.matrix(holdout.applications)])


def _estimator_label(model: object) -> dict[str, str]:
    return {"estimator": " ".join(repr(model).split())[:SENTENCE_CHARACTERS_MAX]}


def _prepare_file(path: Path, description: Description) -> _Prepared:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MisuseError(f"{path}: cannot be read: {error.strerror}; is the path right?") from None
    except ValueError:
        raise MisuseError(f"{str(path)!r} has a NUL character, which a file name cannot have") from None
    if len(content) > FILE_BYTES_MAX:
        raise BundleError(f"{path} is larger than the maximum of {FILE_BYTES_MAX} bytes")
    refuse_pickle(str(path), content)
    try:
        content = strip_mark(content, str(path))  # an editor may add a byte-order mark to a model in JSON
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}") from None
    runner = description.runner or _RUNNERS.get(path.suffix.lower())
    if runner is None:
        raise MisuseError(
            f"{path}: which runner opens it? Its extension is not one of {', '.join(_RUNNERS)}: name the runner in the "
            "description"
        )
    file_name = f"model{path.suffix}" if _is_suffix(path.suffix) else "model"
    if runner != "xgboost":
        return _Prepared(runner, content, file_name, dict(description.runner_settings), description.inputs)
    try:
        return _prepare_xgboost(file_name, content, description, description.inputs)
    except RunnerMissingError:
        raise
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _prepare_xgboost(
    file: str, content: bytes, description: Description, inputs: ModelInput, *, by_wrapper: bool = False
) -> _Prepared:
    """Prepares an XGBoost model that passes the checks for a bundle."""
    checked = check_booster(content, inputs, description.rounds, by_wrapper=by_wrapper)
    labels = {"rounds": checked.note} if checked.note else {}
    file = "model.ubj" if checked.is_rewritten else file
    return _Prepared("xgboost", checked.model, file, dict(description.runner_settings), inputs, labels=labels)


def _measure(model: Model, inputs: ModelInput, description: Description, holdout: "Examples") -> Metrics:
    if find_spec("sklearn") is None:
        raise MisuseError(f"evaluating a model needs scikit-learn: {install_command('sklearn')}")
    if len(np.unique(holdout.defaulted)) < 2:
        raise InputFileError(
            "the held-out data has only one outcome: metrics need loans that were paid back and loans that were not"
        )
    encoding = inputs.encoding
    probabilities = checked_predict(model, encoding.matrix(holdout.applications))
    phrase = "the applications that were held out"
    decided = Decider(description.policy, inputs.contract).decide(probabilities, holdout.applications.values)
    metrics = measure(
        holdout.dataset, probabilities, holdout.defaulted, decided.labels, description.holdout_about, phrase
    )
    if metrics.holdout.auc < _AUC_MIN:
        raise BundleError(
            f"the model predicts a higher probability of default for loans that were paid back than for those that "
            f"were not (AUC {metrics.holdout.auc:.3f}): does it output the probability of the other class? "
            "(ONNX: the setting column; scikit-learn: default_class; XGBoost: train with the label 1 for loans that "
            "were not paid back)"
        )
    return metrics
