"""Detects what must never be shown or logged: secret librdkafka properties, and URLs with a login or a token."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

CONFIDENTIAL_WORDS: Final = r"pas+w|pas+ph|pas+code|pwd|secret|token|jaas|private\.?key|\.pem$|oauthbearer\.config"
"""Matches names of secrets, including most misspelt ones. The Helm chart has the same expression."""
PATH_SUFFIXES: Final = r"\.(file|location|url)$"
"""Matches names of locations; a URL with a login or a token as their value is rejected."""
PLAIN_PROPERTIES: Final = frozenset(
    {
        "sasl.kerberos.keytab",
        "sasl.kerberos.min.time.before.relogin",
        "sasl.kerberos.principal",
        "sasl.kerberos.service.name",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.assertion.algorithm",
        "sasl.oauthbearer.assertion.claim.aud",
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        "sasl.oauthbearer.assertion.claim.iss",
        "sasl.oauthbearer.assertion.claim.jti.include",
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        "sasl.oauthbearer.assertion.claim.sub",
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.grant.type",
        "sasl.oauthbearer.metadata.authentication.type",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.sub.claim.name",
        "sasl.username",
        "ssl.ca.certificate.stores",
        "ssl.cipher.suites",
        "ssl.curves.list",
        "ssl.endpoint.identification.algorithm",
        "ssl.engine.id",
        "ssl.providers",
        "ssl.sigalgs.list",
    }
)
"""All other names under `sasl.` and `ssl.` may be misspelt secrets, and are treated as secrets."""
SECRET_PROPERTIES: Final = (
    "https.ca.pem",
    "sasl.kerberos.kinit.cmd",  # a shell command, which may hold a password
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.password",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
)
"""librdkafka's secret properties, for the documentation; `is_secret` applies the rule."""
_FROM_FILE: Final = ".file"
# librdkafka's own properties that name a file.
_FILE_PROPERTIES: Final = frozenset(
    {
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
        "sasl.oauthbearer.assertion.private.key.file",
    }
)

URL_LOGIN: Final = (
    r"(?i)(?:[a-z][a-z0-9+.-]{1,40}:/+|\b(?:s3a?|gc?s|https?|sftp|ssh|ftps?|abfss?|hdfs):)(?:[^/?#@]*@|[^@]*:[^@]*@)"
)
"""A login before the host; an unescaped slash may be part of its password. The Helm chart has the same expression."""
URL_QUERY: Final = (
    r"(?i)[?&;#](?:[^=&;#]*(?:token|secret|pas+w|pwd|credential|access.?key|api.?key|private.?key|signature)[^=&;#]*"
    r"|(?:[^=&;#]*[^a-z=&;#])?(?:sig|auth|authorization|key|sas|code|pass|pw|jwt))="
)
"""A query parameter that grants access to anyone who has the URL. The Helm chart has the same expression."""
AZURE_CONTAINER: Final = r"(?i)\b(abfss?|wasbs?)://([$a-z0-9-]+)@([a-z0-9-]+\.(?:dfs|blob)\.)"
"""Azure's container, which has the position of a login. The Helm chart has the same expression."""

URL_FAULT: Final = "is a URL with a login or a token in it, which would be shown and logged"
"""The beginning of a message about such a URL; the URL itself is not part of one."""
STORE_LOGIN: Final = (
    "set the login in the environment or in fsspec's configuration files, as the URL's file system requires it"
)
"""The end of that message, for the URL of a bundle store."""

_has_secret_word = re.compile(CONFIDENTIAL_WORDS).search
_is_path = re.compile(PATH_SUFFIXES).search
_has_login = re.compile(URL_LOGIN).search
_is_token = re.compile(URL_QUERY).fullmatch
_is_url = re.compile(r"[a-z][a-z0-9+.-]{1,40}:/", re.IGNORECASE).search
_azure_container = re.compile(AZURE_CONTAINER)


def is_secret(name: str) -> bool:
    """Whether the value of a librdkafka property must not be shown, judged by its name, misspelt or not."""
    name = name.casefold().replace("_", ".").replace("-", ".")
    if _is_path(name):
        return False
    return bool(_has_secret_word(name)) or (name.startswith(("sasl", "ssl")) and name not in PLAIN_PROPERTIES)


def strip_file_suffix(name: str) -> str:
    """The property whose value a file contains: `sasl.password` for `sasl.password.file`; other names unchanged."""
    secret = name.removesuffix(_FROM_FILE)
    return secret if secret != name and name not in _FILE_PROPERTIES and is_secret(secret) else name


def has_url_credentials(text: str) -> bool:
    """Whether a text is a URL, or a chain of URLs, that contains a user name, password, token or signature."""
    # Piece by piece, so that the time is linear in the length: credentials end at the first @ after their scheme.
    *before_each_at, _ = _azure_container.sub(r"\1://\2/\3", text).split("@")
    if any(_has_login(f"{piece}@") for piece in before_each_at):
        return True
    return bool(_is_url(text)) and any(map(_is_token, _query_names(unquote(text))))


def _query_names(text: str) -> Iterator[str]:
    """Yields the text before each equals sign, from the last separator on; the time is linear in the length."""
    *befores, _ = text.split("=")
    for before in befores:
        name = re.split("[&;#]", before)[-1]
        if len(name) < len(before):
            yield f"&{name}="
        elif "?" in name:
            yield f"{name[name.index('?') :]}="
