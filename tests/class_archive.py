"""Saves the classes that a broker loads in an archive (Java's class data sharing): brokers then start in half the time.

The tests start some fifty brokers. Run as `python -m tests.class_archive` before them; without Java it does nothing.
"""

import os
import signal
from pathlib import Path
from typing import Final

from scorer.errors import LocalBrokerError
from scorer.local.apache_kafka import JavaBroker, start
from tests.integration.worker_process import wait_until

ARCHIVE: Final = Path(__file__).parent.parent / "build" / "kafka-classes.jsa"
# An optimising compiler and a parallel collector cost a broker of some minutes more than they gain.
SHORT_RUN: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_WAIT_S: Final = 60


def java_options() -> str:
    """Returns the value of JAVA_TOOL_OPTIONS for the tests. Java ignores an archive of other classes."""
    return f"{SHORT_RUN} -XX:SharedArchiveFile={ARCHIVE} -Xlog:cds*=off" if ARCHIVE.exists() else SHORT_RUN


def main() -> None:
    """Makes the archive if there is none: starts a broker, and stops it."""
    if ARCHIVE.exists():
        return
    unfinished = ARCHIVE.with_suffix(f".{os.getpid()}")
    ARCHIVE.parent.mkdir(exist_ok=True)
    os.environ["JAVA_TOOL_OPTIONS"] = f"{SHORT_RUN} -XX:ArchiveClassesAtExit={unfinished} -Xlog:cds*=off"
    try:
        broker = start(0, {}, print)
    except LocalBrokerError as error:
        print(f"no archive of the broker's classes: {error}")
        return
    try:
        os.kill(broker.pid, signal.SIGTERM)
        wait_until(lambda: _has_exited(broker), "the broker exits", _WAIT_S)
        if unfinished.exists():  # not every Java writes one
            unfinished.rename(ARCHIVE)
    finally:
        broker.stop()
        unfinished.unlink(missing_ok=True)


def _has_exited(broker: JavaBroker) -> bool:
    try:
        broker.check()
    except LocalBrokerError:
        return True
    return False


if __name__ == "__main__":
    main()
