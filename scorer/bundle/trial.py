"""Opens a bundle in a child process first, so that a model that crashes or hangs its library harms nothing else.

`python -m scorer.bundle.trial FOLDER [CALLED]` prints one line of JSON: the bundle's reference, or an error.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemas.decision import BundleReference
from scorer.bundle.libraries import hide_scikit_learn
from scorer.bundle.load import load_bundle, read_manifest
from scorer.errors import BundleError, RunnerMissingError

# Opening takes about a second; a container with a tenth of a core takes ten.
_OPEN_S: Final = 60.0
# Limit of the process's data, without mapped files: ten times what the shipped bundles need on a 64-core machine.
_DATA_BYTES_MAX: Final = 4 << 30
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_DAMAGED: Final = "its model is damaged or malicious"
_ADVICE: Final = "Nothing was changed. Build the bundle again; if it crashes again, its author must check the model"


def open_in_child(folder: Path, called: str = "") -> BundleReference:
    """Opens a bundle in a child process with time and memory limits, and returns its reference.

    Args:
        folder: the bundle's folder.
        called: name of the bundle in messages, if the folder's path would not help the reader.

    Raises:
        BundleError: it cannot be opened, or the child process crashed or took too long.
    """
    # -P: do not import modules from the current folder.
    command = [sys.executable, "-P", "-m", __name__, str(folder), called]
    try:
        process = subprocess.run(
            command,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # with a few rows, threads would only wait for each other
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_OPEN_S,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"bundle {called or folder}: its model was not loaded within {_OPEN_S:g} s. {_ADVICE}"
        ) from None
    except OSError as error:
        raise BundleError(f"cannot start a process to open bundle {called or folder}: {error.strerror}") from error
    if process.returncode != 0:
        raise BundleError(
            f"bundle {called or folder}: the process that opened it {_describe_exit(process.returncode)}: {_DAMAGED}. "
            f"{_ADVICE}"
        )
    try:
        result = json.loads(process.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BundleError(
            f"bundle {called or folder}: the process that opened it ended without a result: {_DAMAGED}. {_ADVICE}"
        ) from None
    if "error" in result:
        raise (RunnerMissingError if result["is_runner_missing"] else BundleError)(result["error"])
    return BundleReference(**result)


def _describe_exit(code: int) -> str:
    """Describes the exit of a process."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def limit_memory() -> None:
    """Limits this process's memory, and makes it rather than its parent the victim if memory runs out."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES_MAX, _DATA_BYTES_MAX))
    with suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _main(folder: str, called: str) -> None:
    limit_memory()
    try:
        if read_manifest(Path(folder), called=called).runner == "xgboost":
            hide_scikit_learn()
        result = load_bundle(Path(folder), called=called).reference.model_dump()
    except BundleError as error:
        result = {"error": str(error), "is_runner_missing": isinstance(error, RunnerMissingError)}
    sys.stdout.write(f"\n{json.dumps(result)}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
