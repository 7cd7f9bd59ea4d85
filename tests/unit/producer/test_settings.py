"""Settings of the producer: four sources, one order, and the scorer's own file read without a quarrel."""

from pathlib import Path

import pytest

from producer.errors import MisuseError
from producer.settings import Settings, load_settings
from tests.unit.schemas.test_service_links import links

TLS = {"SCORER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder of one's own, so that no scorer.toml is there but the test's."""
    monkeypatch.chdir(tmp_path)


def _write_toml(text: str) -> None:
    Path("scorer.toml").write_text(text)


def test_defaults() -> None:
    """Without any source a broker on this machine and the contract's topics are meant."""
    assert load_settings(environment={}) == Settings(bootstrap_servers="localhost:9092")


def test_flags_go_over_the_environment_and_that_over_the_file() -> None:
    """Each setting, and each librdkafka property, comes from the highest source that has it."""
    _write_toml(
        'bootstrap_servers = "file:1"\napplications_topic = "file"\ndecisions_topic = "file"\n'
        '[kafka]\nsecurity.protocol = "SSL"\nlinger.ms = 7\nsocket.keepalive.enable = true\n"client.id" = "file"\n'
    )
    environment = {
        "SCORER_BOOTSTRAP_SERVERS": "env:1",
        "SCORER_DECISIONS_TOPIC": "env",
        "SCORER_KAFKA__LINGER_MS": "8",
        "SCORER_KAFKA__CLIENT_ID": "env",
        "PATH": "/bin",
    }
    flags = {"bootstrap_servers": "flag:1", "decisions_topic": None, "kafka": {"client.id": "flag"}}
    settings = load_settings(flags, environment)
    assert (settings.bootstrap_servers, settings.applications_topic, settings.decisions_topic) == (
        "flag:1",
        "file",
        "env",
    )
    assert settings.kafka == {
        "security.protocol": "SSL",
        "linger.ms": "8",
        "socket.keepalive.enable": "true",
        "client.id": "flag",
    }


def test_what_concerns_only_the_scorer_is_left_to_it() -> None:
    """Values of the scorer's own settings, in the file or the environment, are neither used nor judged."""
    _write_toml('group_id = ""\nlinger_ms = "x"\n')
    assert load_settings(environment={"SCORER_BATCH_RECORDS_MAX": "0"}) == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'bootstrap_server = "x:1"',
            "bootstrap_server (from scorer.toml): unknown setting; did you mean boot",
        ),
        ("bootstrap = 5", "bootstrap (from scorer.toml): unknown setting; did you mean bootstrap_servers?"),
        ("[Kafka]\nlinger.ms = 5", "Kafka (from scorer.toml): unknown setting; did you mean kafka?"),
        ("[[kafka]]\nlinger.ms = 5", "kafka (from scorer.toml): is a table of librdkafka properties"),
        ('kafka = "x"', "kafka (from scorer.toml): is a table of librdkafka properties"),
        ("[kafka]\nlinger.ms = [5]", "kafka.linger.ms (from scorer.toml): must be one value"),
        ("bootstrap_servers = 9092", "bootstrap_servers (from scorer.toml): must be a text"),
        ('bootstrap_servers = ""', "bootstrap_servers (from scorer.toml): must not be empty"),
        ('bootstrap_servers = ["a:1"]', "bootstrap_servers (from scorer.toml): must be a text"),
        ('bootstrap_servers = "localhost:99999"', "bootstrap_servers (from scorer.toml): a port is a number"),
        ('applications_topic = ""', "applications_topic (from scorer.toml): must have 1 to 249 letters"),
        ('decisions_topic = "a b"', "decisions_topic (from scorer.toml): must have 1 to 249 letters"),
    ],
)
def test_the_file_is_read_as_strictly_as_the_scorer_reads_it(text: str, problem: str) -> None:
    """A misspelt name meant localhost:9092, and a list or an empty topic went to librdkafka as it was."""
    _write_toml(text + "\n")
    with pytest.raises(MisuseError) as refused:
        load_settings(environment={})
    (line,) = str(refused.value).splitlines()[1:]
    assert line.strip().startswith(problem)


def test_a_property_that_is_called_file_is_one() -> None:
    """Only secrets are read from files: of OAuth, librdkafka opens the key's file itself."""
    name = "sasl.oauthbearer.assertion.private.key.file"
    assert load_settings({"kafka": {name: "key"}}, environment=TLS).kafka[name] == "key"


def test_a_property_may_be_read_from_a_file() -> None:
    """A secret whose name ends in .file has its value in that file, and the value is never shown."""
    Path("password").write_text("s3cr3t\n")
    settings = load_settings(environment={"SCORER_KAFKA__SASL_PASSWORD_FILE": "password", **TLS})
    assert settings.kafka["sasl.password"] == "s3cr3t"
    assert "s3cr3t" not in repr(settings)


def test_files_that_cannot_be_read_are_misuse() -> None:
    """A broken scorer.toml, and a property's file that is missing, are named without what is in them."""
    with pytest.raises(
        MisuseError, match=r"kafka\.sasl\.password\.file \(from flag\): the file cannot be read: No such"
    ):
        load_settings({"kafka": {"sasl.password.file": "none"}}, environment={})
    _write_toml("= 1")
    with pytest.raises(MisuseError, match=r"scorer\.toml: the settings file is not TOML: .*line 1"):
        load_settings(environment={})
    Path("scorer.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(MisuseError, match=r"scorer\.toml: the settings file is not UTF-8 \(line 1\)"):
        load_settings(environment={})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_every_editor(encoding: str) -> None:
    """A byte-order mark used to make scorer.toml an error, and to become part of a password that no broker took."""
    Path("scorer.toml").write_bytes('bootstrap_servers = "file:1"\r\n'.encode(encoding))
    Path("password").write_bytes("päss word \r\n".encode(encoding))
    settings = load_settings({"kafka": {"sasl.password.file": "password"}}, environment=TLS)
    assert (settings.bootstrap_servers, settings.kafka["sasl.password"]) == ("file:1", "päss word ")


def test_variables_of_kubernetes_are_not_properties() -> None:
    """A Service called scorer-kafka--x sets variables that begin like librdkafka properties, and producer is none."""
    environment = {**links("SCORER"), **links("SCORER_KAFKA__X"), **links("PRODUCER")}
    assert load_settings(environment=environment) == Settings()
