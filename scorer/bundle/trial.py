"""Opens a bundle in a process of its own first: a model that crashes or hangs its library harms nothing else.

`python -m scorer.bundle.trial FOLDER [CALLED]` prints one line of JSON: the bundle's reference, or what is wrong.
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
from scorer.bundle.load import load_bundle, read_manifest
from scorer.errors import BundleError, RunnerMissingError

# Opening takes about a second; a container with a tenth of a core takes ten.
_OPEN_S: Final = 60.0
# Data of the process, without what its files map: ten times what the shipped bundles need on a machine of 64 cores.
_DATA_BYTES_MAX: Final = 4 << 30
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_DAMAGED: Final = "its model is damaged, or made to do this"
_ADVICE: Final = "Nothing was changed. Make the bundle again; if it crashes again, its author has to look at the model"


def open_in_child(folder: Path, called: str = "") -> BundleReference:
    """Opens a bundle in a process of its own, with limits of time and memory, and says which one it is.

    Args:
        folder: the bundle's folder.
        called: what messages call it, where its folder would tell nobody anything.

    Raises:
        BundleError: it does not open, or the process that opened it crashed or took too long.
    """
    # -P: what lies in the current folder is no part of the program.
    command = [sys.executable, "-P", "-m", __name__, str(folder), called]
    try:
        ended = subprocess.run(
            command,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # a few rows: threads would only wait for each other
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_OPEN_S,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"bundle {called or folder}: its model was not loaded after {_OPEN_S:g} s. {_ADVICE}"
        ) from None
    except OSError as error:
        raise BundleError(f"no process could be started to open bundle {called or folder}: {error.strerror}") from error
    if ended.returncode != 0:
        raise BundleError(
            f"bundle {called or folder}: the process that opened it {_how(ended.returncode)}: {_DAMAGED}. {_ADVICE}"
        )
    try:
        answer = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BundleError(
            f"bundle {called or folder}: the process that opened it ended without an answer: {_DAMAGED}. {_ADVICE}"
        ) from None
    if "error" in answer:
        raise (RunnerMissingError if answer["is_runner_missing"] else BundleError)(answer["error"])
    return BundleReference(**answer)


def _how(code: int) -> str:
    """What became of a process."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _limit_memory() -> None:
    """Lets this process, and not the one that waits for it, be what ends when the memory does."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES_MAX, _DATA_BYTES_MAX))
    with suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _main(folder: str, called: str) -> None:
    _limit_memory()
    try:
        if read_manifest(Path(folder), called=called).runner == "xgboost":
            # XGBoost imports scikit-learn if it is installed. That takes twice as long as the rest, and loads no model.
            sys.modules["sklearn"] = None  # type: ignore[assignment]
        answer = load_bundle(Path(folder), called=called).reference.model_dump()
    except BundleError as error:
        answer = {"error": str(error), "is_runner_missing": isinstance(error, RunnerMissingError)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
