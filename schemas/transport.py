"""Checks the security of connections to brokers: properties without an effect, and weaknesses."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

TLS_PREFIXES: Final = ("ssl.", "enable.ssl.")
SASL_PREFIXES: Final = ("sasl.", "enable.sasl.")
_PROTOCOL: Final = "security.protocol"
_PLAINTEXT: Final = "PLAINTEXT"
_WITH_TLS: Final = frozenset({"SSL", "SASL_SSL"})
_WITH_SASL: Final = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})
_FALSE: Final = frozenset({"false", "f", "0"})
_TRUE: Final = frozenset({"true", "t", "1"})
_UNSIGNED: Final = "enable.sasl.oauthbearer.unsecure.jwt"
_is_token_config = re.compile(
    r" *(?:(?:(?:principal|principalClaimName|scope|scopeClaimName|extension_[A-Za-z]+)=[^ ]+"
    r"|lifeSeconds=[0-9]{1,9})(?: +|$))*"
).fullmatch


def find_transport_faults(servers: str, properties: Mapping[str, str]) -> list[str]:
    """Finds settings for TLS or a login that have no effect, or that librdkafka would show in its messages.

    Args:
        servers: the bootstrap servers.
        properties: librdkafka properties by name.

    Returns:
        One message per fault, with what to set, and without values.
    """
    protocol = _protocol_of(properties)
    tls, sasl = (
        [name for name in sorted(properties) if name.startswith(prefixes)] for prefixes in (TLS_PREFIXES, SASL_PREFIXES)
    )
    state = f"kafka.{_PROTOCOL} is {protocol}" if _PROTOCOL in properties else f"kafka.{_PROTOCOL} is not set"
    unused = (tls if protocol not in _WITH_TLS else []) + (sasl if protocol not in _WITH_SASL else [])
    faults = []
    if unused:
        wanted = "SASL_SSL (TLS and a login)" if sasl else "SSL (TLS) or SASL_SSL (TLS and a login)"
        faults.append(
            f"{', '.join(f'kafka.{name}' for name in unused)}: no effect, because {state}: {_effect(protocol)}. "
            f"Set kafka.{_PROTOCOL} to {wanted}, or remove these properties"
        )
    # librdkafka's own message about it contains the value.
    if _is(properties, _UNSIGNED, _TRUE) and not _is_token_config(properties.get("sasl.oauthbearer.config", "")):
        faults.append(
            "kafka.sasl.oauthbearer.config: write principal=NAME, then scope=, lifeSeconds= and extension_NAME= as "
            "needed, separated by spaces"
        )
    for server in servers.split(","):
        scheme = server.strip().partition("://")[0].upper() if "://" in server else protocol
        if scheme != protocol:
            faults.append(
                f"bootstrap_servers: {scheme}:// does not fit, because {state}, and librdkafka ignores that address. "
                f"Set kafka.{_PROTOCOL}, and remove {scheme}://"
            )
            break
    return faults


def find_weaknesses(properties: Mapping[str, str]) -> Iterator[str]:
    """Finds what others on the network could read or change, although TLS or a login is set.

    Yields:
        One message per weakness, with what to set instead.
    """
    protocol = _protocol_of(properties)
    if protocol == "SASL_PLAINTEXT":
        yield (
            f"{_PROTOCOL} is SASL_PLAINTEXT: records, and with the mechanism PLAIN the password, can be read and "
            "changed on the network. Set it to SASL_SSL"
        )
    if protocol in _WITH_TLS:
        yield from _unverified(properties)
    if protocol in _WITH_SASL and _is(properties, _UNSIGNED, _TRUE):
        yield (
            f"{_UNSIGNED} is true: tokens are not signed, so anyone can make one. Set sasl.oauthbearer.method to oidc"
        )
    if properties.get("sasl.oauthbearer.token.endpoint.url", "").strip().casefold().startswith("http:"):
        yield (
            "sasl.oauthbearer.token.endpoint.url is not https: the client's secret and its tokens can be read on the "
            "network"
        )


def _unverified(properties: Mapping[str, str]) -> Iterator[str]:
    if _is(properties, "enable.ssl.certificate.verification", _FALSE):
        yield (
            "enable.ssl.certificate.verification is false: anyone on the network can pose as a broker, and read and "
            "change records. Remove it, and set ssl.ca.location to the certificate of the brokers' authority"
        )
    elif _is(properties, "ssl.endpoint.identification.algorithm", {"none"}):
        yield (
            "ssl.endpoint.identification.algorithm is none: anyone with any certificate of the same authority can pose "
            "as a broker. Remove it, and use the brokers' names as they are in their certificates"
        )


def _protocol_of(properties: Mapping[str, str]) -> str:
    return properties.get(_PROTOCOL, _PLAINTEXT).strip().upper()


def _effect(protocol: str) -> str:
    if protocol == "SSL":
        return "connections use TLS without a login"
    if protocol == "SASL_PLAINTEXT":
        return "connections log in without TLS"
    return "connections use neither TLS nor a login"


def _is(properties: Mapping[str, str], name: str, values: frozenset[str] | set[str]) -> bool:
    return properties.get(name, "").strip().casefold() in values
