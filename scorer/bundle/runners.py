"""Opens models: one runner per kind of model, built in or provided by an installed package."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.libraries import RUNNERS, describe_failure, import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.onnx_runner import open_onnx
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.xgboost_runner import XGBoostModel, open_xgboost
from scorer.core.score import Model
from scorer.core.trees import TreesTable
from scorer.errors import BundleError, ModelError, RunnerMissingError

Opener = Callable[[bytes, Sequence[str], Mapping[str, Setting]], Model]
"""Opens a model, given its bytes, the matrix's columns and the manifest's settings.

Raises BundleError if it cannot; any other exception is reported as a BundleError.
"""

_BUILT_IN: Final[Mapping[str, Opener]] = {"xgboost": open_xgboost, "onnx": open_onnx}
_LIBRARIES: Final = {"xgboost": "xgboost", "onnx": "onnxruntime"}


class GuardedModel:
    """A wrapper that raises ModelError, whatever the model's library raises."""

    def __init__(self, runner: str, model: Model, columns: int) -> None:
        self.runner = runner
        self._model = model
        self._columns = columns

    @property
    def can_explain(self) -> bool:
        """Whether the model's library computes contributions."""
        return isinstance(self._model, XGBoostModel)

    def trees(self) -> TreesTable | None:
        """Returns the model's trees for the compiled engine; None if it does not know such a model."""
        return self._model.trees() if isinstance(self._model, XGBoostModel) else None

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns each column's contribution to the log-odds of each row, shape (n, columns). Raises ModelError."""
        assert isinstance(self._model, XGBoostModel), "checked when the bundle was opened"
        try:
            return self._model.contributions(matrix)
        except MemoryError:
            raise
        except Exception as error:  # model libraries have no common base exception
            raise ModelError(f"the runner {self.runner} failed with {type(error).__name__}") from error

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the probability of default of each row: shape (n, columns) to (n,). Raises ModelError on failure."""
        if matrix.ndim != 2 or matrix.shape[1] != self._columns:
            raise ModelError(f"the matrix has shape {matrix.shape}, but the model expects {self._columns} columns")
        try:
            return self._model.predict(matrix)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # model libraries have no common base exception
            # Its text is left out, because it may contain an applicant's values.
            raise ModelError(f"the runner {self.runner} failed with {type(error).__name__}") from error


def open_model(
    runner: str,
    name: str,
    model: bytes,
    columns: Sequence[str],
    settings: Mapping[str, Setting] | None = None,
    categories: Mapping[str, Sequence[str]] | None = None,
) -> GuardedModel:
    """Opens a bundle's model.

    Model libraries trust their input and may crash on damaged files: verify the digest first.

    Args:
        runner: the runner's name.
        name: the file's name.
        model: the file's bytes.
        columns: the matrix's columns, in order.
        settings: the runner's settings in the manifest.
        categories: by column of category indexes, the category's values in order of their index; only XGBoost
            reads such columns.

    Raises:
        RunnerMissingError: the runner is not installed, or its library cannot be imported.
        BundleError: the model is a pickle, has another format than the runner's, or was trained on other columns or
            categories.
    """
    refuse_pickle(name, model)
    opener = _BUILT_IN[runner] if runner in _BUILT_IN else _load_opener(_find_entry_point(runner))
    if categories:
        require_reader_of_indexes(runner, categories)
        opener = partial(open_xgboost, categories=categories)
    try:
        opened_model = opener(model, columns, settings or {})
    except BundleError:
        raise
    except Exception as error:  # model libraries have no common base exception
        message = str(error).strip().partition("\n")[0]
        raise BundleError(f"the runner {runner} cannot open {name}: {type(error).__name__}: {message}") from error
    return GuardedModel(runner, opened_model, len(columns))


def require_reader_of_indexes(runner: str, categories: Iterable[str]) -> None:
    """Ensures that a runner tells categories' indexes from numbers.

    Args:
        runner: the runner's name.
        categories: the columns of indexes.

    Raises:
        BundleError: there are such columns, and the runner reads numbers only.
    """
    names = ", ".join(categories)
    if names and runner != "xgboost":
        raise BundleError(
            f"the runner {runner} would read the index of a category's value as a number, in {names}: give the model a "
            "column for each value, field=value"
        )


def library_of(runner: str) -> dict[str, str]:
    """Returns the library that a runner uses, or the package that provides it, with its version.

    Raises:
        RunnerMissingError: the runner is not installed, or its library cannot be imported.
    """
    if runner in _LIBRARIES:
        library = _LIBRARIES[runner]
        return {library: import_library(library).__version__}
    package = _find_entry_point(runner).dist
    return {package.name: package.version} if package else {}


def _find_entry_point(runner: str) -> EntryPoint:
    installed = entry_points(group=RUNNERS)
    matches = [entry for entry in installed if entry.name == runner]
    if not matches:
        names = ", ".join([*_BUILT_IN, *sorted({entry.name for entry in installed} - set(_BUILT_IN))])
        raise RunnerMissingError(
            f"runner {runner!r} not found (installed: {names}). "
            f"Install the package that provides it (entry point group {RUNNERS})"
        )
    if len(matches) > 1:
        packages = " and ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in matches))
        raise BundleError(f"the runner {runner!r} is provided by {packages}: uninstall all but one")
    return matches[0]


def _load_opener(entry: EntryPoint) -> Opener:
    try:
        opener: Opener = entry.load()
    except Exception as error:  # a broken installation raises anything
        package = entry.dist.name if entry.dist else entry.value
        raise RunnerMissingError(
            f"cannot import the runner {entry.name!r}: {describe_failure(error)}. Reinstall its package {package} "
            "with its dependencies"
        ) from error
    return opener
