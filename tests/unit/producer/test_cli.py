"""The command line: pages that teach, misuse that is explained, and nothing heavy loaded to say so."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from producer.cli import app, main
from producer.errors import MisuseError
from producer.interrupt import interruptible
from producer.trial import field_table, make_trial
from schemas.application import CreditApplication
from schemas.contracts import shipped_contract

pytestmark = pytest.mark.slow

NO_BROKER = ("-b", "127.0.0.1:1")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, an environment without settings, and the signals put back afterwards."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("SCORER_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def _run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of the whole command."""
    monkeypatch.setattr(sys, "argv", ["producer", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    output = capsys.readouterr()
    return int(caught.value.code or 0), output.out, output.err


@pytest.mark.parametrize("command", ["publish", "load", "try", "watch"])
def test_every_page_teaches_by_example(command: str) -> None:
    """Each command's page has examples that begin with the command as one types it."""
    page = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"}).output
    assert "Examples:" in page
    assert f"producer {command}" in page.partition("Examples:")[2]


def test_help_loads_nothing_heavy() -> None:
    """A page comes up without Kafka, numpy and pydantic being loaded."""
    code = "import producer.cli, sys; print([m for m in ('confluent_kafka', 'numpy', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["publish", "none.csv", *NO_BROKER], "none.csv: file not found"),
        (["publish", "none.xlsx", *NO_BROKER], "unknown suffix"),
        (["try", "age=7", "home=tent", "shoe=9", "job", *NO_BROKER], "shoe: unknown field"),
        (["watch", "--kafka", "linger.ms", *NO_BROKER], "write NAME=VALUE"),
        (["watch", "--kafka", "no.such=1", *NO_BROKER], "No such configuration property"),
        (["publish", "x.csv", "--header", "a\udcff=b", *NO_BROKER], "a name or value is not UTF-8"),
        (["publish", "x.csv", "--header", "a=\udcff", *NO_BROKER], "a name or value is not UTF-8"),
        (["watch", "--decisions-topic", "\udcff", *NO_BROKER], "decisions_topic (from flag): is not UTF-8"),
        (
            ["watch", "--kafka", "client.id=a\x00b", *NO_BROKER],
            "kafka.client.id (from flag): contains a control character",
        ),
        (["load", "--prefix", "x" * 60, *NO_BROKER], "at most 48"),
        (["try", "age=20", "age=30", *NO_BROKER], "age: given twice"),
        (["publish", "x.csv", "--header", "a=b", "--header", "a=c", *NO_BROKER], "--header a: given twice"),
    ],
)
def test_misuse_is_reported_in_one_message_before_a_request_to_the_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """What is wrong with the call is told at once, on standard error, with exit code 2 and no traceback."""
    code, out, err = _run_main(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("producer: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [["load", "--for", "never"], ["load", "--rate", "0"], ["load", "--invalid", "2"], ["publish"], ["nonsense"]],
)
def test_flags_that_are_wrong_are_misuse(arguments: list[str]) -> None:
    """A flag's value that cannot be, a missing argument and an unknown command exit with 2."""
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["publish", "a.jsonl"], ["load"], ["try"], ["watch"]])
def test_a_missing_broker_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Every command says which address does not answer and why, once, and exits with 1."""
    monkeypatch.setattr("producer.kafka.ANSWER_S", 0.3)
    Path("a.jsonl").write_text("{}\n")
    code, out, err = _run_main(monkeypatch, capsys, *arguments, *NO_BROKER)
    assert (code, out) == (1, "")
    assert err.startswith("producer: could not connect to Kafka at 127.0.0.1:1")
    assert err.count("\n") == 1


def test_the_fields_can_be_listed() -> None:
    """`try --fields` lists every field with its choices; without a broker those of the shipped contract, as it says."""
    listed = CliRunner().invoke(app, ["try", "--fields", *NO_BROKER])
    assert listed.exit_code == 0
    assert listed.stdout == field_table(shipped_contract()) + "\n"
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == list(CreditApplication.model_fields)
    assert listed.stderr.startswith("producer: the deployed contract is not known, credit-application:1.0.0 is used: ")
    assert listed.stderr.count("\n") == 1


def test_a_trial_uses_the_examples_values_for_missing_fields() -> None:
    """Given fields are read as the contract's types, the others come from its example and are named; the id is new.

    The marital status, which is optional and a prohibited basis, used to be sent without having been given.
    """
    trial = make_trial(["age=25", "income=null", "job=fixed", "assets=1e3"], shipped_contract())
    application = CreditApplication.model_validate(trial.application)
    assert (application.age, application.income, application.job, application.assets) == (25, None, "fixed", 1000)
    assert set(trial.defaulted) == set(CreditApplication.model_fields) - {
        "application_id", "age", "income", "job", "assets", "marital",
    }  # fmt: skip
    assert "marital" not in trial.application
    assert make_trial(["marital=single"], shipped_contract()).application["marital"] == "single"
    assert trial.application["application_id"] != make_trial([], shipped_contract()).application["application_id"]
    assert make_trial(["application_id=123"], shipped_contract()).application["application_id"] == "123"


@pytest.mark.parametrize("text", ["age=old", "age=", "age=NaN", "age=1e999", "age=true", "age=[30]", "age=null", "age"])
def test_a_trial_with_a_wrong_value_says_what_the_field_takes(text: str) -> None:
    """An invalid value is reported with the field's valid values, and with the command that lists all fields."""
    with pytest.raises(MisuseError) as caught:
        make_trial([text], shipped_contract())
    problem = "write age=VALUE" if text == "age" else "must be a number from 18 to 120"
    assert str(caught.value) == f"invalid application:\n  age: {problem}\nproducer try --fields lists the fields"


def test_a_trial_with_a_misspelt_field_suggests_the_similar_one() -> None:
    """Of a hundred fields, the table would hide the message."""
    with pytest.raises(MisuseError, match="incme: unknown field; did you mean income\\?\n  xyz: unknown field\n"):
        make_trial(["incme=1", "xyz=1"], shipped_contract())


def test_the_fields_fit_into_a_terminal() -> None:
    """A table where it fits; else a field's values are below its name."""
    contract = shipped_contract()
    assert field_table(contract, 100) == field_table(contract)
    lines = field_table(contract, 60).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(contract.fields)
    assert max(map(len, lines)) <= 60
    assert '  one of no, yes, unk; example: "no"' in lines


def test_a_signal_is_remembered_and_a_second_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the block one signal is a question's answer and two are an interrupt; afterwards all is as before."""
    monkeypatch.undo()
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGTERM)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_contracts_example_is_valid() -> None:
    """What `try` sends without a word is an application that the contract accepts."""
    assert json.loads(json.dumps(make_trial([], shipped_contract()).application))["home"] == "rent"


def test_choices_are_completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` offers the results that there are."""
    monkeypatch.setenv("_PRODUCER_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "producer watch --only ")
    _, offered, _ = _run_main(monkeypatch, capsys)
    assert [label for label in ("APPROVED", "MAYBE", "DECLINED", "REJECTED") if f'"{label}"' not in offered] == []
