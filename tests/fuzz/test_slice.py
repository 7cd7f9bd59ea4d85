"""A slice of `make fuzz`: the same inputs at every run; and what `make fuzz` would call a finding."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import main
from tests.fuzz.harness import Hang, Target, hunt, watched
from tests.fuzz.targets import TARGETS

EXAMPLES = 40


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_hostile_input_is_accepted_or_rejected(target: Target) -> None:
    """Whatever it is given, a reader takes it or refuses it with an error of the project's own."""
    options = settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    options(given(target.inputs)(target.try_input))()


def _break(_: object) -> None:
    raise ZeroDivisionError


def test_an_exception_that_is_not_ours_is_a_finding() -> None:
    """What is not among a target's own errors is reported with the input; what is among them is not."""
    inputs = st.integers()
    tried, finding = hunt(Target("broken", inputs, _break), 60, 1)
    assert tried > 0
    assert finding is not None
    assert finding.error.startswith("ZeroDivisionError")
    assert hunt(Target("ours", inputs, _break, (ZeroDivisionError,)), 0.01, 1)[1] is None


def _spin(_: object) -> None:
    while True:
        with suppress(Exception):  # as a target might
            sum(range(1_000))


def test_a_hang_is_a_finding() -> None:
    """The watchdog ends what runs on, though the target handles every exception, and reports the input."""
    _, finding = hunt(Target("hanging", st.integers(), _spin), 60, 1)
    assert finding is not None
    assert finding.error.startswith("Hang: more than 1.0 s of CPU time")


def test_the_watchdog_sleeps_afterwards() -> None:
    """Once a target has answered, nothing is left that could interrupt another."""
    with watched():
        pass
    with pytest.raises(Hang), watched():
        _spin(None)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`make fuzz` names each target and what was tried; a finding goes to a file with its input, and is exit code 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TARGETS, "broken", Target("broken", st.integers(), _break))
    assert main(["--for", "1s", "--seed", "1", "broken", "deployments"]) == 1
    printed = capsys.readouterr().out
    assert "broken: " in printed
    assert "A FINDING" in printed
    assert "deployments: " in printed
    report = (tmp_path / "build" / "fuzz" / "broken.txt").read_text(encoding="utf-8")
    assert report.startswith("0\n")
    assert "ZeroDivisionError" in report
    assert main(["--for", "1s", "deployments"]) == 0
    with pytest.raises(SystemExit):
        main(["no-such-target"])
    assert "no such target: no-such-target" in capsys.readouterr().err
