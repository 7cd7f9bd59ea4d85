"""Imports the libraries that models run on, and says why one cannot be imported."""

import sys
from importlib import import_module
from typing import Any, Final

from scorer.errors import RunnerMissingError

_INSTALL: Final = {
    "xgboost": "pip install --force-reinstall 'xgboost-cpu==3.2.*' (on macOS xgboost)",
    "onnxruntime": "pip install --force-reinstall 'streaming-credit-scorer[onnx]'",
}
"""How to install a library again, by module; the others come with the extra `sklearn`."""

_CAUSE_CHARACTERS_MAX: Final = 600
_OPENMP: Final = ("libgomp", "libomp", "vcomp140")


def import_library(module: str) -> Any:
    """Imports a library that a model needs.

    Args:
        module: its name in Python, such as `xgboost`.

    Returns:
        The module.

    Raises:
        RunnerMissingError: the import failed: the library is not installed, its installation is broken, or Python runs
            in a mode in which it cannot work. The message has the cause and the fix.
    """
    try:
        return import_module(module)
    except Exception as error:  # a broken installation raises anything: ImportError, OSError, AttributeError, …
        raise RunnerMissingError(
            f"{module} cannot be imported: {describe_failure(error)}. {_advise(module, error)}"
        ) from error


def describe_failure(error: BaseException) -> str:
    """The type and the text of a library's exception, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_CAUSE_CHARACTERS_MAX].rstrip('. ')}"


def _advise(module: str, error: Exception) -> str:
    """What most probably fixes it."""
    if sys.flags.optimize >= 2:
        return (
            "Python was started with -OO or PYTHONOPTIMIZE=2, which removes the docstrings that libraries work with: "
            "start it without, or with PYTHONOPTIMIZE=1"
        )
    if any(library in str(error) for library in _OPENMP):
        return "Install the OpenMP runtime: apt-get install libgomp1, dnf install libgomp, or brew install libomp"
    install = _INSTALL.get(module, "pip install --force-reinstall 'streaming-credit-scorer[sklearn]'")
    return f"Nothing is known to be wrong with the model; install the library again: {install}"
