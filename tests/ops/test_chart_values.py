"""The chart's values: what is refused and with which words, and what the scorer's settings say of them."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from generators.chart import values_of
from schemas.confidential import (
    AZURE_CONTAINER,
    CONFIDENTIAL_WORDS,
    PATH_SUFFIXES,
    PLAIN_PROPERTIES,
    SECRET_PROPERTIES,
    URL_LOGIN,
    URL_QUERY,
    has_url_credentials,
    is_secret,
)
from scorer.settings import RESERVED_PROPERTIES, Settings
from tests.ops.chart import CHART, of_kind, pod_of, pods, refusal, render, values_named
from tests.unit.schemas.test_confidential import WITH_CREDENTIALS, WITHOUT_CREDENTIALS

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

_TLS = "kafka.tls.enabled=true,"
_LOGIN = f"{_TLS}kafka.sasl.enabled=true,kafka.sasl.secretName=login,"


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    resolved: dict[str, Any] = SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema
    return resolved


def _tables(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the schema describes, by its path: `/kafka/tls`; not those that it lets pass as they are."""
    properties = schema.get("properties", {})
    if properties:
        yield path, schema
    for name, part in properties.items():
        yield from _tables(_resolve(part), f"{path}/{name}")


def test_an_unknown_value_is_rejected_at_every_level(tmp_path: Path) -> None:
    """Helm names each value that the chart does not know, wherever it stands; only what is free by nature takes any."""
    surprising: dict[str, Any] = {}
    paths = [path for path, _ in _tables(SCHEMA)]
    for path in paths:
        section = surprising
        for name in path.split("/")[1:]:
            section = section.setdefault(name, {})
        section["surprise"] = 1
    surprising["extraEnv"] = [{"name": "ONE", "surprise": 1}]
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(surprising), encoding="utf-8")
    message = refusal(values)
    refused = re.findall(r"at '([^']*)': additional properties 'surprise' not allowed", message)
    assert sorted(refused) == sorted([*paths, "/extraEnv/0"])
    assert len(paths) > 25


def test_the_schema_has_each_value_and_no_other() -> None:
    """values.yaml and its schema have the same values, table by table."""
    for path, schema in _tables(SCHEMA):
        default: Any = DEFAULTS
        for name in path.split("/")[1:]:
            default = default[name]
        if path.endswith(("/resources", "scaleUp", "scaleDown")):
            assert default.keys() <= schema["properties"].keys()
        else:
            # `global` is Helm's: what a chart that contains this one shares with its parts.
            assert default.keys() == schema["properties"].keys() - {"global"}, path
        assert schema["additionalProperties"] is False, path


def test_a_value_that_nobody_explains_is_found() -> None:
    """The README is made of comments: a value without one ends it."""
    assert [value.path for value in values_of("a:\n  # What it is.\n  b: 1\n")] == ["a.b"]
    with pytest.raises(ValueError, match=r"a\.b: add a comment"):
        list(values_of("a:\n  b: 1\n"))


# Kubernetes waits longer and longer before it restarts a container, so a worker had better wait itself.
OWN_DEFAULTS = {"broker_wait_s": 600}


def test_settings_have_the_scorers_names_limits_and_defaults() -> None:
    """What stands under `settings` is what scorer.settings says of it, and nothing of the scorer's is missing."""
    own = Settings.model_json_schema()["properties"]
    ours = SCHEMA["properties"]["settings"]["properties"]
    # Elsewhere in the values: kafka, store, console, worker.staticMembership; or right as the chart has them.
    elsewhere = {"bootstrap_servers", "kafka", "store", "instance_id", "http_host"}
    # By extraEnv, beside the volume with the file of trusted keys: docs/signatures.md. A worker signs nothing.
    elsewhere |= {"trusted_keys", "require_signatures", "deployment_signatures", "signing_key"}
    assert ours.keys() == {name for name in own if name not in elsewhere and not name.startswith("console_")}
    for name, schema in ours.items():
        described = _resolve(schema)
        assert DEFAULTS["settings"][name] == OWN_DEFAULTS.get(name, own[name]["default"]), name
        for limit in ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "enum", "pattern"):
            if name == "http_port" and limit == "minimum":
                assert described[limit] == 1  # a free port, which 0 takes, could not be told to Kubernetes
            else:
                assert described.get(limit) == own[name].get(limit), f"{name}: {limit}"


def test_properties_are_rejected_as_the_scorer_rejects_them() -> None:
    """The templates' lists of librdkafka properties, and their expressions for secrets, are the scorer's own."""
    text = (CHART / "templates" / "_problems.tpl").read_text(encoding="utf-8")
    for name, wanted in (
        ("reservedProperties", " ".join(sorted(RESERVED_PROPERTIES))),
        ("plainProperties", " ".join(sorted(PLAIN_PROPERTIES))),
        ("confidentialWords", CONFIDENTIAL_WORDS),
        ("pathSuffixes", PATH_SUFFIXES),
        ("urlLogin", URL_LOGIN),
        ("urlQuery", URL_QUERY),
        ("azureContainer", AZURE_CONTAINER),
    ):
        defined = re.search(rf'define "scorer\.{name}" -}}}}\n(.+)\n', text)
        assert defined is not None
        assert defined[1] == wanted


