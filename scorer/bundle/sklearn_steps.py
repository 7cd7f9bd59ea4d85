"""Looks through a scikit-learn model for what keeps it from becoming a bundle's, and says what to do about it."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from scorer.errors import MisuseError

_ON_THE_MATRIX: Final = "description.matrix(applications)"
_PARTS: Final = ("best_estimator_", "estimator", "estimators", "steps", "transformer_list", "transformers_")
"""Where scikit-learn's composed models have their parts: alone, or in a list of names with parts."""

_TAKE_OTHER_THINGS: Final = {
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
"""How the models of other libraries become ONNX, by library."""

_NEARLY_CONVERTED: Final = {
    "CalibratedClassifierCV": "put the steps before the classifier around it, make_pipeline(StandardScaler(), "
    "CalibratedClassifierCV(LogisticRegression())), and calibrate with method='sigmoid'",
    "VotingClassifier": "set flatten_transform=False, which changes no probability",
    "LinearDiscriminantAnalysis": "skl2onnx gives it other probabilities; LogisticRegression is as plain a model",
}
"""What makes skl2onnx convert a model exactly, or what to take in its place, by class."""


def is_classifier(model: object) -> bool:
    """Whether it predicts probabilities as scikit-learn's classifiers do."""
    return hasattr(model, "predict_proba") and hasattr(model, "get_params")


def unwrap(model: Any) -> Any:
    """The model in a fitted search (GridSearchCV) or in a pipeline that has no other step."""
    inner = getattr(model, "best_estimator_", None)
    if inner is None:
        steps = [step for _, step in _named(getattr(model, "steps", None)) if step not in (None, "passthrough")]
        inner = steps[0] if len(steps) == 1 else None
    return model if inner is None else unwrap(inner)


def explain_unusable(model: object) -> str:
    """Why something that predicts no probabilities cannot become a bundle's model, and what to give instead."""
    library = type(model).__module__.partition(".")[0]
    name = type(model).__name__
    if isinstance(model, type):
        return f"{model.__name__} is a class: give a fitted model, such as {model.__name__}().fit(matrix, labels)"
    if library in _TO_ONNX:
        return f"a {name} of {library} must become ONNX first: {_TO_ONNX[library]}"
    if getattr(model, "refit", None) is False:
        return (
            f"this {name} has refit=False, so it has no fitted model: set refit=True and fit it again, or give the "
            "estimator, fitted with its best_params_"
        )
    if hasattr(model, "get_params") and hasattr(model, "decision_function"):
        return (
            f"a {name} gives scores and no probabilities (it has no predict_proba): fit it within "
            "CalibratedClassifierCV and give that; of an SVC, probability=True does it too"
        )
    if hasattr(model, "get_params") and hasattr(model, "predict"):
        return (
            f"a {name} predicts no probabilities (it has no predict_proba): fit a classifier, such as "
            "LogisticRegression, with the label 1 for loans that were not paid back"
        )
    return (
        f"a {name} is not a model that a bundle can be made of: give a fitted scikit-learn classifier, an XGBoost "
        "model, an onnx.ModelProto or the pathlib.Path of a model's file"
    )


def require_convertible(model: Any) -> None:
    """Makes sure that no part of a model wants anything but a matrix of numbers, or another library's converter.

    Raises:
        MisuseError: one does; the message names it and says how to do without.
    """
    parts = [(type(part).__name__, type(part).__module__.partition(".")[0], part) for part in _parts(model)]
    for name, library, _ in parts:
        if library == "sklearn" and name in _TAKE_OTHER_THINGS:
            raise MisuseError(_without_vectorizer(model, name))
    for name, library, _ in parts:
        if library == "sklearn" and name in _WITH_THRESHOLD:
            raise MisuseError(
                f"the model's {name} has a threshold of its own, which no bundle takes along: give the classifier in "
                "it (estimator_), and set the thresholds of the policy, maybe_above and declined_above"
            )
    for name, _, part in parts:
        _require_column_numbers(name, part)
    for name, library, part in parts:
        if part is model and library in _TO_ONNX:
            raise MisuseError(explain_unusable(model))
        if library in {"xgboost", *_TO_ONNX}:
            raise MisuseError(
                f"the model has a {name} within, which skl2onnx cannot convert: fit the {name} alone on "
                f"{_ON_THE_MATRIX}, since trees need no scaling, and {_TO_ONNX.get(library, 'give that')}"
            )


def _require_column_numbers(name: str, part: Any) -> None:
    """Makes sure that a ColumnTransformer picks columns by their numbers."""
    picks = [columns for *_, columns in _entries(part, "transformers_")]
    if any(_is_mask(columns) for columns in picks):
        raise MisuseError(
            f"the model's {name} picks columns by a mask of true and false, or counts them from the end, which "
            "skl2onnx cannot convert: give the columns' numbers, numpy.flatnonzero(mask), and fit it again"
        )
    by_name = [column for columns in picks for column in _names(columns)]
    if by_name:
        raise MisuseError(
            f"the model's {name} picks columns by name ({', '.join(by_name[:3])}), and a bundle gives its "
            "model a matrix without names: give the columns' numbers, as in "
            f"description.features.columns.index('income'), and fit it on {_ON_THE_MATRIX}"
        )


def advise_conversion(model: Any) -> str:
    """What may make a model convertible, by the parts that it has; empty if nothing is known."""
    names = dict.fromkeys(type(part).__name__ for part in _parts(model))
    return "".join(f"{name}: {_NEARLY_CONVERTED[name]}. " for name in names if name in _NEARLY_CONVERTED)


def _without_vectorizer(model: Any, name: str) -> str:
    takes = _TAKE_OTHER_THINGS[name]
    if takes == "texts":
        return (
            f"the model has a {name}, which takes texts, and an application has none: fit the other steps on "
            f"{_ON_THE_MATRIX}"
        )
    first = next((step for _, step in _named(getattr(model, "steps", None))), None)
    if type(first).__name__ != "DictVectorizer":
        return (
            f"the model has a {name}, which takes {takes}, while a bundle gives its model a matrix: leave the {name} "
            f"out, and fit the rest on {_ON_THE_MATRIX}"
        )
    return (
        f"the model's first step is a {name}, which takes {takes}, while a bundle gives its model the matrix that a "
        f"{name} would make. Leave it out, without fitting again: give the other steps, add_model(pipeline[1:], …), "
        "and in the description columns=list(pipeline[0].get_feature_names_out()) instead of fields"
    )


def _parts(model: Any) -> Iterator[Any]:
    """A model and all that it is composed of."""
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
    """The parts of a list of (name, part, …), or of parts alone, as (name, part)."""
    if not isinstance(entries, list):
        return []
    return [(entry[0], entry[1]) if isinstance(entry, tuple) else ("", entry) for entry in entries]


def _entries(part: Any, attribute: str) -> list[tuple[Any, ...]]:
    value = getattr(part, attribute, None)
    return [entry for entry in value if isinstance(entry, tuple)] if isinstance(value, list) else []


def _is_mask(columns: Any) -> bool:
    """Whether a ColumnTransformer picks columns by true and false, or by numbers below zero."""
    chosen = np.asarray(columns)
    return chosen.dtype.kind == "b" or bool(chosen.dtype.kind == "i" and (chosen < 0).any())


def _names(columns: Any) -> list[str]:
    """The names among what a ColumnTransformer picks columns by."""
    if isinstance(columns, str):
        return [columns]
    return [column for column in columns if isinstance(column, str)] if hasattr(columns, "__iter__") else []
