"""Imports the libraries that models run on, and explains why an import failed."""

import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from scorer.errors import RunnerMissingError
from scorer.extras import install_command

RUNNERS: Final = "scorer.runners"
"""The entry point group in which an installed package provides a runner."""

_INSTALL: Final = {
    "xgboost": "pip install --force-reinstall 'xgboost-cpu==3.2.*' (on macOS xgboost)",
    "onnxruntime": "pip install --force-reinstall onnxruntime",
}
"""Command to reinstall a library, by module; the others come with the extra `sklearn`."""

_CAUSE_CHARACTERS_MAX: Final = 600
_OPENMP: Final = ("libgomp", "libomp", "vcomp140")


def import_library(module: str) -> Any:
    """Imports a library that a model needs.

    Args:
        module: its module name, such as `xgboost`.

    Returns:
        The module.

    Raises:
        RunnerMissingError: the import failed: the library is not installed, its installation is broken, it does not
            work in Python's current mode, or another file has its name. The message has the cause and the fix.
    """
    try:
        library = import_module(module)
    except (Exception, SystemExit) as error:  # a broken installation raises anything; a script of this name may exit
        raise RunnerMissingError(
            f"cannot import {module}: {describe_failure(error)}. {_advise(module, error)}"
        ) from error
    if not hasattr(library, "__version__"):  # all of these libraries have one
        path = getattr(library, "__file__", None) or next(iter(getattr(library, "__path__", ())), "a folder")
        raise RunnerMissingError(
            f"cannot import {module}: {path} has the library's name but is another module: rename it, or remove its "
            "folder from PYTHONPATH"
        )
    return library


def hide_scikit_learn() -> None:
    """Makes this process import XGBoost without scikit-learn: for processes that open bundles, and do nothing else.

    XGBoost imports scikit-learn, where it is installed, only for the base classes of its wrappers. That takes a second
    and 68 MB, twice as much as all the rest. An installed runner may need the wrappers: then nothing is hidden.
    """
    if "sklearn" not in sys.modules and not entry_points(group=RUNNERS):
        sys.modules["sklearn"] = None  # type: ignore[assignment]


def describe_failure(error: BaseException) -> str:
    """Returns the type and the text of a library's exception, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_CAUSE_CHARACTERS_MAX].rstrip('. ')}"


def _advise(module: str, error: BaseException) -> str:
    """Returns the most likely fix."""
    if sys.flags.optimize >= 2:
        return (
            "Python was started with -OO or PYTHONOPTIMIZE=2, which removes docstrings that libraries depend on: "
            "start it without that option, or with PYTHONOPTIMIZE=1"
        )
    if any(library in str(error) for library in _OPENMP):
        return "Install the OpenMP runtime: apt-get install libgomp1, dnf install libgomp, or brew install libomp"
    install = _INSTALL.get(module, f"{install_command('sklearn')}, with --force-reinstall")
    return f"This is a problem of the installation, not of the model; reinstall the library: {install}"
