"""Kubernetes' variables for Services: that exact family, and nothing that a person may have meant as a setting."""

import pytest

from schemas.service_links import is_service_link


def links(service: str, address: str = "10.96.3.7", port: int = 9464, name: str = "metrics") -> dict[str, str]:
    """What Kubernetes sets for a Service with one named port."""
    host = f"[{address}]" if ":" in address else address
    of_port = f"{service}_PORT_{port}_TCP"
    return {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": str(port),
        f"{service}_SERVICE_PORT_{name.upper().replace('-', '_')}": str(port),
        f"{service}_PORT": f"tcp://{host}:{port}",
        of_port: f"tcp://{host}:{port}",
        f"{of_port}_PROTO": "tcp",
        f"{of_port}_PORT": str(port),
        f"{of_port}_ADDR": address,
    }


@pytest.mark.parametrize(
    "family",
    [
        links("SCORER"),
        links("SCORER_CONSOLE", port=80, name="http-alt"),
        links("SCORER_KAFKA__X", "fd00::1"),
        links("SCORER_PORT"),
        links("SCORER_SERVICE"),
        {"SCORER_PORT_53_UDP": "udp://10.0.0.1:53", "SCORER_PORT_53_UDP_PROTO": "udp"},
        {"SCORER_PORT_9_SCTP": "sctp://10.0.0.1:9", "SCORER_PORT_9_SCTP_ADDR": "10.0.0.1"},
    ],
    ids=["scorer", "scorer-console", "ipv6", "scorer-port", "scorer-service", "udp", "sctp"],
)
def test_what_kubernetes_sets(family: dict[str, str]) -> None:
    """Each variable of a Service is recognised by itself, whatever the Service is called."""
    assert [variable for variable, value in family.items() if not is_service_link(variable, value)] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCORER_HTTP_PORT", "9464"),
        ("SCORER_CONSOLE_PORT", "8765"),
        ("SCORER_HTTP_PORT", "tcp://broker:9464"),
        ("SCORER_PORT", "9464"),
        ("SCORER_PORT", ""),
        ("SCORER_PORT", "http://10.0.0.1:80"),
        ("SCORER_SERVICE_HOST", "scorer.example"),
        ("SCORER_SERVICE_PORT", "http"),
        ("SCORER_SERVICE_PORT", "99999"),
        ("SCORER_SERVICE_PORTS", "9464"),
        ("SCORER_PORT_9464_TCP", "tcp://10.0.0.1:9465"),
        ("SCORER_PORT_9464_TCP", "udp://10.0.0.1:9464"),
        ("SCORER_PORT_9464_TCP_PORT", "9465"),
        ("SCORER_PORT_9464_TCP_PROTO", "udp"),
        ("SCORER_PORT_9464_TCP_NAME", "metrics"),
        ("SCORER_PORT_METRICS", "9464"),
        ("SCORER_BOOTSTRAP_SERVERS", "tcp://10.0.0.1:9092"),
        ("SCORER_HTTP_HOST", "10.0.0.1"),
        ("scorer_port", "tcp://10.0.0.1:9464"),
    ],
)
def test_what_it_does_not_set(variable: str, value: str) -> None:
    """A setting, a misspelt one, and a name of the family with a value that Kubernetes does not give it."""
    assert not is_service_link(variable, value)
