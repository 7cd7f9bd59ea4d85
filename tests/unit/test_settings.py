"""Settings: four sources, one table, every problem at once, secrets kept."""

from pathlib import Path

import pytest

from schemas.confidential import SECRET_PROPERTIES
from schemas.settings import FILE_NAME, MASK, SETTING_NAMES, LoadedSettings
from scorer.errors import SettingsError
from scorer.settings import RESERVED_PROPERTIES, Settings, load_settings
from tests.unit.schemas.test_service_links import links

TLS = {"SCORER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}


def written(folder: Path, text: str) -> Path:
    """A settings file."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def rows(loaded: LoadedSettings[Settings]) -> dict[str, tuple[str, str]]:
    """Value and origin by name."""
    return {name: (value, origin) for name, value, origin in loaded.rows()}


def test_precedence(tmp_path: Path) -> None:
    """Defaults, then the file, then the environment, then flags; and each value says where it came from."""
    path = written(tmp_path, 'group_id = "file"\nlinger_ms = 5\nbatch_records_max = 10\n')
    loaded = load_settings(
        flags={"group_id": "flag", "delivery": None},
        environment={"SCORER_GROUP_ID": "env", "SCORER_LINGER_MS": "7", "PATH": "/x"},
        file=path,
    )
    table = rows(loaded)
    assert table["group_id"] == ("flag", "flag")
    assert table["linger_ms"] == ("7", "SCORER_LINGER_MS")
    assert table["batch_records_max"] == ("10", str(path))
    assert table["delivery"] == ("exactly-once", "default")
    assert loaded.settings.linger_ms == 7


def test_defaults_are_complete() -> None:
    """Without any source there is a whole set of settings, each with its origin and a description."""
    loaded = load_settings(environment={})
    assert {name for name, _, _ in loaded.rows()} == set(Settings.model_fields) - {"kafka"}
    assert {origin for _, _, origin in loaded.rows()} == {"default"}
    assert set(SETTING_NAMES) == set(Settings.model_fields) - {"kafka"}
    assert all(field.description for field in Settings.model_fields.values())


def test_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scorer.toml` in the current folder is read without being named."""
    (tmp_path / FILE_NAME).write_text('group_id = "here"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(environment={}).settings.group_id == "here"


def test_kafka_properties(tmp_path: Path) -> None:
    """Properties of the client come dotted or as tables in the file, with underscores in the environment, as flags."""
    path = written(tmp_path, '[kafka]\n"client.rack" = "a"\nfetch.min.bytes = 5\nsocket.keepalive.enable = true\n')
    loaded = load_settings(
        flags={"kafka": {"session.timeout.ms": "9000"}},
        environment={"SCORER_KAFKA__SECURITY_PROTOCOL": "plaintext"},
        file=path,
    )
    assert loaded.settings.kafka == {
        "client.rack": "a",
        "fetch.min.bytes": "5",
        "socket.keepalive.enable": "true",
        "security.protocol": "plaintext",
        "session.timeout.ms": "9000",
    }
    assert rows(loaded)["kafka.security.protocol"] == ("plaintext", "SCORER_KAFKA__SECURITY_PROTOCOL")


def test_every_problem_at_once(tmp_path: Path) -> None:
    """One message has every problem, with the names and where the values came from."""
    path = written(tmp_path, 'no_such = 1\nhttp_port = 70000\n[kafka]\nacks = "1"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(
            flags={"delivery": "perhaps"},
            environment={"SCORER_BATCH_RECORDS_MAX": "0", "SCORER_TYPO": "1", "SCORER_APPLICATIONS_TOPIC": "a b"},
            file=path,
        )
    message = str(caught.value)
    for expected in (
        f"no_such (from {path}): unknown setting",
        f"http_port (from {path})",
        f"kafka.acks (from {path}): the worker sets this itself: it is always all",
        "delivery (from flag)",
        "batch_records_max (from SCORER_BATCH_RECORDS_MAX)",
        "typo (from SCORER_TYPO): unknown setting",
        "applications_topic (from SCORER_APPLICATIONS_TOPIC)",
    ):
        assert expected in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("SCORER_GROUP_ID", "scorer\r", "group_id (from SCORER_GROUP_ID): contains a control character"),
        ("SCORER_KAFKA__SASL_PASSWORD", "p\x00q", "contains a control character"),
        ("SCORER_BOOTSTRAP_SERVERS", "\udcff:1", "is not UTF-8"),
    ],
)
def test_characters_that_nobody_sees(name: str, value: str, fault: str) -> None:
    """The line end of a file from Windows made another group of `scorer`; librdkafka ended a password at a NUL."""
    with pytest.raises(SettingsError) as refused:
        load_settings({}, environment={name: value})
    assert fault in str(refused.value)
    assert value not in str(refused.value)


def test_a_certificate_has_lines() -> None:
    """PEM is the one text of several lines."""
    pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    assert load_settings({}, environment={"SCORER_KAFKA__SSL_CA_PEM": pem, **TLS}).settings.kafka["ssl.ca.pem"] == pem


