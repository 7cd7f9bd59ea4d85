"""Recognizes variables that Kubernetes sets for each Service of a namespace, by their names and values.

For a Service called `scorer` each container gets SCORER_PORT, SCORER_SERVICE_HOST, SCORER_PORT_9464_TCP_ADDR and more,
and for one called `scorer-console` SCORER_CONSOLE_PORT, which is also the name of a setting. Names and values of these
variables are a documented interface (`enableServiceLinks` of a pod); other names and values are not recognized.
"""

import ipaddress
import re
from typing import Final

PORT_MAX: Final = 65_535
_split_port = re.compile(r".+_PORT_(?P<port>\d{1,5})_(?P<protocol>TCP|UDP|SCTP)(?P<part>_PROTO|_PORT|_ADDR|)").fullmatch
_names_service_port = re.compile(r".+_SERVICE_PORT(_[A-Z0-9_]+)?").fullmatch
_split_address = re.compile(r"(tcp|udp|sctp)://(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})").fullmatch


def is_service_link(variable: str, value: str) -> bool:
    """Whether Kubernetes sets this variable to such a value for a Service."""
    return (
        (variable.endswith("_SERVICE_HOST") and _is_ip_address(value))
        or (_names_service_port(variable) is not None and value.isdecimal() and int(value) <= PORT_MAX)
        or (variable.endswith("_PORT") and _read_address(value) is not None)
        or _is_of_port(variable, value)
    )


def _is_of_port(variable: str, value: str) -> bool:
    """Whether it is a variable whose name contains a port and its protocol."""
    parsed = _split_port(variable)
    if not parsed:
        return False
    port, protocol = parsed["port"], parsed["protocol"].lower()
    if parsed["part"] == "_ADDR":
        return _is_ip_address(value)
    if parsed["part"]:
        return value == (port if parsed["part"] == "_PORT" else protocol)
    return _read_address(value) == (protocol, port)


def _read_address(text: str) -> tuple[str, str] | None:
    """Protocol and port of an address such as `tcp://10.0.0.1:9464`; None if it is not one."""
    parsed = _split_address(text)
    if not parsed or not _is_ip_address(parsed[2] or parsed[3]):
        return None
    return parsed[1], parsed[4]


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
