"""Runs a command as its child, and kills it when the process that started the guardian is gone.

Started by path with `FOLDER COMMAND…`; it imports nothing from this package. It writes the child's process id as one
line to standard output, and exits when the child does. One byte on standard input kills the child; end of file kills it
and removes FOLDER.

Why a process and a pipe: the pipe is closed however its other end dies, including SIGKILL, on every POSIX system.
Linux's PR_SET_PDEATHSIG fires when the starting *thread* ends, which is not the same, and must be set between fork and
exec, where Python must not run. A parent also identifies its child reliably, whereas a process id read from elsewhere
may have been reused.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main(folder: str, *command: str) -> int:
    """Run the command until it exits or is killed; returns its exit code, 128 + n for signal n as shells do."""
    received: list[bytes] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as child:

        def kill_on_input() -> None:
            received.append(os.read(0, 1))
            child.kill()

        signal.signal(signal.SIGTERM, lambda *_: child.kill())
        threading.Thread(target=kill_on_input, daemon=True).start()
        with suppress(BrokenPipeError):  # the parent is gone, and the thread kills the child
            os.write(1, f"{child.pid}\n".encode())
        code = child.wait()
    if received == [b""]:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
