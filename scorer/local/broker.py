"""A broker to work with: the one that is given, else the best that this machine can start."""

from collections.abc import Callable, Mapping

from scorer.errors import LocalBrokerError, MisuseError
from scorer.local.running import Broker, answers, require_free_port

__all__ = ["KINDS", "Broker", "start_broker"]

KINDS = ("auto", "given", "docker", "java", "mock")
_GIVEN_WAIT_S = 5


def start_broker(
    kind: str = "auto",
    *,
    bootstrap_servers: str | None = None,
    port: int = 0,
    overrides: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Broker:
    """Start a broker, or find the given one, and return when it answers.

    `auto` takes the first that is there: the given address, a Docker engine, Java, the mock cluster. An address that
    is given and does not answer is an error: whoever names a broker means that one.

    Args:
        kind: one of `KINDS`.
        bootstrap_servers: the address of a broker that runs already (the setting of this name), for `auto` and `given`.
        port: where it shall listen on 127.0.0.1; 0 takes a free one. The mock cluster chooses its own.
        overrides: settings as in server.properties, for `docker` and `java`.
        say: told, a line at a time, what is being done, which broker was taken, and why an earlier one was not.

    Raises:
        MisuseError: there is no such kind.
        LocalBrokerError: it is not to be had; the message says what is missing and how to mend it.
    """
    if kind not in KINDS:
        raise MisuseError(f"there is no kind of broker called {kind}: choose one of {', '.join(KINDS)}")
    overrides = overrides or {}
    if kind == "given" or (kind == "auto" and bootstrap_servers):
        broker = _given(bootstrap_servers, port, overrides)
    elif kind == "mock":
        broker = _mock(port, overrides)
    else:
        if port:
            require_free_port(port)
        broker = _first_there(port, overrides, say) if kind == "auto" else _real(kind, port, overrides, say)
    say(f"{broker.kind} broker at {broker.bootstrap_servers}: {broker.description}")
    return broker


def _first_there(port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> Broker:
    for kind in ("docker", "java"):
        try:
            return _real(kind, port, overrides, say)
        except LocalBrokerError as fault:
            say(f"no {kind} broker: {fault}")
    return _mock(port, overrides)


def _real(kind: str, port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> Broker:
    if kind == "docker":
        from scorer.local import docker_kafka

        return docker_kafka.start(port, overrides, say)
    from scorer.local import apache_kafka

    return apache_kafka.start(port, overrides, say)


def _mock(port: int, overrides: Mapping[str, str]) -> Broker:
    from scorer.local import mock_kafka

    _refuse_wishes("the mock cluster", port, overrides)
    return mock_kafka.start()


def _given(bootstrap_servers: str | None, port: int, overrides: Mapping[str, str]) -> Broker:
    if not bootstrap_servers:
        raise LocalBrokerError("no broker is given: set SCORER_BOOTSTRAP_SERVERS to its address, as host:port")
    _refuse_wishes("a broker that runs already", port, overrides)
    if not answers(bootstrap_servers, wait_s=_GIVEN_WAIT_S):
        raise LocalBrokerError(
            f"no broker answers at {bootstrap_servers} (asked for {_GIVEN_WAIT_S} seconds, without TLS and password): "
            "does it run, is the address right? Without SCORER_BOOTSTRAP_SERVERS one is started here"
        )
    return Broker("given", bootstrap_servers, "started by somebody else, left running at the end")


def _refuse_wishes(whom: str, port: int, overrides: Mapping[str, str]) -> None:
    """A wish that cannot be granted is refused, because what was asked for would silently be something else."""
    if port:
        raise LocalBrokerError(f"{whom} cannot be moved to port {port}: leave the port at 0")
    if overrides:
        raise LocalBrokerError(f"{whom} takes no settings, and {', '.join(overrides)} was to be set")
