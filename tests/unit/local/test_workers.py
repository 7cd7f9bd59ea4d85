"""The workers of `scorer up`: restarted after a pause that grows, and given up after too many restarts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.errors import ScorerError
from scorer.local import workers
from scorer.local.workers import RESTARTS_PER_MINUTE_MAX, Workers


class Clock:
    """Time that passes when the test says so, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeChild:
    """A worker's process that ends when the test says so; its HTTP server is ready at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_path = Path(f"{name}.log")
        self.code: int | None = None
        self.stop_requests = False
        self.log = "worker_started http=127.0.0.1:1\nsomething went wrong"

    def exit_code(self) -> int | None:
        return self.code

    def output(self) -> str:
        return self.log

    def last_lines(self, count: int = 5) -> str:
        return "\n".join(self.log.splitlines()[-count:])

    def request_stop(self) -> None:
        self.stop_requests = True
        self.code = 0

    def kill(self) -> None:
        self.code = self.code if self.code is not None else 137


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the module under test, in which a worker's HTTP server says that it is ready."""
    made = Clock()
    monkeypatch.setattr(workers, "time", made)
    monkeypatch.setattr(workers, "_get", lambda _address, path: (200, "{}") if path == "/readyz" else (0, ""))
    return made


@pytest.fixture
def children() -> list[FakeChild]:
    """Every process started so far, the newest last."""
    return []


@pytest.fixture
def notices() -> list[str]:
    """What was notices to the user."""
    return []


@pytest.fixture
def crew(clock: Clock, children: list[FakeChild], notices: list[str]) -> Workers:
    """One worker, ready."""
    del clock
    made = Workers(["worker-0"], launcher(children), notices.append)
    made.start(lambda: False)
    return made


def launcher(children: list[FakeChild]) -> Callable[[str], FakeChild]:
    """Starts processes that the test can end."""

    def launch(name: str) -> FakeChild:
        children.append(FakeChild(name))
        return children[-1]

    return launch


def end_and_restart(crew: Workers, clock: Clock, children: list[FakeChild], code: int = 1) -> float:
    """Ends the running process; returns after how many seconds the next one was started."""
    before, began_at = len(children), clock.now_s
    children[-1].code = code
    while len(children) == before:
        crew.supervise()
        clock.now_s += 0.25
    crew.supervise()  # sees that it is ready
    return clock.now_s - began_at - 0.25


def test_a_dead_worker_is_restarted_and_reported(
    crew: Workers, clock: Clock, children: list[FakeChild], notices: list[str]
) -> None:
    """A worker that was killed once stood as "ended with 1" until the end of the run, and nobody said why."""
    assert end_and_restart(crew, clock, children, code=137) == 1.0
    assert notices[0].startswith("worker-0 exited: killed by SIGKILL; restart 1 in 1 s.")
    assert "  something went wrong" in notices
    assert notices[-1] == "worker-0 is ready again, at http://127.0.0.1:1"
    (view,) = crew.view()
    assert view.restarts == 1
    assert not crew.restarting


def test_the_pause_grows_and_restarts_end(
    crew: Workers, clock: Clock, children: list[FakeChild], notices: list[str]
) -> None:
    """Restarts in quick succession are spaced out, and after the last allowed one the reason ends the run."""
    pauses = [end_and_restart(crew, clock, children) for _ in range(RESTARTS_PER_MINUTE_MAX)]
    assert pauses == pytest.approx([1, 2, 4, 8, 8])
    children[-1].code = 1
    with pytest.raises(ScorerError, match=r"worker-0 exited again after 5 restarts: exit code 1\. The last lines"):
        crew.supervise()
    assert len(notices) > RESTARTS_PER_MINUTE_MAX


def test_restarts_of_more_than_a_minute_ago_do_not_count(
    crew: Workers, clock: Clock, children: list[FakeChild]
) -> None:
    """A worker that is killed now and then is restarted for as long as the run lasts."""
    for _ in range(3 * RESTARTS_PER_MINUTE_MAX):
        assert end_and_restart(crew, clock, children) == 1.0
        clock.now_s += 61


def test_processes_that_never_became_ready_count_however_long_they_ran(
    crew: Workers, clock: Clock, children: list[FakeChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine five failed starts take more than a minute; they used to be restarted without end."""
    monkeypatch.setattr(workers, "_get", lambda *_: (503, "{}"))
    for _ in range(RESTARTS_PER_MINUTE_MAX):
        end_and_restart(crew, clock, children)
        clock.now_s += 30
    children[-1].code = 1
    with pytest.raises(ScorerError, match="exited again after 5 restarts"):
        crew.supervise()


def test_a_worker_that_ends_at_once_is_not_restarted(
    clock: Clock, children: list[FakeChild], notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first start fails by itself, the run ends with the worker's own words, at once."""
    del clock
    monkeypatch.setattr(FakeChild, "exit_code", lambda _: 1)
    crew = Workers(["worker-0"], launcher(children), notices.append)
    with pytest.raises(ScorerError, match="worker-0 exited during startup"):
        crew.start(lambda: False)
    assert len(children) == 1


def test_after_the_stop_nothing_is_requested(crew: Workers, children: list[FakeChild]) -> None:
    """The last look shows how each has ended, and does not take a server that is gone for a fault."""
    crew.stop(30, lambda: False)
    assert children[0].stop_requests
    assert [view.state for view in crew.view()] == ["stopped"]


def test_the_current_challenger_is_counted(monkeypatch: pytest.MonkeyPatch, crew: Workers) -> None:
    """Its comparisons are on the worker's metrics, and those of an earlier challenger are not its own."""
    metrics = "\n".join(
        f'scorer_challenger_{name}_total{{champion="a:1.0.0",challenger="{challenger}"}} {count}'
        for name, challenger, count in [
            ("compared", "b:1.0.0", 500),
            ("disagreements", "b:1.0.0", 400),
            ("compared", "c:1.0.0", 200),
            ("disagreements", "c:1.0.0", 30),
        ]
    )
    ready = '{"challenger": {"name": "c", "version": "1.0.0", "digest": "0"}}'
    monkeypatch.setattr(workers, "_get", lambda _address, path: (200, ready if path == "/readyz" else f"{metrics}\n"))
    crew.view()
    (view,) = crew.view()
    assert (view.challenger, view.compared, view.differing) == ("c:1.0.0", 200, 30)


def test_the_champion_is_shown_with_a_challenger(monkeypatch: pytest.MonkeyPatch, crew: Workers) -> None:
    """The bundle is the champion's.

    A challenger is on the same metric, after the champion, and was shown as the bundle with which the worker decides.
    """
    metrics = "\n".join(
        f'scorer_bundle_info{{slot="{slot}",name="{name}",version="1.0.0",digest="0"}} 1'
        for slot, name in (("champion", "a"), ("challenger", "b"))
    )
    monkeypatch.setattr(workers, "_get", lambda _address, path: (200, "{}" if path == "/readyz" else f"{metrics}\n"))
    crew.view()
    (view,) = crew.view()
    assert view.bundle == "a:1.0.0"
