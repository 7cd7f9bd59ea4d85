"""Chooses and starts a broker: a given one, Docker, Java, or a mock cluster."""

from collections.abc import Callable, Mapping

from scorer.errors import LocalBrokerError, MisuseError
from scorer.local.running import Broker, answers, is_free, require_free_port

__all__ = ["KINDS", "Broker", "start_broker"]

KINDS = ("auto", "given", "docker", "java", "mock")
DEFAULT_PORT = 9092  # of clients' default address
_GIVEN_WAIT_S = 5


def start_broker(
    kind: str = "auto",
    *,
    bootstrap_servers: str | None = None,
    port: int | None = 0,
    overrides: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Broker:
    """Start a broker, or use the given one, and wait until it answers.

    `auto` uses the first that is available: the given address, a Docker engine, Java, the mock cluster. A given address
    that does not answer is an error; no other broker replaces it.

    Args:
        kind: one of `KINDS`.
        bootstrap_servers: the address of a running broker (the setting of this name), for `auto` and `given`.
        port: port to listen on at 127.0.0.1; 0 chooses a free one, None prefers `DEFAULT_PORT`. The mock cluster
            chooses its own.
        overrides: broker settings, as in server.properties, for `docker` and `java`.
        say: called with a line of progress: each step, the broker that is used, and why others are not.

    Raises:
        MisuseError: the kind is unknown.
        LocalBrokerError: the broker is not available; the message says what is missing and how to fix it.
    """
    if kind not in KINDS:
        raise MisuseError(f"unknown kind of broker {kind}: choose one of {', '.join(KINDS)}")
    overrides = overrides or {}
    if kind == "given" or (kind == "auto" and bootstrap_servers):
        broker = _given(bootstrap_servers, port or 0, overrides)
    elif kind == "mock":
        broker = _mock(port or 0, overrides)
    else:
        if port:
            require_free_port(port)
        broker = _first_available(port, overrides, say) if kind == "auto" else _start_kafka(kind, port, overrides, say)
        if port is None and not broker.bootstrap_servers.endswith(f":{DEFAULT_PORT}"):
            say(f"port {DEFAULT_PORT} is in use, so this broker has another one")
    say(f"{broker.kind} broker at {broker.bootstrap_servers}: {broker.description}")
    return broker


def _first_available(port: int | None, overrides: Mapping[str, str], say: Callable[[str], None]) -> Broker:
    for kind, next_kind in (("docker", "java"), ("java", "mock")):
        try:
            return _start_kafka(kind, port, overrides, say)
        except LocalBrokerError as fault:
            say(f"using {next_kind} instead of {kind}: {fault}")
    return _mock(port or 0, overrides)


def _start_kafka(kind: str, port: int | None, overrides: Mapping[str, str], say: Callable[[str], None]) -> Broker:
    if port is None:
        port = DEFAULT_PORT if is_free(DEFAULT_PORT) else 0
    if kind == "docker":
        from scorer.local import docker_kafka

        return docker_kafka.start(port, overrides, say)
    from scorer.local import apache_kafka

    return apache_kafka.start(port, overrides, say)


def _mock(port: int, overrides: Mapping[str, str]) -> Broker:
    from scorer.local import mock_kafka

    _reject_options("the mock cluster", port, overrides)
    return mock_kafka.start()


def _given(bootstrap_servers: str | None, port: int, overrides: Mapping[str, str]) -> Broker:
    if not bootstrap_servers:
        raise LocalBrokerError("no broker address is set: set SCORER_BOOTSTRAP_SERVERS to host:port")
    _reject_options("a running broker", port, overrides)
    if not answers(bootstrap_servers, wait_s=_GIVEN_WAIT_S):
        raise LocalBrokerError(
            f"no broker answers at {bootstrap_servers} (tried for {_GIVEN_WAIT_S} seconds, without TLS and login): is "
            "it running, and is the address right? To start a broker on this machine, unset SCORER_BOOTSTRAP_SERVERS"
        )
    return Broker("given", bootstrap_servers, "already running, not stopped on exit")


def _reject_options(name: str, port: int, overrides: Mapping[str, str]) -> None:
    """Fails on options that this broker cannot apply, instead of ignoring them."""
    if port:
        raise LocalBrokerError(f"cannot change the port of {name} to {port}: leave the port at 0")
    if overrides:
        raise LocalBrokerError(f"cannot change settings of {name}: remove {', '.join(overrides)}")
