"""Judges a history: is anything lost, doubled, reordered or mislabelled, and did every worker decide again?"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from tests.chaos import liveness
from tests.chaos.history import ACT, Cause, Exit, History
from tests.chaos.product import SHUTDOWN_S
from tests.chaos.scenario import Expectation
from tests.chaos.workers import STOP_MARGIN_S

LATE_S: Final = 2.0
"""A decision that took longer than this was delayed by the fault."""

_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """What a history amounts to; counts of applications, times in seconds."""

    acknowledged: int
    decided: int
    dead_letters: int
    lost: int
    waived: int
    """Deleted by the scenario before they were decided."""
    doubled: int
    extra: int
    """Results beyond the first of their application."""
    out_of_order: int
    wrong_kind: int
    """Valid applications rejected, and invalid ones decided."""
    published_twice: int
    """Applications that the publisher's client wrote to the topic twice; each record has one result."""
    wrong_source: int
    """Results that name another record than the one that holds their application, or have another key."""
    pause_s: float
    """The longest time without a result at the live reader."""
    publisher_pause_s: float
    """The longest time without an acknowledgement: what Kafka itself took."""
    recovery_s: float | None
    """From the healing to the last result that came late; None if some never came."""
    latency_max_s: float
    decides_again_s: float | None
    """From the healing until the last worker decided again; None if one did not."""
    stuck_s: float
    """The longest that a worker which called itself healthy had work and committed nothing, without a fault."""
    rss_max_mb: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of a run, and every expectation that does not hold."""

    figures: Figures
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as expected."""
        return not self.failures


def judge(history: History, expect: Expectation) -> Verdict:
    """Looks through a history.

    Args:
        history: what was recorded.
        expect: what must hold.
    """
    published = _with_waivers(history)
    results = history.results
    due = published.filter(~pl.col("waived"))
    twice = _published_twice(published, results)
    lost = max(
        due.join(results, on="number", how="anti"),
        due.filter(pl.col("offset") >= 0).join(
            results,
            left_on=["partition", "offset"],
            right_on=["source_partition", "source_offset"],
            how="anti",
        ),
        key=lambda missing: missing.height,
    )
    repeats = _repeats(published, results.join(twice, on="number", how="anti"))
    known = results.join(published, on="number", how="inner", suffix="_published")
    latencies = _latencies(history, known)
    second = liveness.decides_again(history, expect.decides_again_s)
    stuck = liveness.longest_stuck(history)
    figures = Figures(
        acknowledged=published.height,
        decided=results.filter(pl.col("kind") == "decision").height,
        dead_letters=results.filter(pl.col("kind") == "dead letter").height,
        lost=lost.height,
        waived=published.filter(pl.col("waived")).join(results, on="number", how="anti").height,
        doubled=repeats.height,
        extra=int(repeats["len"].sum()) - repeats.height,
        out_of_order=_out_of_order(known),
        wrong_kind=known.filter(pl.col("valid") != (pl.col("kind") == "decision")).height,
        published_twice=twice.height,
        wrong_source=known.join(twice, on="number", how="anti")
        .filter(
            (pl.col("source_partition") != pl.col("partition_published"))
            | ((pl.col("source_offset") != pl.col("offset_published")) & (pl.col("offset_published") >= 0))
            | (pl.col("key") != pl.col("key_published"))
        )
        .height,
        pause_s=_longest_gap(history.arrivals["arrived_s"], _end_of(history) if lost.height else None),
        publisher_pause_s=_longest_gap(published["acked_s"], None),
        recovery_s=None if lost.height else _recovery_s(history, latencies),
        latency_max_s=_largest(latencies["latency_s"]),
        decides_again_s=None if None in second.values() else max((s for s in second.values() if s), default=0.0),
        stuck_s=max((s.seconds for s in stuck), default=0.0),
        rss_max_mb=_largest(history.samples["rss_mb"]),
    )
    failures = _failures(history, expect, figures, second, stuck)
    return Verdict(figures, (*_examples(lost), *failures) if lost.height else tuple(failures))


def _failures(
    history: History,
    expect: Expectation,
    figures: Figures,
    second: dict[int, float | None],
    stuck: list[liveness.Stuck],
) -> Iterator[str]:
    for count, what in (
        (figures.lost, "lost"),
        (0 if expect.doubled else figures.doubled, "doubled"),
        (figures.out_of_order, "out of order"),
        (figures.wrong_kind, "with a label of the wrong kind"),
        (figures.wrong_source, "with the wrong source or key"),
    ):
        if count:
            yield f"{count:,} {what}"
    for worker, seconds in second.items():
        if seconds is None or seconds > expect.decides_again_s:
            when = "never" if seconds is None else f"after {seconds:.0f} s"
            yield f"worker {worker} decided again {when} (limit {expect.decides_again_s:.0f} s)"
    unresolved: set[int] = set()
    for one in stuck:
        if one.seconds > expect.stuck_s and one.worker not in unresolved:
            unresolved.add(one.worker)
            yield f"worker {one.worker}, {one.called_itself} and with work, committed nothing for {one.seconds:.0f} s"
    yield from _bad_exits(history.exits, expect)
    if expect.rss_mb is not None and figures.rss_max_mb > expect.rss_mb:
        yield f"a worker took {figures.rss_max_mb:.0f} MB of memory (limit {expect.rss_mb:.0f} MB)"
    acts = [event.text for event in history.events if event.kind == ACT]
    if expect.must_act and not any(re.search(expect.must_act, act) for act in acts):
        yield f"no worker asked its operator for what is needed ({expect.must_act}); asked for: {acts or 'nothing'}"