def test_settings_that_do_not_fit_together() -> None:
    """Relations between settings are checked too, and the message names both sides."""
    with pytest.raises(SettingsError) as caught:
        load_settings(
            flags={"linger_ms": 9_000, "decisions_topic": "same", "dead_letters_topic": "same"},
            environment={"SCORER_KAFKA__MAX_POLL_INTERVAL_MS": "8000", "SCORER_KAFKA__BATCH_SIZE": "16k"},
        )
    message = str(caught.value)
    assert "the topics must differ: same is used more than once" in message
    assert "kafka.batch.size (16k) must be a number of bytes" in message
    assert "linger_ms (9000) must be less than kafka.max.poll.interval.ms (8000)" in message


@pytest.mark.parametrize("name", sorted(RESERVED_PROPERTIES))
def test_owned_properties(name: str) -> None:
    """A property on which the guarantees rest is refused, with what to use instead."""
    with pytest.raises(SettingsError, match=f"kafka.{name} .*the worker sets this itself: {RESERVED_PROPERTIES[name]}"):
        load_settings(flags={"kafka": {name: "x"}}, environment={})


@pytest.mark.parametrize("name", sorted(SECRET_PROPERTIES))
def test_secrets(name: str, tmp_path: Path) -> None:
    """A secret may come from a file; it reaches the client and is never shown."""
    secret = tmp_path / "secret"
    secret.write_text("tell nobody\n", encoding="utf-8")
    flags = {"kafka": {"security.protocol": "SASL_SSL", f"{name}.file": str(secret)}}
    loaded = load_settings(flags, environment={})
    assert loaded.settings.kafka == {"security.protocol": "SASL_SSL", name: "tell nobody"}
    assert "tell nobody" not in repr(loaded)
    assert rows(loaded)[f"kafka.{name}"] == (MASK, "flag")
    assert "tell nobody" not in str(loaded.rows())


def test_a_secrets_file_that_is_not_in_force_is_not_read(tmp_path: Path) -> None:
    """It was read before anybody knew which source wins: a file that is missing on this machine stopped everything."""
    path = written(tmp_path, f'[kafka]\nsasl.password.file = "{tmp_path / "none"}"\n')
    loaded = load_settings(environment={"SCORER_KAFKA__SASL_PASSWORD": "s3cr3t", **TLS}, file=path)
    assert loaded.settings.kafka["sasl.password"] == "s3cr3t"
    (tmp_path / "secret").write_text("from a file")
    loaded = load_settings({"kafka": {"sasl.password.file": str(tmp_path / "secret")}}, TLS, path)
    assert loaded.settings.kafka["sasl.password"] == "from a file"


def test_a_secrets_file_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell expands `~` in a variable or a file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text("s3cr3t")
    loaded = load_settings(environment={"SCORER_KAFKA__SASL_PASSWORD_FILE": "~/secret", **TLS})
    assert loaded.settings.kafka["sasl.password"] == "s3cr3t"


def test_a_secret_is_given_once_in_a_source() -> None:
    """Of a variable with a password and one with its file, the file won, for the letters that its name has."""
    environment = {"SCORER_KAFKA__SASL_PASSWORD": "s3cr3t", "SCORER_KAFKA__SASL_PASSWORD_FILE": "secret"}
    with pytest.raises(
        SettingsError, match=r"password\.file \(from SCORER_.*\): is also given as kafka.sasl.password"
    ) as raised:
        load_settings(environment=environment)
    assert "s3cr3t" not in str(raised.value)


