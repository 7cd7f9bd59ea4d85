"""Runs Apache Kafka on this machine's Java: one node in KRaft mode, whose data folder is removed when it stops."""

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

# Settings of a single node, on Java or in Docker; everything else keeps Kafka's default.
ONE_NODE_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # Kafka's internal topics have three replicas by default and could not be created on one node.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # 50 partitions each by default; the first transaction and the first group wait until all are created.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # By default a group waits three seconds for more members to join; in a test or a demo none do.
    "group.initial.rebalance.delay.ms": "0",
    # By default the controller writes a no-op record twice per second for other controllers. There are none, and these
    # writes take more CPU than everything else that an idle broker does.
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
_FORMAT_S = 60  # takes about one second; several on a machine under load
_READY_S = 60
_LOG_LINES = 12
_KILLED = 128 + signal.SIGKILL


class JavaBroker(Broker):
    """A broker in its own process group, so that Ctrl-C reaches only this process, which then stops the broker.

    Attributes:
        pid: the process id of the broker's JVM.
    """

    def __init__(self, java: Java, port: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="scorer-kafka-"))
        self._log = self._folder / "broker.log"
        self._guardian: subprocess.Popen[bytes] | None = None
        self._command: list[str] = []
        self._keep_log = False
        self.pid = 0
        super().__init__(
            "java",
            f"127.0.0.1:{port}",
            f"Apache Kafka {KAFKA_VERSION} (KRaft) on Java {java.major}, data in {self._folder}, removed on exit",
            self._log,
        )

    def prepare(self, java: Java, libs: Path, settings: Mapping[str, str]) -> None:
        """Write the settings and format the data folder.

        Raises:
            LocalBrokerError: Kafka rejects the settings.
        """
        properties = self._folder / "server.properties"
        lines = {**settings, "log.dirs": str(self._folder / "data")}
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
        log4j = self._folder / "log4j2.properties"
        log4j.write_text(LOG4J, encoding="utf-8")
        common = [f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{libs}/*"]
        # Kafka's own `random-uuid` returns the same, but starts a JVM for it (half a second). One id in 64 begins with
        # a hyphen, which would be parsed as another option after `-t`.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_data = [
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={cluster_id}",
            "-c",
            str(properties),
        ]
        # A short run, in which an optimising compiler and a parallel collector do not pay off.
        formatted = run(
            [java.command, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *common, *format_data], limit_s=_FORMAT_S
        )
        if formatted.returncode != 0:
            raise LocalBrokerError(
                f"Kafka rejects its settings ({properties.name}), or its jars in {libs} are damaged (delete that "
                f"folder to download them again):\n{_tail(formatted.stdout + formatted.stderr)}"
            )
        self._command = [java.command, "-Xmx512m", *common, "kafka.Kafka", str(properties)]

    def run(self) -> None:
        """Start the prepared broker and wait until it answers.

        Raises:
            LocalBrokerError: the broker exited during startup, or does not answer in time.
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
            raise LocalBrokerError(self._with_log(f"did not answer within {_READY_S} seconds"))

    def check(self) -> None:
        """See `Broker.check`."""
        if self._guardian is None:
            raise LocalBrokerError(f"the broker at {self.bootstrap_servers} was stopped")
        code = self._guardian.poll()
        if code is not None:
            likely = " (killed: out of memory?)" if code == _KILLED else ""
            raise LocalBrokerError(self._with_log(f"exited with code {code}{likely}"))

    def kill(self) -> None:
        """Kill the broker with SIGKILL, as a power failure would: nothing is flushed, and its data are kept."""
        if self._guardian is None:
            return
        with self._guardian as guardian:  # closes its pipes
            if guardian.poll() is None:
                guardian.communicate(b"x")  # returns after the guardian has exited, and so the broker

    def restart(self) -> None:
        """Kill the broker if it is running, and start it again on the same port and data."""
        self.kill()
        self.run()

    def stop(self) -> None:
        """Kill the broker and remove its folder; a log that an error message refers to is kept.

        The broker is killed because a clean shutdown would only save data that are removed right after.
        """
        self.kill()
        self._guardian = None
        if not self._keep_log:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for entry in self._folder.iterdir() if self._folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry != self._log:
                entry.unlink()

    def _with_log(self, problem: str) -> str:
        self._keep_log = True
        log = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return f"the broker at {self.bootstrap_servers} {problem}; the end of its log ({self._log}):\n{_tail(log)}"


def start(port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> JavaBroker:
    """Start Apache Kafka on this machine's Java and wait until it answers.

    Args:
        port: port to listen on at 127.0.0.1; 0 chooses a free one.
        overrides: broker settings, as in server.properties; they override the defaults.
        say: called with progress messages.

    Raises:
        LocalBrokerError: Java is missing or too old, Maven is missing, or the broker does not start.
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
        # A killed broker can register again only after its earlier registration has expired: nine seconds by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        **overrides,
    }
    broker = JavaBroker(java, port)
    say(f"starting Apache Kafka {KAFKA_VERSION} on Java {java.major}")
    try:
        broker.prepare(java, libs, settings)
        broker.run()
    except BaseException:
        broker.stop()
        raise
    return broker


def _tail(text: str) -> str:
    """The last lines, which name the cause, without Java's stack frames, which would push it out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    return "\n".join(lines[-_LOG_LINES:]) or "(empty)"