def _examples(lost: pl.DataFrame) -> Iterator[str]:
    for row in lost.sort("acked_s").head(_EXAMPLES).iter_rows(named=True):
        yield f"lost: {row['key']}, partition {row['partition']}, offset {row['offset']}, at {row['acked_s']:.1f} s"


def _bad_exits(exits: tuple[Exit, ...], expect: Expectation) -> Iterator[str]:
    limit_s = SHUTDOWN_S + STOP_MARGIN_S
    for one in exits:
        if one.stopping_s > limit_s:
            yield f"worker {one.worker} took {one.stopping_s:.0f} s to stop after SIGTERM (limit {limit_s:.0f} s)"
    unexpected = Counter(
        f"worker {one.worker} ended by itself with exit code {one.code}: {one.reason}"
        for one in exits
        if one.cause is Cause.ITSELF and (expect.exits is None or not re.search(expect.exits, one.reason))
    )
    for end, times in unexpected.items():
        yield f"{end} ({times} times)" if times > 1 else end


def _with_waivers(history: History) -> pl.DataFrame:
    waived = pl.lit(value=False)
    for waiver in history.waivers:
        here = pl.lit(value=True) if waiver.partition < 0 else pl.col("partition") == waiver.partition
        covered = pl.col("offset").is_between(waiver.first, waiver.beyond, closed="left")
        waived |= here & covered & (pl.col("acked_s") <= waiver.at_s)
    return history.published.with_columns(waived=waived)


def _published_twice(published: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """The numbers of applications that have one result of each of several records, one of them the acknowledged one.

    Not where a topic was created again: there, one record may have been at several offsets.
    """
    if published.filter(pl.col("offset") >= 0).select("partition", "offset").is_duplicated().any():
        return published.select("number").clear()
    source = ["source_partition", "source_offset"]
    alone = results.with_columns(alone=pl.len().over(source) == 1)
    several = alone.filter(pl.col("alone").all().over("number") & (pl.len().over("number") > 1))
    acknowledged = published.rename({"partition": source[0], "offset": source[1]})
    return several.join(acknowledged, on=["number", *source], how="semi").select("number")


def _repeats(published: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """The applications, or the records, that have more than one result; whichever are more, with their numbers."""
    by_number = results.group_by("number").len().filter(pl.col("len") > 1)
    if published.filter(pl.col("offset") >= 0).select("partition", "offset").is_duplicated().any():
        return by_number  # a topic was created again, and offsets with it
    by_source = results.group_by("source_partition", "source_offset").len().filter(pl.col("len") > 1)
    return max(by_number.select("len"), by_source.select("len"), key=lambda repeats: repeats.height)


def _out_of_order(known: pl.DataFrame) -> int:
    """Results that stand after one of a later application with the same key, from the same partition."""
    groups = ["kind", "partition", "source_partition", "key"]
    first = known.sort("offset").unique("number", keep="first", maintain_order=True)
    behind = pl.col("number") < pl.col("number").cum_max().over(groups)
    return first.filter(behind).height


def _latencies(history: History, known: pl.DataFrame) -> pl.DataFrame:
    """The first arrival of each application's result, and how long after the acknowledgement it came."""
    arrived = known.join(history.arrivals, on=["kind", "partition", "offset"], how="inner")
    return (
        arrived.group_by("number")
        .agg(pl.col("arrived_s").min(), pl.col("acked_s").first())
        .with_columns(latency_s=(pl.col("arrived_s") - pl.col("acked_s")).clip(lower_bound=0))
    )


def _recovery_s(history: History, latencies: pl.DataFrame) -> float | None:
    healed_at_s = history.healed_at_s()
    began_at_s = next((begin for begin, _ in history.faults()), None)
    if healed_at_s is None or began_at_s is None:
        return None
    late = latencies.filter((pl.col("latency_s") > LATE_S) & (pl.col("arrived_s") >= began_at_s))
    return max(0.0, _largest(late["arrived_s"]) - healed_at_s)


def _longest_gap(times: pl.Series, end_s: float | None) -> float:
    known = times if end_s is None else times.append(pl.Series([end_s]))
    return _largest(known.sort().diff())


def _end_of(history: History) -> float:
    return _largest(history.samples["at_s"])


def _largest(values: pl.Series) -> float:
    """The largest of some numbers; 0 if there are none."""
    largest = values.max()
    return float(largest) if isinstance(largest, int | float) else 0.0
