"""Checks a scikit-learn model for parts that a bundle does not support, and suggests alternatives."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from scorer.errors import MisuseError

_MATRIX: Final = "description.matrix(applications)"
_PARTS: Final = ("best_estimator_", "estimator", "estimators", "steps", "transformer_list", "transformers_")
"""Attributes in which scikit-learn's composite models keep their parts: one part, or a list of (name, part)."""

_INPUT_NOT_MATRIX: Final = {
    "DictVectorizer": "dictionaries",
    "FeatureHasher": "dictionaries",
    "CountVectorizer": "texts",
    "TfidfVectorizer": "texts",
    "HashingVectorizer": "texts",
}

_WITH_THRESHOLD: Final = ("TunedThresholdClassifierCV", "FixedThresholdClassifier")

_TO_ONNX: Final = {
    "lightgbm": "convert it with onnxmltools, as docs/runners.md shows",
    "catboost": "save it with save_model('model.onnx', format='onnx')",
}
"""How to convert the models of other libraries to ONNX, by library."""

_NEARLY_CONVERTED: Final = {
    "CalibratedClassifierCV": "put the steps before the classifier around it, make_pipeline(StandardScaler(), "
    "CalibratedClassifierCV(LogisticRegression())), and calibrate with method='sigmoid'",
    "VotingClassifier": "set flatten_transform=False, which changes no probability",
    "LinearDiscriminantAnalysis": "skl2onnx gives it other probabilities; LogisticRegression is a similar model",
}
"""How to make skl2onnx convert a model exactly, or an alternative to it, by class."""


def is_classifier(model: object) -> bool:
    """Returns whether a model predicts probabilities like scikit-learn's classifiers."""
    return hasattr(model, "predict_proba") and hasattr(model, "get_params")


def unwrap(model: Any) -> Any:
    """Returns the model in a fitted search (GridSearchCV) or in a pipeline without other steps."""
    inner = getattr(model, "best_estimator_", None)
    if inner is None:
        steps = [step for _, step in _named(getattr(model, "steps", None)) if step not in (None, "passthrough")]
        inner = steps[0] if len(steps) == 1 else None
    return model if inner is None else unwrap(inner)


def explain_unusable(model: object) -> str:
    """Explains why an object without predicted probabilities cannot be a bundle's model, and what to pass instead."""
    library = type(model).__module__.partition(".")[0]
    name = type(model).__name__
    if isinstance(model, type):
        return f"{model.__name__} is a class: pass a fitted model, such as {model.__name__}().fit(matrix, labels)"
    if library in _TO_ONNX:
        return f"a {name} of {library} must be converted to ONNX first: {_TO_ONNX[library]}"
    if getattr(model, "refit", None) is False:
        return (
            f"this {name} has refit=False, so it has no fitted model: set refit=True and fit it again, or pass the "
            "estimator, fitted with best_params_"
        )
    if hasattr(model, "get_params") and hasattr(model, "decision_function"):
        return (
            f"a {name} outputs scores, not probabilities (it has no predict_proba): wrap it in "
            "CalibratedClassifierCV, fit that and pass it; for an SVC, probability=True works too"
        )
    if hasattr(model, "get_params") and hasattr(model, "predict"):
        return (
            f"a {name} does not predict probabilities (it has no predict_proba): fit a classifier, such as "
            "LogisticRegression, with the label 1 for loans that were not paid back"
        )
    return (
        f"a {name} is not a model that a bundle can be made from: pass a fitted scikit-learn classifier, an XGBoost "
        "model, an onnx.ModelProto or the pathlib.Path of a model file"
    )


