"""What turns a matrix into probabilities: one opener for each kind of model, ours and those that are installed."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.libraries import describe_failure, import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.onnx_runner import open_onnx
from scorer.bundle.pickles import refuse_pickle
from scorer.bundle.xgboost_runner import open_xgboost
from scorer.core.score import Model
from scorer.errors import BundleError, ModelError, RunnerMissingError

GROUP: Final = "scorer.runners"
"""The group of entry points under which an installed package offers a runner of its own."""

Opener = Callable[[bytes, Sequence[str], Mapping[str, Setting]], Model]
"""Opens a model, given its bytes, the matrix's columns and the manifest's settings.

Raises BundleError when it cannot; whatever else it raises is told as one.
"""

_OURS: Final[Mapping[str, Opener]] = {"xgboost": open_xgboost, "onnx": open_onnx}
_LIBRARIES: Final = {"xgboost": "xgboost", "onnx": "onnxruntime"}


class _Guarded:
    """A model that fails with ModelError and nothing else, whatever its library raises."""

    def __init__(self, runner: str, model: Model, columns: int) -> None:
        self._runner = runner
        self._model = model
        self._columns = columns

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default of each row: shape (n, columns) to (n,). Raises ModelError when it cannot."""
        if matrix.ndim != 2 or matrix.shape[1] != self._columns:
            raise ModelError(f"the matrix has shape {matrix.shape} and the model wants {self._columns} columns")
        try:
            return self._model.predict(matrix)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # model libraries have no exception in common
            # Its text stays out: it may hold an applicant's values.
            raise ModelError(f"the runner {self._runner} failed with {type(error).__name__}") from error


def open_model(
    runner: str, name: str, model: bytes, columns: Sequence[str], settings: Mapping[str, Setting] | None = None
) -> Model:
    """Opens a bundle's model.

    The model libraries trust what they read, and may crash on what is damaged: check the digest first.

    Args:
        runner: the name of the kind of model.
        name: the file's name.
        model: the file's bytes.
        columns: the columns that the matrix will have, in order.
        settings: what the manifest tells the runner beside.

    Raises:
        RunnerMissingError: the runner is not installed, or its library cannot be imported.
        BundleError: the model is a pickle or otherwise not the runner's format, or it was trained on other columns.
    """
    refuse_pickle(name, model)
    opener = _OURS[runner] if runner in _OURS else _load(_find(runner))
    try:
        opened = opener(model, columns, settings or {})
    except BundleError:
        raise
    except Exception as error:  # model libraries have no exception in common
        said = str(error).strip().partition("\n")[0]
        raise BundleError(f"the runner {runner} cannot open {name}: {type(error).__name__}: {said}") from error
    return _Guarded(runner, opened, len(columns))


def library_of(runner: str) -> dict[str, str]:
    """The library that a runner runs on, or the package that it comes from, with its version.

    Raises:
        RunnerMissingError: the runner is not installed, or its library cannot be imported.
    """
    if runner in _LIBRARIES:
        library = _LIBRARIES[runner]
        return {library: import_library(library).__version__}
    package = _find(runner).dist
    return {package.name: package.version} if package else {}


def _find(runner: str) -> EntryPoint:
    installed = entry_points(group=GROUP)
    found = [entry for entry in installed if entry.name == runner]
    if not found:
        names = ", ".join([*_OURS, *sorted({entry.name for entry in installed} - set(_OURS))])
        raise RunnerMissingError(
            f"there is no runner {runner!r} here: {names} is what there is. "
            f"Install the package that brings it (an entry point in the group {GROUP})"
        )
    if len(found) > 1:
        packages = " and ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in found))
        raise BundleError(f"the runner {runner!r} is brought by {packages}: uninstall all but one")
    return found[0]


def _load(entry: EntryPoint) -> Opener:
    try:
        opener: Opener = entry.load()
    except Exception as error:  # a broken installation raises anything
        package = entry.dist.name if entry.dist else entry.value
        raise RunnerMissingError(
            f"the runner {entry.name!r} cannot be imported: {describe_failure(error)}. Install its package {package} "
            "again, with all that it needs"
        ) from error
    return opener
