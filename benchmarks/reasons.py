"""Measures what reasons cost: CPU time per record, and what it takes to build their tables when a bundle is opened.

`make bench-stages` runs it. The course's model has a drafted catalogue, and thresholds that 38 % of the applications
exceed. Each round scores the same applications with each engine, without reasons and with them; the cost of
reasons is the difference within a round, and figures are medians of the rounds. `pred_contribs` is the Python engine
with contributions that XGBoost computes. Tables are also built for models of drawn outcomes, whose trees are larger.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.applications import Source, as_records, course_applications
from benchmarks.engines import BUNDLE, EngineUnusedError, open_engine, train
from scorer.author.draft_reasons import draft_reasons
from scorer.bundle.explainer import make_explainer
from scorer.bundle.runners import GuardedModel
from scorer.core.catalogue import Reasons
from scorer.core.columns import Columns
from scorer.core.decide import Decider
from scorer.core.encode import DecisionEncoder
from scorer.core.expression_tokens import write_name
from scorer.core.policy import Policy, Rule
from scorer.core.reasons import Explainer
from scorer.core.score import Bundle, score_batch
from scorer.process import reduce_garbage_collection
from scorer.settings import Settings
from scorer.store.store import BundleStore

RULES: Final = (0, 10, 200)
DEPTHS: Final = range(1, 9)
_EXPLAINED: Final = 0.38
_DECLINED: Final = 0.15
_RULE_HOLDS: Final = 0.0005  # for so few applications, so that nearly all rules are evaluated
_BATCH: Final = 5_000
_TRAINED: Final = 3_000
_RECORD_BYTES_MAX: Final = 65_536
_COLUMNS: Final = ("without", "with", "per record", "explained", "throughput")


def draft(bundle: Bundle) -> Reasons:
    """Drafts a catalogue."""
    reasons = draft_reasons(bundle.encoding.contract, bundle.encoding.column_fields, bundle.encoding.derived)
    assert reasons is not None, "the contract has fields that can be reasons"
    return reasons


def model_of(bundle: Bundle) -> GuardedModel:
    """Returns the bundle's model."""
    assert isinstance(bundle.model, GuardedModel), "opened by a runner"
    return bundle.model


def with_reasons(bundle: Bundle) -> Bundle:
    """Returns the bundle with a drafted catalogue."""
    explainer = make_explainer(draft(bundle), bundle.encoding, model_of(bundle))
    return replace(bundle, explainer=explainer, encoder=DecisionEncoder(bundle.reference, explainer.codes))


def with_policy(bundle: Bundle, columns: Columns, rules: int) -> Bundle:
    """Returns the bundle with so many rules, and thresholds that are quantiles of the PDs of the applications."""
    predicted = bundle.model.predict(bundle.encoding.matrix(columns)).astype(np.float64)
    maybe_above, declined_above = np.quantile(predicted, [1 - _EXPLAINED, 1 - _DECLINED]).tolist()
    codes = bundle.explainer.codes if bundle.explainer else (None,)
    thresholds = {"maybe_above": maybe_above, "declined_above": declined_above}
    drawn = tuple(
        Rule(id=f"r{i}", when=_condition(bundle, columns, i), label="MAYBE", reason=codes[i % len(codes)])
        for i in range(rules)
    )
    policy = Policy.model_validate(thresholds | ({"rules": drawn} if drawn else {}))
    return replace(bundle, policy=Decider(policy, bundle.encoding.contract))


def _condition(bundle: Bundle, columns: Columns, number: int) -> str:
    """Returns a condition that rarely holds, in one of three forms."""
    inputs = bundle.encoding.contract.inputs.values()
    numbers = [field.name for field in inputs if field.kind.is_numeric]
    categories = [field for field in inputs if field.categories]
    first, second = numbers[number % len(numbers)], numbers[(number + 1) % len(numbers)]
    if number % 3 == 0:
        limit = np.nanquantile(columns.values[first] + columns.values[second], 1 - _RULE_HOLDS)
        return f"{write_name(first)} + {write_name(second)} > {float(limit)!r}"
    comparison = f"{write_name(first)} > {float(np.nanquantile(columns.values[first], 1 - _RULE_HOLDS))!r}"
    if number % 3 == 1:
        return comparison
    category = categories[number % len(categories)]
    return f"{comparison} and {write_name(category.name)} != {json.dumps(category.categories[0])}"


