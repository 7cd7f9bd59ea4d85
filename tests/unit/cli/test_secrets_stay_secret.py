"""Marked secrets in every setting that holds one, from every source: in no output, no message, no log."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from schemas.confidential import SECRET_PROPERTIES
from tests.integration.forked import run_forked

pytestmark = pytest.mark.slow

MARK = "m4rk3d"
MISSPELT = ("sasl.pasword", "sasl.paswrod", "ssl.key.pasphrase", "ssl.keystore.key")
SECRETS = {name: f"{MARK}-{number}" for number, name in enumerate((*SECRET_PROPERTIES, *MISSPELT))}
NO_BROKER = "127.0.0.1:1"
SOURCES = ("environment", "file", "files of their own", "flags")


def output_of(
    program: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """A command's exit code, and all that it output_of on both streams."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    environment = {**inherited, "COLUMNS": "200", **(environment or {})}
    code, out, errors = run_forked((program, *arguments), environment, folder)
    return code, out + errors


def given(source: str, secrets: Mapping[str, str], folder: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Puts secrets where they are read from: variables, and each program's arguments."""
    properties = {"security.protocol": "SASL_SSL", **secrets}
    if source == "environment":
        return {f"SCORER_KAFKA__{name.upper().replace('.', '_')}": value for name, value in properties.items()}, {}
    if source == "flags":
        scorer = [part for name, value in properties.items() for part in ("--set", f"kafka.{name}={value}")]
        producer = [part for name, value in properties.items() for part in ("--kafka", f"{name}={value}")]
        return {}, {"scorer": scorer, "producer": producer}
    if source == "files of their own":
        for name, secret in secrets.items():
            (folder / name).write_text(secret)
            del properties[name]
            properties[f"{name}.file"] = name
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in properties.items()]
    (folder / "scorer.toml").write_text("\n".join(["[kafka]", *lines]))
    return {}, {}


@pytest.mark.parametrize("source", SOURCES)
def test_the_scorer_shows_none(source: str, tmp_path: Path) -> None:
    """`config` has every secret and masks it; an error about another setting, `doctor` and a worker's log have none."""
    environment, arguments = given(source, SECRETS, tmp_path)
    flags = arguments.get("scorer", [])
    code, text = output_of("scorer", ["config", "--json", *flags], tmp_path, environment)
    assert code == 0
    shown = json.loads(text)
    assert {shown[f"kafka.{name}"]["value"] for name in SECRETS} == {"********"}
    assert MARK not in text
    commands: list[tuple[list[str], int]] = [
        (["config", "--set", "http_port=none"], 2),
        (["worker", "-b", NO_BROKER, "--set", "broker_wait_s=1", "--set", "log_level=debug"], 2),
    ]
    if source == "environment":  # where the others make no difference
        commands += [
            (["config"], 0),
            (["config", "--set", "kafka.security.protocol=PLAINTEXT"], 2),
            (["config", "--help"], 0),
            (["worker", "--help"], 0),
            (["doctor", "-b", NO_BROKER], 1),
        ]
    for command, expected in commands:
        code, text = output_of("scorer", [*command[:1], *flags, *command[1:]], tmp_path, environment)
        assert code == expected, command
        assert MARK not in text, command


@pytest.mark.parametrize("source", SOURCES)
def test_the_producer_shows_none(source: str, tmp_path: Path) -> None:
    """It has no `config`; its errors and help have none."""
    environment, arguments = given(source, SECRETS, tmp_path)
    flags = arguments.get("producer", [])
    for command, expected in (
        (["watch", "-b", "localhost:none"], 2),
        (["watch", "--kafka", "security.protocol=PLAINTEXT"] if source != "flags" else ["watch", "-b", "u:p@a:1"], 2),
        (["try", "-b", NO_BROKER], 2),
        (["publish", "--help"], 0),
    ):
        code, text = output_of("producer", [*command[:1], *flags, *command[1:]], tmp_path, environment)
        assert code == expected, command
        assert MARK not in text, command


LOGINS = [
    {"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": MARK},
    {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "u",
        "sasl.oauthbearer.client.secret": MARK,
        "sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token",
    },
    {"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": MARK, "ssl.key.pem": MARK},
    {"sasl.mechanism": "OAUTHBEARER", "enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": MARK},
]


@pytest.mark.parametrize("login", LOGINS, ids=["password", "client secret", "key", "unsigned token"])
def test_clients_log_none(login: Mapping[str, str], tmp_path: Path) -> None:
    """A client with all of its debugging logs what it is set up with, and says why a login fails."""
    environment, _ = given("environment", login, tmp_path)
    worker = ["worker", "-b", NO_BROKER, "--set", "broker_wait_s=1", "--set", "log_level=debug", "--set", "http_port=0"]
    code, text = output_of("scorer", [*worker, "--set", "kafka.debug=all"], tmp_path, environment)
    assert code in {1, 2}
    assert '"event": "process_failed"' in text
    assert MARK not in text
    code, text = output_of("producer", ["try", "-b", NO_BROKER, "--kafka", "debug=all"], tmp_path, environment)
    assert code in {1, 2}
    assert MARK not in text


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("scorer", ["config", "--set", f"kafka.sasl.password:{MARK}"]),
        ("producer", ["watch", "--kafka", f"sasl.password:{MARK}"]),
        ("scorer", ["config", "--set", f"store=SIMPLECACHE::S3://k:{MARK}@b"]),
        ("scorer", ["config", "--set", f"bootstrap_servers=SASL_SSL://u:{MARK}@a:1"]),
        ("producer", ["watch", "-b", f"SASL_SSL://u:{MARK}@a:1"]),
        ("scorer", ["config", "--set", f"kafka.client.id=https://h/?token={MARK}"]),
        ("scorer", ["bundle", "export", "credit-risk:1.1.0", f"https://{MARK}@h/x.zip"]),
        ("scorer", ["bundle", "import", f"sftp://u:hun/{MARK}@h/x.zip"]),
        ("scorer", ["worker", "--set", f"sals_password={MARK}"]),
        ("producer", ["watch", "--kafka", f"sasl.password.file={MARK}"]),
    ],
)
def test_misuse_repeats_none(program: str, arguments: list[str], tmp_path: Path) -> None:
    """A secret in a wrong place is refused without being repeated."""
    code, text = output_of(program, arguments, tmp_path, {"SCORER_STORE": str(tmp_path)})
    assert code == 2
    assert MARK not in text
