"""The publisher of `scorer up`: runs it as a child process, recognizes its records, and reports its errors."""

import json
import math
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.contract import CONTRACT_FILE
from schemas.durations import DURATION_MAX_S
from schemas.profile import PROFILE_FILE
from schemas.record_headers import read_headers
from scorer.bundle.load import read_contract_of
from scorer.local.child import Child, describe_exit
from scorer.stream.worker import Record

RUN_HEADER: Final = "scorer-up-run"
"""Header that marks the records of a published file, whose keys are the file's own."""
# Grace period before a publisher that should have ended is killed; it retries delivery for 30 s.
_GRACE_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The records to publish.

    Attributes:
        rate: applications per second; a file is published as fast as possible.
        for_s: seconds to publish for; None continues until `ask_to_stop`.
        data: a file to publish instead of generated applications.
        invalid_share: share of invalid generated applications, 0 to 1.
        seed: random seed of the generated applications.
    """

    rate: float
    for_s: float | None
    data: Path | None
    invalid_share: float
    seed: int


class Load:
    """One publisher, whose records can be distinguished from those of other publishers."""

    def __init__(self, plan: LoadPlan) -> None:
        """Creates the object; `start` starts the publisher."""
        self._plan = plan
        self._ids = f"up-{secrets.token_hex(4)}-{plan.seed}"
        self._child: Child | None = None
        self._due_at = math.inf
        self._stop_requested_at: float | None = None

    def start(self, folder: Path, environment: Mapping[str, str], bundle: Path | None = None) -> None:
        """Starts publishing.

        Args:
            folder: the folder for its log.
            environment: the settings, as environment variables.
            bundle: the folder of the bundle that the workers are pinned to; None if the champion decides, whose
                contract the publisher reads from Kafka.

        Raises:
            BundleError: the bundle is damaged.
        """
        plan = self._plan
        contract_options: list[str] = []
        if bundle is not None:
            contract = folder / CONTRACT_FILE
            contract.write_bytes(read_contract_of(bundle)[1].canonical)
            contract_options = ["--contract", str(contract)]
            if plan.data is None and (bundle / PROFILE_FILE).exists():
                contract_options += ["--profile", str(bundle)]
        if plan.data is not None:
            header_options = ["--as-is", "--header", f"{RUN_HEADER}={self._ids}"]
            command = ["publish", str(plan.data.resolve()), *header_options, "--json"]
        else:
            generator_options = ["--prefix", self._ids, "--seed", str(plan.seed), "--invalid", str(plan.invalid_share)]
            command = ["load", "--rate", f"{plan.rate:g}", "--for", f"{plan.for_s or DURATION_MAX_S:g}s"]
            command += [*generator_options, "--json"]
        self._child = Child(
            [sys.executable, "-P", "-m", "producer", *command, *contract_options], folder, "load", environment
        )
        self._due_at = math.inf if plan.for_s is None else time.monotonic() + plan.for_s

    def is_own(self, record: Record) -> bool:
        """Whether this publisher sent a record; other publishers may use the same topic."""
        if self._plan.data is None:
            return (record.key() or b"").startswith(f"{self._ids}-".encode())
        return (RUN_HEADER, self._ids.encode()) in (read_headers(record) or ())

    def ended(self) -> bool:
        """Whether it has published everything, or has failed."""
        return self._child is None or self._child.exit_code() is not None

    def request_stop(self) -> None:
        """Asks it to deliver the records in flight and to stop; a second call does nothing."""
        if self._child is not None and self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()
            self._child.request_stop()

    def end_in_time(self) -> None:
        """Stops publishing a file that exceeds its time limit, and kills a publisher that does not stop."""
        if self.ended():
            return
        now = time.monotonic()
        if self._plan.data is not None and now > self._due_at:
            self.request_stop()
        if now - (self._due_at if self._stop_requested_at is None else self._stop_requested_at) > _GRACE_S:
            self.kill()

    def kill(self) -> None:
        """Kills the publisher."""
        if self._child is not None:
            self._child.kill()

    def acknowledged(self) -> int:
        """Records acknowledged by the broker, as the publisher reports at its end; 0 before."""
        return int(self._report().get("acknowledged", 0))

    def failures(self) -> list[str]:
        """The publisher's errors, one per line; empty if there were none."""
        code = None if self._child is None else self._child.exit_code()
        if self._child is None or code in (0, None):
            return []
        report = self._report()
        if not report:
            return [f"the publisher exited: {describe_exit(code)}", *self._child.last_lines().splitlines()]
        lines = [line.removeprefix("producer: ") for line in self._child.output().splitlines() if line[:1] != "{"]
        return [f"the publisher: {line}" for line in lines if line]

    def notes(self) -> list[str]:
        """Hints on a file that was published completely, such as ignored columns."""
        return [] if self.failures() else [f"the publisher: {hint}" for hint in self._report().get("hints", [])]

    def _report(self) -> dict[str, Any]:
        """The publisher's summary, from JSON; empty before its end, and if it wrote none."""
        if self._child is None or self._child.exit_code() is None:
            return {}
        for line in self._child.output().splitlines():
            if line.startswith("{"):
                report: dict[str, Any] = json.loads(line)
                return report
        return {}