SECRET_NAMES = [
    *SECRET_PROPERTIES, *PLAIN_PROPERTIES, "sasl.pasword", "SASL_PASSWORD", "sasl.paswrod", "ssl.keystore.key",
    "client.id",    "sasl.oauthbearer.token.endpoint.url", "sasl.password.file", "session.timeout.ms", "bearer-token",
]  # fmt: skip


def test_secrets_are_known_as_the_scorer_knows_them(tmp_path: Path) -> None:
    """The chart's templates and the scorer tell secrets and URLs with a login or a token in the same way."""
    chart = Path(shutil.copytree(CHART, tmp_path / "chart"))
    (chart / "templates" / "asked.yaml").write_text(
        "kind: Asked\n"
        "names: {{ range .Values.asked.names }}\n"
        '  {{ . | quote }}: {{ include "scorer.isSecretProperty" . | quote }}{{ end }}\n'
        "urls: {{ range .Values.asked.urls }}\n"
        '  {{ . | quote }}: {{ include "scorer.hasUrlCredentials" . | quote }}{{ end }}\n',
        encoding="utf-8",
    )
    (chart / "values.schema.json").unlink()
    urls = [url for url in (*WITH_CREDENTIALS, *WITHOUT_CREDENTIALS) if "%" not in url]  # the chart decodes no escapes
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump({"kafka": {"bootstrapServers": "a:1"}, "asked": {"names": SECRET_NAMES, "urls": urls}})
    )
    (answers,) = of_kind(render(values, chart=chart), "Asked")
    assert answers["names"] == {name: "yes" if is_secret(name) else "" for name in SECRET_NAMES}
    assert answers["urls"] == {url: "yes" if has_url_credentials(url) else "" for url in urls}


