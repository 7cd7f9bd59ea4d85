"""Runs one broker as its child and ends it when whoever started it is gone.

Started by path with `FOLDER COMMAND…`, it imports nothing of ours. It writes the broker's process id as one line to
standard output and ends when the broker does. One byte on standard input ends the broker; the end of standard input
ends it and removes FOLDER.

Why a process and a pipe: the pipe closes however its other end dies, SIGKILL included, on every POSIX system. Linux's
PR_SET_PDEATHSIG fires when the starting *thread* ends, which is not the same, and must be set between fork and exec,
where Python must not run. And a parent knows its child for certain, where a process id read from elsewhere may have
been given to another process meanwhile.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading


def main(folder: str, *command: str) -> int:
    """Run the command until it ends or is to end; returns its exit code, 128 + n for signal n as shells do."""
    orders: list[bytes] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as broker:

        def obey() -> None:
            orders.append(os.read(0, 1))
            broker.kill()

        signal.signal(signal.SIGTERM, lambda *_: broker.kill())
        sys.stdout.write(f"{broker.pid}\n")
        sys.stdout.flush()
        threading.Thread(target=obey, daemon=True).start()
        code = broker.wait()
    if orders == [b""]:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