def with_library(bundle: Bundle) -> Bundle:
    """Returns the bundle, which has a drafted catalogue, with contributions that XGBoost computes."""
    reasons = draft(bundle)
    entries = {name: index for index, entry in enumerate(reasons.catalogue) for name in entry.fields}
    targets = [entries.get(name, -1) for name in bundle.encoding.column_fields]
    return replace(bundle, explainer=Explainer(reasons.codes, targets, None, model_of(bundle)))


def compare(records: Sequence[Source], bundle: Bundle, rules: int, rounds: int) -> None:
    """Measures both engines and `pred_contribs` in turns, and prints a row for each."""
    columns = bundle.decoder.decode_batch([record.content for record in records], _RECORD_BYTES_MAX).columns
    plain, explaining = (with_policy(each, columns, rules) for each in (bundle, with_reasons(bundle)))
    pairs = {
        "compiled": (open_engine(plain, "compiled"), open_engine(explaining, "compiled")),
        "python": (plain, explaining),
        "pred_contribs": (plain, with_library(explaining)),
    }
    batches = [records[start : start + _BATCH] for start in range(0, len(records), _BATCH)]
    labels = np.concatenate([score_batch(batch, plain, _RECORD_BYTES_MAX).decided for batch in batches])
    share = np.count_nonzero(labels) / len(records)
    print(f"    rules: {rules}; explained: {share:.1%}")
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for _ in range(rounds):
        for name, (without, explained) in pairs.items():
            measured[name].append((_measure(batches, without), _measure(batches, explained)))
    for name, runs in measured.items():
        cost = statistics.median(explained - without for without, explained in runs)
        throughput = statistics.median(without / explained for without, explained in runs)
        figures = (*(statistics.median(side) for side in zip(*runs, strict=True)), cost, cost / share)
        cells = "".join(f"{figure:>12.2f}" for figure in figures)
        print(f"  {'':<12}{name:<16}{cells}{throughput:>12.2f}", flush=True)


def _measure(batches: Sequence[Sequence[Source]], bundle: Bundle) -> float:
    """Returns the microseconds of CPU per record."""
    began = time.process_time()
    for batch in batches:
        score_batch(batch, bundle, _RECORD_BYTES_MAX)
    return (time.process_time() - began) / sum(map(len, batches)) * 1e6


def measure_opening(name: str, bundle: Bundle, rounds: int) -> None:
    """Prints how long it takes to prepare the explanations of a bundle, and how large their tables are."""
    reasons, model = draft(bundle), model_of(bundle)
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        explainer = make_explainer(reasons, bundle.encoding, model)
        seconds.append(time.process_time() - began)
    tables = explainer.tables
    size = "more than 64 MB: XGBoost computes contributions" if tables is None else f"{tables.values.nbytes / 1e6:.1f}"
    trees = model.trees()
    assert trees is not None, "a model of trees"
    leaves = np.count_nonzero(np.frombuffer(trees.left, np.int32) < 0)
    print(f"  {name:<22}{len(trees.sizes):>6}{leaves:>8}{statistics.median(seconds):>8.2f}  {size}", flush=True)


def with_depth(bundle: Bundle, records: Sequence[Source], depth: int) -> Bundle:
    """Returns the bundle with as many trees as its model has, of this depth, trained on drawn outcomes."""
    matrix = bundle.encoding.matrix(
        bundle.decoder.decode_batch([r.content for r in records], _RECORD_BYTES_MAX).columns
    )
    trees = model_of(bundle).trees()
    assert trees is not None, "a model of trees"
    drawn = np.random.default_rng(depth).random(len(matrix)) < bundle.model.predict(matrix)
    return replace(bundle, model=train(matrix, drawn, len(trees.sizes), depth))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bundle = BundleStore(Settings().store).open(BUNDLE)
    records = as_records(course_applications(), options.records)
    reduce_garbage_collection()
    print(f"µs of CPU without reasons and with them, and their cost; medians of {options.rounds} rounds")
    print(f"  {'reasons, course':<28}" + "".join(f"{name:>12}" for name in _COLUMNS))
    try:
        for rules in RULES:
            compare(records, bundle, rules, options.rounds)
    except EngineUnusedError as error:
        parser.exit(1, f"{error}\n")
    print(f"  {'opening':<22}{'trees':>6}{'leaves':>8}{'seconds':>8}  MB")
    measure_opening("course", bundle, options.rounds)
    for depth in DEPTHS:
        measure_opening(f"depth {depth}", with_depth(bundle, records[:_TRAINED], depth), 1)


if __name__ == "__main__":
    main()
