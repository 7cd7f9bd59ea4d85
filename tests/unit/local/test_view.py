"""How `scorer up` looks on terminals of several sizes."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from scorer.local.up import Snapshot
from scorer.local.view import page
from scorer.local.workers import WorkerView


def snapshot(workers: int) -> Snapshot:
    """A busy run with every kind of result."""
    codes = ["unknown_category", "not_json", "missing_field", "out_of_range", "wrong_type", "too_large", "not_utf8"]
    return Snapshot(
        broker="given at kafka-1.some-long-name.example:9092,kafka-2.some-long-name.example:9092",
        bundle="credit-risk:1.1.0",
        elapsed_s=12_345,
        published=1_234_567,
        decided=1_200_000,
        rejected=34_000,
        waiting=567,
        duplicated=12,
        rate=12_345,
        p50_s=0.1567,
        p99_s=12.3456,
        decisions={"APPROVED": 800_000, "MAYBE": 1, "DECLINED": 399_999},
        rejections=dict.fromkeys(codes, 4_857),
        workers=[
            WorkerView(
                f"worker-{n}",
                "not ready: broker_reachable",
                n,
                6,
                600_000,
                120,
                6_000.0,
                123.4,
                http=f"127.0.0.1:{20_000 + n}",
            )
            for n in range(workers)
        ],
    )


def drawn(shown: Snapshot, size: tuple[int, int], notices: tuple[str, ...] = ()) -> list[str]:
    """The page's lines on a terminal of this size."""
    console = Console(file=io.StringIO(), width=size[0], height=size[1], force_terminal=True, color_system=None)
    footer = [
        "Ctrl-C: stop   console: http://127.0.0.1:8765/   logs: /tmp/scorer-up-12345678",
        "export SCORER_BOOTSTRAP_SERVERS=127.0.0.1:9092",
    ]
    with console.capture() as capture:
        console.print(page(shown, notices, footer, size))
    return capture.get().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("workers", [1, 2, 64])
def test_everything_fits(size: tuple[int, int], workers: int) -> None:
    """At 80 by 24 headings were once cut to "publish…", values wrapped, and workers vanished behind "…"."""
    shown = snapshot(workers)
    refused = "my-risk:2.0.0 was deployed and cannot be loaded: there is no bundle my-risk:2.0.0"
    shown.workers[0] = replace(shown.workers[0], load_failure=refused)
    lines = drawn(shown, size, tuple(f"notice {number} " + "x" * 200 for number in range(6)))
    text = "\n".join(lines)
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    for whole in ("published", "duplicated", "1,234,567", "12,345/s", "12.3 s", "APPROVED", "800,000", "REJECTED"):
        assert whole in text
    for whole in (
        "worker-0",
        "unknown_category 4,857",
        "notice 5",
        "http://127.0.0.1:8765/",
        "logs: /tmp/scorer-up-",
        "export SCORER_BOOTSTRAP_SERVERS=127.0.0.1:9092",
        "http://127.0.0.1:20000/metrics",
    ):
        assert whole in text
    assert "worker-0: my-risk:2.0.0 was deployed and cannot be loaded" in text
    assert ("more" in text) == (workers == 64 and size[1] < 80)


def test_the_addresses_are_in_the_footer() -> None:
    """The console's address once scrolled away, and the metrics' ports were shown nowhere."""
    *_, stop, metrics, export = drawn(snapshot(2), (80, 24))
    assert stop.strip() == "Ctrl-C: stop   console: http://127.0.0.1:8765/   logs: /tmp/scorer-up-12345678"
    assert metrics.strip() == "metrics: http://127.0.0.1:20000/metrics http://127.0.0.1:20001/metrics"
    assert export.strip() == "export SCORER_BOOTSTRAP_SERVERS=127.0.0.1:9092"
    *_, metrics, export = drawn(snapshot(64), (80, 40))
    assert metrics.strip() == "metrics: http://127.0.0.1:20000/metrics and 63 others"
    *_, metrics, export = drawn(snapshot(2), (60, 30))
    assert metrics.strip() == "metrics: http://127.0.0.1:20000/metrics and 1 other"


def test_codes_are_shown_whole() -> None:
    """In one line, the most frequent ones first; the others are a number."""
    (line,) = (line for line in drawn(snapshot(2), (80, 24)) if "REJECTED" in line)
    assert line.rstrip().endswith("unknown_category 4,857, not_json 4,857 and 5 others")


def test_a_challenger_is_one_line() -> None:
    """How often it would have decided differently, over all workers; without one there is no line."""
    shown = snapshot(2)
    assert "challenger" not in "\n".join(drawn(shown, (80, 24)))
    shown.workers[:] = [
        replace(worker, challenger="my-risk:1.0.0", compared=2_000, differing=30) for worker in shown.workers
    ]
    assert " challenger my-risk:1.0.0: 60 of 4,000 decisions differ (1.5%)" in drawn(shown, (80, 24))


def test_a_narrow_terminal_shows_the_figures() -> None:
    """Below 80 columns totals become words that wrap, and the workers' table drops columns."""
    lines = drawn(snapshot(2), (60, 30))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 60
    assert "published 1,234,567" in text
    assert "worker-1" in text
