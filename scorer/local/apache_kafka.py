"""Apache Kafka on this machine's Java: one node in KRaft mode, its data in a folder that goes when it stops."""

import base64
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from scorer.errors import LocalBrokerError
from scorer.local.running import Broker, answers, free_ports
from scorer.local.toolchain import KAFKA_VERSION, Java, find_java, kafka_jars, run

# What one node needs, wherever it runs; everything else stays as Kafka has it.
ONE_NODE_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # Kafka's own topics want three replicas by default, and on one node would never come to be.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # 50 partitions each by default; the first transaction and the first group wait until all are created.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # Three seconds in which a group waits for more members to join: in a test or a demo nobody else comes.
    "group.initial.rebalance.delay.ms": "0",
    # A record twice a second so that other controllers see that this one lives; there are none, and writing it takes
    # more CPU than all else that an idle broker does.
    "metadata.max.idle.interval.ms": "0",
    # A misspelt topic must be an error and not a new topic.
    "auto.create.topics.enable": "false",
}

LOG4J = """appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
"""
_GUARDIAN = Path(__file__).with_name("guardian.py")
_FORMAT_S = 60  # it takes one; on a machine under load, some
_READY_S = 60
_LOG_LINES = 12
_KILLED = 128 + signal.SIGKILL


class JavaBroker(Broker):
    """A broker in a process group of its own, so that Ctrl-C reaches its user first, who then stops it.

    Attributes:
        pid: the process id of the Java that runs it.
    """

    def __init__(self, java: Java, port: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="scorer-kafka-"))
        self._log = self._folder / "broker.log"
        self._guardian: subprocess.Popen[bytes] | None = None
        self._command: list[str] = []
        self._log_was_named = False
        self.pid = 0
        super().__init__(
            "java",
            f"127.0.0.1:{port}",
            f"Apache Kafka {KAFKA_VERSION} (KRaft) on Java {java.major}, data in {self._folder}, removed at the end",
            self._log,
        )

    def prepare(self, java: Java, libs: Path, settings: Mapping[str, str]) -> None:
        """Write the settings and format the data folder.

        Raises:
            LocalBrokerError: Kafka refuses the settings.
        """
        properties = self._folder / "server.properties"
        lines = {**settings, "log.dirs": str(self._folder / "data")}
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
        log4j = self._folder / "log4j2.properties"
        log4j.write_text(LOG4J, encoding="utf-8")
        common = [f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{libs}/*"]
        # Kafka's own `random-uuid` gives the same, half a second later: it starts a Java for it. One in 64 begins with
        # a hyphen, which after `-t` would be taken for another option.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_data = [
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={cluster_id}",
            "-c",
            str(properties),
        ]
        # A short run: no time for an optimising compiler and a parallel collector to pay.
        formatted = run(
            [java.command, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *common, *format_data], limit_s=_FORMAT_S
        )
        if formatted.returncode != 0:
            raise LocalBrokerError(
                f"Kafka refuses its settings ({properties.name}), or its jars in {libs} are damaged (remove that "
                f"folder, and they are downloaded again):\n{_tail(formatted.stdout + formatted.stderr)}"
            )
        self._command = [java.command, "-Xmx512m", *common, "kafka.Kafka", str(properties)]

    def run(self) -> None:
        """Start the prepared broker and return when it answers.

        Raises:
            LocalBrokerError: it died at the start, or does not answer in time.
        """
        with self._log.open("ab") as log:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARDIAN), str(self._folder), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
        assert self._guardian.stdout is not None
        self.pid = int(self._guardian.stdout.readline() or 0)
        if not answers(self.bootstrap_servers, wait_s=_READY_S, check=self.check):
            raise LocalBrokerError(self._told(f"does not answer after {_READY_S} seconds"))

    def check(self) -> None:
        """See `Broker.check`."""
        if self._guardian is None:
            raise LocalBrokerError(f"the broker at {self.bootstrap_servers} was stopped")
        code = self._guardian.poll()
        if code is not None:
            likely = " (killed: did the memory run out?)" if code == _KILLED else ""
            raise LocalBrokerError(self._told(f"has died with exit code {code}{likely}"))

    def kill(self) -> None:
        """End the broker as a power cut would: SIGKILL, nothing flushed, nobody told; its data stay."""
        if self._guardian is None:
            return
        with self._guardian as guardian:  # closes its pipes
            if guardian.poll() is None:
                guardian.communicate(b"x")  # returns when it has ended, which is after the broker has

    def restart(self) -> None:
        """Kill the broker if it still runs, and start it again on the same port and data."""
        self.kill()
        self.run()

    def stop(self) -> None:
        """Kill the broker and remove its folder; only a log that an error has named is kept.

        Killed, because a clean shutdown saves what is removed a moment later.
        """
        self.kill()
        self._guardian = None
        if not self._log_was_named:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for entry in self._folder.iterdir() if self._folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry != self._log:
                entry.unlink()

    def _told(self, what: str) -> str:
        self._log_was_named = True
        log = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return f"the broker at {self.bootstrap_servers} {what}; the end of its log ({self._log}):\n{_tail(log)}"


def start(port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> JavaBroker:
    """Start Apache Kafka on this machine's Java and return when it answers.

    Args:
        port: where it listens on 127.0.0.1; 0 takes a free one.
        overrides: settings as in server.properties, which win.
        say: told what takes long.

    Raises:
        LocalBrokerError: Java or Maven is missing or unfit, or the broker does not start.
    """
    java = find_java()
    libs = kafka_jars(say)
    free = free_ports(2)
    port = port or free.pop()
    controller_port = next(other for other in free if other != port)
    settings = {
        **ONE_NODE_SETTINGS,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        # A broker that was killed comes back only when its earlier registration has run out: nine seconds by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        **overrides,
    }
    broker = JavaBroker(java, port)
    try:
        broker.prepare(java, libs, settings)
        broker.run()
    except BaseException:
        broker.stop()
        raise
    return broker


def _tail(text: str) -> str:
    """The last lines, where the cause stands; Java's stack frames are left out, which would push it off."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    return "\n".join(lines[-_LOG_LINES:]) or "(empty)"