def require_convertible(model: Any) -> None:
    """Ensures that no part of a model needs other input than a matrix of numbers, or another library's converter.

    Raises:
        MisuseError: a part does; the message names it and an alternative.
    """
    parts = [(type(part).__name__, type(part).__module__.partition(".")[0], part) for part in _parts(model)]
    for name, library, _ in parts:
        if library == "sklearn" and name in _INPUT_NOT_MATRIX:
            raise MisuseError(_advise_without_vectorizer(model, name))
    for name, library, _ in parts:
        if library == "sklearn" and name in _WITH_THRESHOLD:
            raise MisuseError(
                f"the model's {name} has a threshold of its own, which a bundle does not store: pass the classifier "
                "in it (estimator_), and set the thresholds of the policy, maybe_above and declined_above"
            )
    for name, _, part in parts:
        _require_column_indices(name, part)
    for name, library, part in parts:
        if part is model and library in _TO_ONNX:
            raise MisuseError(explain_unusable(model))
        if library in {"xgboost", *_TO_ONNX}:
            raise MisuseError(
                f"the model contains a {name}, which skl2onnx cannot convert: fit the {name} alone on "
                f"{_MATRIX}, because trees need no scaling, and {_TO_ONNX.get(library, 'pass that')}"
            )


def _require_column_indices(name: str, part: Any) -> None:
    """Ensures that a ColumnTransformer selects columns by index."""
    selections = [columns for *_, columns in _entries(part, "transformers_")]
    if any(_is_mask(columns) for columns in selections):
        raise MisuseError(
            f"the model's {name} selects columns by a boolean mask or by negative indices, which skl2onnx cannot "
            "convert: pass the columns' indices, numpy.flatnonzero(mask), and fit it again"
        )
    by_name = [column for columns in selections for column in _names(columns)]
    if by_name:
        raise MisuseError(
            f"the model's {name} selects columns by name ({', '.join(by_name[:3])}), but a bundle's matrix has no "
            "column names: pass the columns' indices, for example description.features.columns.index('income'), and "
            f"fit it on {_MATRIX}"
        )


def advise_conversion(model: Any) -> str:
    """Returns advice on how to make a model convertible, according to its parts; empty if there is none."""
    names = dict.fromkeys(type(part).__name__ for part in _parts(model))
    return "".join(f"{name}: {_NEARLY_CONVERTED[name]}. " for name in names if name in _NEARLY_CONVERTED)


def _advise_without_vectorizer(model: Any, name: str) -> str:
    input_kind = _INPUT_NOT_MATRIX[name]
    if input_kind == "texts":
        return (
            f"the model has a {name}, which takes texts, but an application has none: fit the other steps on {_MATRIX}"
        )
    first = next((step for _, step in _named(getattr(model, "steps", None))), None)
    if type(first).__name__ != "DictVectorizer":
        return (
            f"the model has a {name}, which takes {input_kind}, but a bundle passes a matrix: leave the {name} out, "
            f"and fit the rest on {_MATRIX}"
        )
    return (
        f"the model's first step is a {name}, which takes {input_kind}, but a bundle passes the matrix that a {name} "
        "would return. Leave it out, without fitting again: pass the other steps, add_model(pipeline[1:], …), and in "
        "the description set columns=list(pipeline[0].get_feature_names_out()) instead of fields"
    )


def _parts(model: Any) -> Iterator[Any]:
    """Yields a model and all its parts, recursively."""
    pending, seen = [model], set()
    while pending:
        part = pending.pop()
        if id(part) in seen or isinstance(part, str | type(None)):
            continue
        seen.add(id(part))
        yield part
        for attribute in _PARTS:
            value = getattr(part, attribute, None)
            pending += [step for _, step in _named(value)] if isinstance(value, list) else [value]


def _named(entries: Any) -> list[tuple[Any, Any]]:
    """Converts a list of (name, part, …), or of parts alone, to a list of (name, part)."""
    if not isinstance(entries, list):
        return []
    return [(entry[0], entry[1]) if isinstance(entry, tuple) else ("", entry) for entry in entries]


def _entries(part: Any, attribute: str) -> list[tuple[Any, ...]]:
    value = getattr(part, attribute, None)
    return [entry for entry in value if isinstance(entry, tuple)] if isinstance(value, list) else []


def _is_mask(columns: Any) -> bool:
    """Returns whether a ColumnTransformer's column selection is a boolean mask or has negative indices."""
    selection = np.asarray(columns)
    return selection.dtype.kind == "b" or bool(selection.dtype.kind == "i" and (selection < 0).any())


def _names(columns: Any) -> list[str]:
    """Returns the names in a ColumnTransformer's column selection."""
    if isinstance(columns, str):
        return [columns]
    return [column for column in columns if isinstance(column, str)] if hasattr(columns, "__iter__") else []
