"""A worker's HTTP server in a process with few file descriptors, for tests; its argument says how few."""

import resource
import sys
from contextlib import suppress
from io import BufferedReader

from prometheus_client import CollectorRegistry, Gauge

from schemas.decision import BundleReference
from scorer.logs import log_to_stderr
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer


def main(descriptors_max: int) -> None:
    """Serves until stdin ends. The line "take" there takes all descriptors, "free" gives them back; each is echoed."""
    log_to_stderr("json")
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors_max, descriptors_max))
    registry = CollectorRegistry()
    Gauge("answer", "Help.", registry=registry).set(42)
    health = Health(
        BundleReference(name="tiny", version="1.0.0", digest="0" * 64),
        poll_stalled_after_s=300,
        delivery_stalled_after_s=300,
    )
    server = MonitorServer("127.0.0.1", 0, registry, health)
    say(f"{server.address}\n")
    files: list[BufferedReader] = []
    for line in sys.stdin:
        with suppress(OSError):
            while line == "take\n":
                files.append(open("/dev/null", "rb"))  # noqa: PTH123, SIM115 - held, to be short of descriptors
        while line == "free\n" and files:
            files.pop().close()
        say(line)
    server.close()


def say(line: str) -> None:
    """Tells the test."""
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
