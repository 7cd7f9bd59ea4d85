"""Runs tasks that open bundles in a child process, so that a model that crashes or hangs its library harms no page.

The console itself loads no model.
"""

import asyncio
import json
import os
import sys
from typing import Any, Final

from scorer.errors import BundleError

_CHILD: Final = "scorer.console.bundle_child"
_TASK_S: Final = 120.0
"""A review takes some seconds; on a tenth of a core, a minute."""


async def run_task(task: str, **arguments: Any) -> Any:
    """Runs a task in a child process, which does not outlive the call.

    Args:
        task: the name of the task.
        arguments: its arguments, as JSON.

    Raises:
        BundleError: it failed, took too long, or its process crashed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # do not import modules from the current folder
        "-m",
        _CHILD,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # the other cores are for workers
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        request = json.dumps({"task": task, **arguments}).encode()
        output, _ = await asyncio.wait_for(process.communicate(request), _TASK_S)
    except TimeoutError:
        raise BundleError(f"not finished within {_TASK_S:g} s: is the machine busy?") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _parse(output, process.returncode)


def _parse(output: bytes, code: int | None) -> Any:
    """The result in the last line of the child's output.

    Raises:
        BundleError: the child process reports an error, or ends without a result.
    """
    try:
        answer = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise BundleError(
            f"the process that opens bundles ended with exit code {code} and without a result: a model is damaged, or "
            "there is not enough memory"
        ) from None
    if "error" in answer:
        raise BundleError(answer["error"])
    return answer["result"]