@pytest.mark.parametrize(
    "given",
    [
        "kafka.allowInsecure=true,kafka.sasl.enabled=true,kafka.sasl.secretName=login",
        "kafka.allowInsecure=true,kafka.tls.enabled=true,kafka.properties.enable\\.ssl\\.certificate\\.verification=false",
        "kafka.tls.enabled=true,kafka.sasl.enabled=true,kafka.sasl.secretName=login",
        "kafka.tls.enabled=true,kafka.properties.security\\.protocol=SASL_SSL,kafka.properties.sasl\\.mechanism=OAUTHBEARER",
        "extraEnv[0].name=AWS_WEB_IDENTITY_TOKEN_FILE,extraEnv[0].value=/run/token",
        "extraEnv[0].name=AWS_SECRET_ACCESS_KEY,extraEnv[0].valueFrom.secretKeyRef.name=aws",
    ],
)
def test_text_is_rendered_as_markdown(given: str) -> None:
    """`kafka.allowInsecure` is the one way to say it; each pod has the protocol once."""
    for _, pod in pods(render(values_named("minimal"), "--set", given)):
        (container,) = pod["spec"]["containers"]
        names = [entry["name"] for entry in container["env"]]
        assert names.count("SCORER_KAFKA__SECURITY_PROTOCOL") == ("kafka." in given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("kafka.bootstrapServers=", "kafka.bootstrapServers: required: the brokers' addresses"),
        (
            "kafka.sasl.enabled=true,kafka.tls.enabled=true",
            "kafka.sasl.secretName: required with kafka.sasl.enabled",
        ),
        ("kafka.sasl.enabled=true,kafka.sasl.secretName=a", "kafka.tls.enabled: a login without TLS lets others"),
        (f"{_TLS}kafka.properties.security\\.protocol=sasl_plaintext", "kafka.tls.enabled: a login without TLS"),
        ("kafka.tls.ca.secretName=ca", "kafka.tls.enabled: must be true with kafka.tls.ca.secretName"),
        ("kafka.sasl.secretName=login", "kafka.sasl.enabled: must be true with kafka.sasl.secretName"),
        (
            f"{_TLS}kafka.properties.enable\\.ssl\\.certificate\\.verification=false",
            "kafka.properties: enable.ssl.certificate.verification (false) lets others on the network pose as a broker",
        ),
        (
            f"{_TLS}kafka.properties.ssl\\.endpoint\\.identification\\.algorithm=None",
            "kafka.properties: ssl.endpoint.identification.algorithm (None) lets others on the network pose",
        ),
        (r"kafka.properties.ssl\.cipher\.suites=x", "kafka.properties: ssl.cipher.suites has no effect without TLS"),
        (
            f"{_TLS}kafka.properties.sasl\\.mechanism=x",
            "kafka.properties: sasl.mechanism has no effect without a login",
        ),
        ("kafka.bootstrapServers=u:p@a:1", "kafka.bootstrapServers: a login is not part of an address"),
        ("store.url=simplecache::s3://k:p@b", "store.url: is a URL with a login or a token"),
        ("extraEnv[0].name=AWS_SECRET_ACCESS_KEY,extraEnv[0].value=x", "extraEnv: AWS_SECRET_ACCESS_KEY is a secret"),
        (
            "extraEnv[0].name=SCORER_KAFKA__SSL_KEY_PME,extraEnv[0].value=x",
            "extraEnv: SCORER_KAFKA__SSL_KEY_PME is a s",
        ),
        ("extraEnv[0].name=https_proxy,extraEnv[0].value=http://u:p@proxy", "extraEnv: https_proxy is a secret"),
        (r"kafka.properties.acks=1", "kafka.properties: acks is set by the scorer itself"),
        (f"{_LOGIN}kafka.properties.sasl\\.password=no", "kafka.properties: sasl.password is a secret"),
        (
            f"{_LOGIN}kafka.properties.sasl\\.pasword=no",
            "kafka.properties: sasl.pasword is a secret (or a misspelt one)",
        ),
        ("extraEnv[0].name=SCORER_SHUTDOWN_TIMEOUT_S", "extraEnv: SCORER_SHUTDOWN_TIMEOUT_S is set by the chart"),
        ("store.url=s3://a,store.claim.enabled=true", "store.url and store.claim.enabled: mutually exclusive"),
        (
            "autoscaling.keda.enabled=true,autoscaling.cpu.enabled=true",
            "autoscaling.keda.enabled and autoscaling.cpu.enabled: mutually exclusive",
        ),
        (
            "autoscaling.keda.enabled=true,autoscaling.maxReplicas=13",
            "autoscaling.maxReplicas (13): more than topics.partitions (12)",
        ),
        (
            "autoscaling.keda.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=4",
            "autoscaling.minReplicas (5): more than the maximum number of workers (4)",
        ),
        (
            "autoscaling.cpu.enabled=true,autoscaling.minReplicas=0",
            "autoscaling.minReplicas (0): without workers there is no CPU load",
        ),
        (
            "autoscaling.cpu.enabled=true,worker.resources.requests.cpu=null",
            "worker.resources.requests.cpu: required with autoscaling.cpu.enabled",
        ),
        ("console.enabled=true", "console.tokenSecret.name: required with console.enabled"),
    ],
)
def test_values_that_do_not_fit_together_are_rejected(given: str, expected: str) -> None:
    """Each is refused with a sentence that says what, where and how to mend it."""
    output = refusal(values_named("minimal"), "--set", given)
    assert "invalid values:" in output
    (line,) = re.findall(r"(?m)^- .*$", output)
    assert line.startswith(f"- {expected}")


def test_all_problems_are_reported_at_once() -> None:
    """Who has three values to mend reads of the three."""
    given = f"{_TLS}kafka.bootstrapServers=,kafka.sasl.enabled=true,console.enabled=true"
    assert len(re.findall(r"(?m)^- ", refusal(values_named("minimal"), "--set", given))) == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("settings.shutdown_timeout_s=0", "at '/settings/shutdown_timeout_s': exclusiveMinimum"),
        ("settings.delivery=at-most-once", "at '/settings/delivery': value must be one of 'exactly-once'"),
        ("topics.partitions=many", "at '/topics/partitions': got string, want integer"),
        ("kafka.sasl.mechanism=OAUTHBEARER", "at '/kafka/sasl/mechanism': value must be one of 'SCRAM-SHA-512'"),
        ("image.digest=sha256:0", "at '/image/digest': 'sha256:0' does not match pattern"),
        ("podDisruptionBudget.maxUnavailable=0", "at '/podDisruptionBudget/maxUnavailable': "),
    ],
)
def test_a_value_beyond_its_limits_is_rejected(given: str, expected: str) -> None:
    """Helm says where it stands and what it may be."""
    assert expected in refusal(values_named("minimal"), "--set", given)


def test_large_numbers_are_written_out() -> None:
    """Helm reads numbers as floats, and 8388608 came out as 8.388608e+06, which is no number of bytes to the scorer."""
    resources = render(values_named("production"))
    (container,) = pod_of(resources, "worker")["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["SCORER_RECORD_BYTES_MAX"] == "8388608"
    assert environment["SCORER_SHUTDOWN_TIMEOUT_S"] == "40.5"
    (scaled,) = of_kind(
        render(values_named("tls-sasl"), "--set", "autoscaling.keda.lagThreshold=10000000"), "ScaledObject"
    )
    assert scaled["spec"]["triggers"][0]["metadata"]["lagThreshold"] == "10000000"
