"""Reference page of the settings: a table per group with description, default and limits, from scorer/settings.py."""

from pathlib import Path
from typing import Any, Final

from documentation.fields import code, limits, plain, table
from schemas.confidential import SECRET_PROPERTIES
from schemas.settings import ENV_PREFIX, FILE_NAME, KAFKA_ENV_PREFIX
from scorer.folders import bundles_folder
from scorer.settings import RESERVED_PROPERTIES, Settings

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes", "records": "records"}
_GROUPS: Final = {
    "Kafka and the consumer group": ("bootstrap_servers", "group_id", "instance_id", "broker_wait_s"),
    "Topics": (
        "applications_topic", "decisions_topic", "dead_letters_topic", "deployments_topic", "reviews_topic",
    ),
    "Processing": (
        "engine", "delivery", "batch_records_max", "linger_ms", "record_bytes_max", "fetch_memory_mb",
        "shutdown_timeout_s",
    ),
    "Bundles and signatures": (
        "store", "trusted_keys", "require_signatures", "deployment_signatures", "signing_key",
    ),
    "Metrics, logs and traces": ("http_host", "http_port", "log_format", "log_level", "traces"),
    "Console": (
        "console_host", "console_port", "console_allowed_hosts", "console_token_file", "console_reviewers_file",
        "console_operators_file", "console_review_days", "console_grafana_url",
    ),
}  # fmt: skip

_INTRODUCTION: Final = f"""# Settings

Precedence, highest first: flags, environment variables (`{ENV_PREFIX}…`), `{FILE_NAME}` in the current folder,
defaults. `scorer config` shows each setting and its source. Unknown names are errors. Variables that Kubernetes sets
for a Service whose name starts with `scorer`, for example `SCORER_PORT=tcp://10.0.0.1:9464`, are ignored, with one line
on standard error; `enableServiceLinks: false` in the pod, as in the Helm chart, omits them.

Settings files, and files with secrets and tokens, are UTF-8 text, with or without a byte-order mark; UTF-16 is accepted
with a byte-order mark.

`scorer` commands accept `--config FILE` for another file, and `--set NAME=VALUE` for any setting. `producer` commands
read the same file and environment, and use the settings for brokers and topics. The environment variable of a setting
is `{ENV_PREFIX}` and its name in capitals: `group_id` is `{ENV_PREFIX}GROUP_ID`.
"""
_KAFKA: Final = f"""## Any property of librdkafka

The table `[kafka]` contains properties of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)
with their original names. In the environment, `{KAFKA_ENV_PREFIX}SESSION_TIMEOUT_MS` is `session.timeout.ms`; as a
flag, `--set kafka.session.timeout.ms=10000`. [Your own Kafka](../secured-kafka.md) has a complete example.

### Secrets

Secrets are never shown. Each can be read from a file: append `.file` to its name, for example `sasl.password.file`. A
property is treated as a secret if its name contains a word such as `password`, `passphrase`, `secret`, `token` or
`private.key`, or ends in `.pem`; also if it starts with `sasl.` or `ssl.` and librdkafka has no such property, because
it may be a misspelt secret. The secrets of librdkafka are
"""
_PROTECTED: Final = """### TLS and authentication

Properties that start with `ssl.` require `security.protocol` to be `SSL` or `SASL_SSL`, and those that start with
`sasl.` require `SASL_SSL` (or `SASL_PLAINTEXT`, which encrypts nothing). Otherwise they are an error: they would have
no effect, and connections would be in plain text. `scorer doctor` warns about authentication without encryption, and
about certificates that are not verified. A URL must not contain a login, a token or a signature.
"""
_OWNED: Final = """### Properties that cannot be set

The guarantees depend on these properties. Setting one is an error that names the alternative.
"""


def settings_page() -> str:
    """Returns the page."""
    properties = Settings.model_json_schema()["properties"]
    ungrouped = properties.keys() - {name for names in _GROUPS.values() for name in names} - {"kafka"}
    assert not ungrouped, f"add to a group of settings in the documentation: {', '.join(sorted(ungrouped))}"
    return "\n".join(
        [
            _INTRODUCTION,
            *(_group(title, {name: properties[name] for name in names}) for title, names in _GROUPS.items()),
            _KAFKA,
            ", ".join(f"`{name}`" for name in sorted(SECRET_PROPERTIES)) + ".",
            "",
            _PROTECTED,
            _OWNED,
            table(
                ("property", "reason or alternative"),
                ((f"`{n}`", plain(why)) for n, why in RESERVED_PROPERTIES.items()),
            ),
        ]
    )


def _group(title: str, properties: dict[str, dict[str, Any]]) -> str:
    rows = (
        (
            f'<a id="{name}"></a>`{name}`',  # links lead to a setting
            plain(schema["description"]),
            _default(name, schema),
            _valid(name, schema),
        )
        for name, schema in properties.items()
    )
    return f"## {title}\n\n{table(('setting', 'description', 'default', 'valid values'), rows)}\n"


def _valid(name: str, schema: dict[str, Any]) -> str:
    unit = next((unit for part, unit in _UNITS.items() if part in name.split("_")), None)
    return ", ".join(filter(None, [limits(schema).removesuffix(" or null"), unit and f"in {unit}"]))


def _default(name: str, schema: dict[str, Any]) -> str:
    if name == "store":  # a folder in the user's home folder
        folder = bundles_folder()
        assert folder is not None, "generating the documentation needs a home folder"
        return f"`{Path('~/.local/share') / folder.relative_to(folder.parents[1])}`"
    default = schema["default"]
    return "not set" if default is None or default == "" else code(default)
