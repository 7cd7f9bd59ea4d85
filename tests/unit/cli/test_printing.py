"""What commands print of other people's texts: no escape sequence, line break or bidirectional control is left."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.records import DeadLetter, Mark, Position
from scorer.operate.finding import Finding
from scorer.operate.rollout import Rollout, UnswitchedWorker
from scorer.store.store import BundleStore
from scorer.stream.history_record import Line
from tests.unit.bundle.making import PLAIN, copy_bundle, named, remake
from tests.unit.cli.conftest import Ended, Run

HOSTILE = "\x1b]0;pwn\a\x1b[2J\r\nFORGED LINE:1.0.0\u202egpj\u2028\u009b31m"
DIGEST = "1" * 64


def require_harmless(ended: Ended) -> None:
    """What was printed obeys nobody, and no line of it begins where somebody else's text breaks."""
    output = ended.out + ended.err
    assert "FORGED" in output, "the text is shown, harmless as it is"
    assert all(line.isprintable() for line in output.split("\n")), repr(output)
    assert not any(line.lstrip(" │|").startswith("FORGED") for line in output.split("\n")), output


def reference(name: str) -> BundleReference:
    """A bundle with a name that no contract would take."""
    return BundleReference.model_construct(name=name, version="1.0.0", digest=DIGEST)


def event(actor: str = "ana", reason: str = "why", name: str = "mine") -> DeploymentEvent:
    """An event that was never validated."""
    return DeploymentEvent.model_construct(
        event_id="e-1",
        slot="champion",
        action="deploy",
        bundle=reference(name),
        previous=reference("before"),
        actor=actor,
        reason=reason,
        at=datetime(2026, 1, 31, tzinfo=UTC),
    )


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether a broker listens."""
    monkeypatch.setattr("scorer.operate.listening.require_listening", lambda _: None)


@pytest.mark.parametrize("line", [event(HOSTILE), event(reason=HOSTILE), event(name=HOSTILE)])
def test_history(run: Run, monkeypatch: pytest.MonkeyPatch, line: DeploymentEvent) -> None:
    """Who deployed, why and what are anybody's words; so is why a record is not an event."""
    monkeypatch.setattr("scorer.operate.deployments.read_history", lambda _: [Line(0, line), Line(1, None, HOSTILE)])
    require_harmless(run("history"))


def test_deploy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of workers, what they decide with and why they refuse are committed by whoever is in the group."""
    behind = UnswitchedWorker(HOSTILE, (0,), (f"{HOSTILE}@{DIGEST}",), HOSTILE)
    silent = UnswitchedWorker(HOSTILE, (1,), (), "")
    monkeypatch.setattr("scorer.operate.deployments.append_event", lambda *_: event(name=HOSTILE))
    monkeypatch.setattr(
        "scorer.operate.rollout.wait_for_workers", lambda *_: Rollout(2, (behind, silent), rebalancing=False)
    )
    ended = run("deploy", "credit-risk:1.1.0", "--reason", "x", "--wait", "1")
    assert ended.code == 1
    require_harmless(ended)


def test_deploy_names_who_deployed_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message that nothing was changed quotes the event before."""
    lines = [Line(0, event(HOSTILE, HOSTILE, HOSTILE))]
    monkeypatch.setattr("scorer.operate.deployments.read_history", lambda _: lines)

    def add(_: object, decide: Any, __: object) -> None:
        from scorer.stream.history import fold

        decide(fold(lines))

    monkeypatch.setattr("scorer.operate.deployments.append_event", add)
    ended = run("rollback", "--reason", "x", "--expect", "abcdef123456")
    assert ended.code == 1
    require_harmless(ended)


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding quotes workers and brokers."""

    def diagnose(*_: object) -> Iterator[Finding]:
        yield Finding("deployment", "wrong", HOSTILE)

    monkeypatch.setattr("scorer.operate.diagnose.diagnose", diagnose)
    require_harmless(run("doctor"))


def dead_letter() -> DeadLetter:
    """A dead letter with somebody's texts in each place."""
    return DeadLetter(
        position=Position(0, 1),
        code=HOSTILE,
        reason=HOSTILE,
        topic=HOSTILE,
        partition=0,
        offset=0,
        at=HOSTILE,
        bundle=HOSTILE,
        replay_id="",
        timestamp_ms=0,
        pointer=HOSTILE,
        value_bytes=1,
        key=HOSTILE.encode(),
        value=HOSTILE.encode(),
        headers=[],
    )


def test_dead_letters(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers, keys and values are whatever somebody wrote."""
    mark = Mark(Position(0, 1), HOSTILE, HOSTILE)
    monkeypatch.setattr("scorer.operate.dead_letters.read_dead_letters", lambda *_, **__: iter([dead_letter(), mark]))
    monkeypatch.setattr("scorer.operate.dead_letters.find_dead_letter", lambda *_: dead_letter())
    require_harmless(run("dlq", "list"))
    require_harmless(run("dlq", "show", "0:1", "--value"))


def test_tags(run: Run, tmp_path: Path) -> None:
    """A tag says who set it, and anyone who may write to the store can write that: control characters are refused."""
    store = BundleStore(tmp_path / "store")
    store.put(named(tmp_path / "made", "mine", "2.0.0"))
    run("bundle", "tag", "mine:2.0.0", "prod")
    (tag,) = (path for path in (tmp_path / "store").rglob("*prod*") if path.is_file())
    tag.write_text(json.dumps(json.loads(tag.read_bytes()) | {"by": HOSTILE}), encoding="utf-8")
    ended = run("bundle", "show", "mine:prod")
    assert ended.code == 1
    assert "the tag mine:prod is damaged: by: contains a control character" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_fault_of_a_manifest(run: Run, tmp_path: Path) -> None:
    """A manifest's fault names the key that breaks a rule, which is the author's text."""
    folder = remake(copy_bundle(tmp_path / "copy"), lambda manifest: manifest.update({HOSTILE: 1}))
    ended = run("bundle", "show", folder)
    assert ended.code == 1
    require_harmless(ended)


def test_manifest_that_was_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and libraries are shown on their own lines, whatever is in them."""
    from scorer.bundle.load import read_manifest

    manifest = read_manifest(PLAIN).model_copy(update={"labels": {HOSTILE: HOSTILE}, "libraries": {HOSTILE: HOSTILE}})
    monkeypatch.setattr("scorer.bundle.load.read_manifest", lambda _: manifest)
    require_harmless(run("bundle", "show", PLAIN))