def test_a_property_that_is_called_file_is_one() -> None:
    """Only secrets are read from files: of OAuth, librdkafka opens the key's file itself."""
    name = "sasl.oauthbearer.assertion.private.key.file"
    assert load_settings(flags={"kafka": {name: "key"}}, environment=TLS).settings.kafka[name] == "key"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http_port = true", "http_port (from {}): must be a text or a number"),
        ("shutdown_timeout_s = [25]", "shutdown_timeout_s (from {}): must be a text or a number"),
        ("[kafka]\nlinger.ms = [5]", "kafka.linger.ms (from {}): must be one value: a text, a number, true or false"),
        ("[[kafka]]\nlinger.ms = 5", "kafka (from {}): is a table of librdkafka properties, not one value"),
        ("[Kafka]\nlinger.ms = 5", "Kafka (from {}): unknown setting; did you mean kafka?"),
        (
            'bootstrap_server = "x:1"',
            "bootstrap_server (from {}): unknown setting; did you mean bootstrap_servers?",
        ),
    ],
)
def test_values_of_another_kind(tmp_path: Path, text: str, problem: str) -> None:
    """`true` was port 1, and a list became the text that Python prints for it."""
    path = written(tmp_path, text + "\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(environment={}, file=path)
    assert str(refused.value).splitlines()[1:] == [f"  {problem.format(path)}"]


@pytest.mark.parametrize("servers", ["localhost:99999", "a:1,b:0", "localhost:", "a:9092x", "SSL://a:65536", "[::1]:٣"])
def test_ports_that_cannot_be(servers: str) -> None:
    """Nothing can listen there, and a worker waited for a broker until its time to start was over."""
    with pytest.raises(SettingsError, match=r"bootstrap_servers \(from flag\): a port is a number from 1 to 65535"):
        load_settings({"bootstrap_servers": servers}, environment={})


@pytest.mark.parametrize("servers", ["a", "a:1, b:65535", "PLAINTEXT://a:9093", "[::1]:9092", "[::1]", "::1", "a:1,"])
def test_addresses_of_brokers(servers: str) -> None:
    """What librdkafka reads is left as it is, also without a port."""
    assert load_settings({"bootstrap_servers": servers}, environment={}).settings.bootstrap_servers == servers


def test_secret_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A secret's file that is missing is one of the problems, by name and origin."""
    with pytest.raises(SettingsError, match=r"kafka\.sasl\.password\.file \(from SCORER_.*\): the file cannot be read"):
        load_settings(environment={"SCORER_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(("text", "why"), [("a = [", "is not TOML"), ("\xff", "is not TOML")])
def test_file_that_is_no_toml(tmp_path: Path, text: str, why: str) -> None:
    """A settings file that cannot be read as one is an error that names it."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=f"{path.name}: the settings file {why}"):
        load_settings(environment={}, file=path)


def test_a_missing_file(tmp_path: Path) -> None:
    """A settings file that is named must be there."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings(environment={}, file=tmp_path / "none.toml")


def test_variables_of_kubernetes_are_not_settings() -> None:
    """A Service called scorer used to stop every pod of its namespace: five "no such setting" and exit code 2.

    One called scorer-console sets SCORER_CONSOLE_PORT, which is the name of a setting too, to an address.
    """
    environment = {**links("SCORER"), **links("SCORER_CONSOLE"), **links("SCORER_KAFKA__X"), **links("SCORER_HTTP")}
    loaded = load_settings(environment=environment)
    assert loaded.settings == load_settings(environment={}).settings
    assert loaded.service_links == tuple(sorted(environment))
    assert {origin for _, _, origin in loaded.rows()} == {"default"}
    loaded = load_settings(environment={**environment, "SCORER_CONSOLE_PORT": "8080"})
    assert (loaded.settings.console_port, loaded.origins["console_port"]) == (8080, "SCORER_CONSOLE_PORT")


def test_misspelt_settings_stay_errors_with_variables_of_kubernetes() -> None:
    """What only resembles the family is a setting that does not exist."""
    environment = {**links("SCORER"), "SCORER_HTPP_PORT": "9464", "SCORER_PORT": "9464", "SCORER_SERVICE": "x"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environment=environment)
    assert str(caught.value).splitlines()[1:] == [
        "  htpp_port (from SCORER_HTPP_PORT): unknown setting; did you mean http_port?",
        "  port (from SCORER_PORT): unknown setting",
        "  service (from SCORER_SERVICE): unknown setting",
    ]


@pytest.mark.parametrize("environment", [{"SCORER_KAFKA": "x"}, {}])
def test_kafka_is_a_table(environment: dict[str, str], tmp_path: Path) -> None:
    """One value for `kafka` is refused, wherever it stands: it used to be dropped without a word."""
    path = written(tmp_path, "" if environment else 'kafka = "x"\n')
    with pytest.raises(SettingsError, match=r"kafka \(from .*\): is a table of librdkafka properties"):
        load_settings(environment=environment, file=path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_every_editor(encoding: str, tmp_path: Path) -> None:
    """A byte-order mark used to make scorer.toml an invalid statement, and to become part of a password.

    Windows' editors write one. The settings are the same, and so is the password, whatever ends its line.
    """
    secret = tmp_path / "secret"
    path = tmp_path / "mine.toml"
    text = f'group_id = "zwölf"\r\n[kafka]\r\nsecurity.protocol = "SASL_SSL"\r\nsasl.password.file = "{secret}"\r\n'
    path.write_bytes(text.encode(encoding))
    for end in ("", "\n", "\r\n", "\r"):
        secret.write_bytes(f"päss word {end}".encode(encoding))
        settings = load_settings(environment={}, file=path).settings
        assert (settings.group_id, settings.kafka["sasl.password"]) == ("zwölf", "päss word ")


@pytest.mark.parametrize(("raw", "why"), [(b"", "is empty"), (b"s3cr3t\xe9", "is not UTF-8"), (b"s3cr3t\0", "NUL")])
def test_secret_files_that_hold_no_secret(raw: bytes, why: str, tmp_path: Path) -> None:
    """An empty password file used to mean an empty password; what is in the file is never shown."""
    (tmp_path / "secret").write_bytes(raw)
    with pytest.raises(SettingsError, match=rf"kafka\.ssl\.key\.pem\.file \(from flag\): the file .*{why}") as caught:
        load_settings(flags={"kafka": {"ssl.key.pem.file": str(tmp_path / "secret")}}, environment={})
    assert "s3cr3t" not in str(caught.value)


def test_a_current_folder_without_a_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was deleted has no scorer.toml; where it cannot be read, the message says which one is meant."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert load_settings(environment={}).settings.group_id == "scorer"
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(SettingsError, match=r"scorer\.toml: .*Is a directory \(in the current folder"):
        load_settings(environment={})
