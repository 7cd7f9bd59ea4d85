"""The ratios of a comparison: each within its round, to the fastest of a family, and latencies as medians."""

from benchmarks.ratios import latency_medians, ratio, summarise

COMPILED, PYTHON = "scorer, compiled engine | at-least-once", "scorer, Python engine | at-least-once"
PLAIN, STREAMS, CEILING = "plain Java | at-least-once", "Kafka Streams | at-least-once", "C++ | at-least-once"
FAMILIES = {
    COMPILED: "ours, compiled engine",
    PYTHON: "ours, Python engine",
    PLAIN: "jvm",
    STREAMS: "jvm",
    CEILING: "native",
}


def figures(rate: float, cpu_us: float = 1.0) -> dict[str, float]:
    """A program's figures in a round."""
    return {"rate": rate, "cpu_us": cpu_us}


def load(rate: int, p99_ms: float) -> dict[str, object]:
    """A program's latency at a rate."""
    return {"rate": rate, "ms": {"p50": 1.0, "p99": p99_ms}, "missing": 0}


def test_ratios_are_of_one_round() -> None:
    """A round that lacks one of the two does not count, however much faster the machine was in it."""
    rounds = [{COMPILED: figures(200), PLAIN: figures(100)}, {COMPILED: figures(9_000)}, {PLAIN: figures(1)}]
    assert ratio(rounds, COMPILED, PLAIN, "rate") == (2.0, 2.0, 2.0)
    assert ratio(rounds[1:], COMPILED, PLAIN, "rate") is None


def test_summary() -> None:
    """Each engine to the fastest of a family and to the ceiling; what was not measured is said."""
    first = {COMPILED: figures(300, 4), PYTHON: figures(100, 8), PLAIN: figures(100), STREAMS: figures(150)}
    second = {COMPILED: figures(200, 2), PYTHON: figures(100, 8), STREAMS: figures(100), CEILING: figures(500, 2)}
    latencies = [{COMPILED: [load(5_000, 20)]}, {COMPILED: [load(5_000, 40)]}]
    summary = summarise({"rounds": [first, second], "latencies": latencies}, FAMILIES)
    to_jvm = "Kafka Streams, at-least-once | 2.00 × (2.00 to 2.00) | 0.83 × (0.67 to 1.00) |"
    assert f"| records/s, at-least-once, to the fastest on the JVM | {to_jvm}" in summary
    assert "| records/s, exactly-once, to the fastest on the JVM | not measured |" in summary
    assert "to C++ at-least-once | C++, at-least-once | 1.00 × (1.00 to 1.00) | 4.00 × (4.00 to 4.00) |" in summary
    assert "| at-least-once, 5,000 applications/s | 1 and 30 |  |" in summary


def test_latencies_are_medians_of_the_rounds() -> None:
    """By program and rate, in the order of the rates."""
    rounds = [{COMPILED: [load(50, 9), load(5, 1)]}, {COMPILED: [load(5, 2)]}, {COMPILED: [load(5, 6)]}]
    assert latency_medians(rounds) == {
        COMPILED: {5: {"p50": 1.0, "p99": 2.0, "missing": 0}, 50: {"p50": 1.0, "p99": 9.0, "missing": 0}}
    }
