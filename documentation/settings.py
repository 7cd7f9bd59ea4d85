"""The page of the settings: each with its unit, default, limits and why, as scorer/settings.py has them."""

from pathlib import Path
from typing import Any, Final

from documentation.fields import code, limits, plain, table
from schemas.confidential import SECRET_PROPERTIES
from schemas.settings import ENV_PREFIX, FILE_NAME, KAFKA_ENV_PREFIX
from scorer.folders import bundles_folder
from scorer.settings import OWNED_PROPERTIES, Settings

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes", "records": "records"}

_INTRODUCTION: Final = f"""# Settings

Flags go over the environment (`{ENV_PREFIX}…`), that over `{FILE_NAME}` in the current folder, that over the defaults.
`scorer config` shows each setting and where its value came from. A name that is not on this page is an error. The
variables that Kubernetes sets for a Service whose name begins with `scorer`, such as `SCORER_PORT=tcp://10.0.0.1:9464`,
are ignored, and one line on standard error says so; `enableServiceLinks: false` in the pod, as in the Helm chart,
leaves them out.

These files are text in UTF-8, with or without a byte-order mark, as files with secrets and tokens are; UTF-16 is read
where the file begins with a byte-order mark.

Commands of `scorer` that go by settings take `--config FILE` for another file, and `--set NAME=VALUE` for any of them.
Those of `producer` read the same file and the same environment, and take of it what says where brokers and topics are.
"""
_KAFKA: Final = f"""## Any property of librdkafka

The table `[kafka]` holds properties of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)
by their own names. In the environment, `{KAFKA_ENV_PREFIX}SESSION_TIMEOUT_MS` is `session.timeout.ms`; as a flag,
`--set kafka.session.timeout.ms=10000`. [Your own Kafka](../secured-kafka.md) has a whole example.

### Secrets

Secrets are never shown. Each can be read from a file: `.file` after its name, such as `sasl.password.file`. A property
is a secret if its name contains a word such as `password`, `passphrase`, `secret`, `token` or `private.key`, or ends in
`.pem`; and if it begins with `sasl.` or `ssl.` and librdkafka has no such property: it may be a misspelt secret.
librdkafka has these:
"""
_PROTECTED: Final = """### TLS and logins

Properties that begin with `ssl.` need `security.protocol` to be `SSL` or `SASL_SSL`, and those that begin with `sasl.`
need `SASL_SSL` (or `SASL_PLAINTEXT`, which encrypts nothing). Otherwise they are an error: they would have no effect,
and connections would be in plain text. `scorer doctor` warns of connections without encryption after a login, and of
certificates that are not verified. A URL must not contain a login, a token or a signature.
"""
_OWNED: Final = """### Properties that cannot be set

The guarantees rest on them. Setting one is an error that says what to use instead.
"""


def settings_page() -> str:
    """The page."""
    properties = Settings.model_json_schema()["properties"]
    return "\n".join(
        [
            _INTRODUCTION,
            *(_setting(name, schema) for name, schema in properties.items() if name != "kafka"),
            _KAFKA,
            *(f"- `{name}`" for name in sorted(SECRET_PROPERTIES)),
            "",
            _PROTECTED,
            _OWNED,
            table(
                ("property", "why, or what instead"), ((f"`{n}`", plain(why)) for n, why in OWNED_PROPERTIES.items())
            ),
        ]
    )


def _setting(name: str, schema: dict[str, Any]) -> str:
    unit = next((unit for part, unit in _UNITS.items() if part in name.split("_")), None)
    facts = {"unit": unit, "default": _default(name, schema), "takes": limits(schema)}
    lines = [f"- {what}: {told}" for what, told in facts.items() if told is not None]
    environment = f"- in the environment: `{ENV_PREFIX}{name.upper()}`"
    return "\n".join([f"## {name}", "", plain(schema["description"]), "", *lines, environment, ""])


def _default(name: str, schema: dict[str, Any]) -> str:
    if name == "store":  # a folder of each user's own
        folder = bundles_folder()
        assert folder is not None, "whoever writes documentation has a home folder"
        return f"`{Path('~/.local/share') / folder.relative_to(folder.parents[1])}`"
    default = schema["default"]
    return "not set" if default is None or default == "" else code(default)
