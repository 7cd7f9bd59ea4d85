"""A reason whose fields do not raise the PD of the decisions that it explains is found on applications."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contract import Contract
from scorer.author.counterfactual import check_counterfactuals
from scorer.author.finding import Finding
from scorer.author.lint import lint_bundle
from scorer.bundle.load import load_bundle
from scorer.core.catalogue import Reasons
from scorer.core.decide import Decider
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy, Rule
from scorer.core.reasons import Explainer
from tests.fakes import CONTRACT, TinyModel, application, tiny_bundle
from tests.unit.bundle.contracts import car_loan, car_loan_bundle
from tests.unit.bundle.making import PLAIN, remake


class _Blamed(TinyModel):
    """Each decision's largest contribution is of one column, whatever the PD depends on."""

    def __init__(self, blamed: int) -> None:
        super().__init__()
        self._blamed = blamed

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        contributions = np.zeros_like(matrix)
        contributions[:, self._blamed] = 1
        return contributions


def _check(blamed: int, batches: Sequence[Sequence[bytes]], policy: Policy | None = None) -> list[Finding]:
    model = _Blamed(blamed)
    bundle = tiny_bundle(model)
    if policy:
        bundle = replace(bundle, policy=Decider(policy, CONTRACT))
    fields = bundle.encoding.column_fields
    entries = [{"code": f"R{n}", "fields": [name], "text": {"en": "It is so."}} for n, name in enumerate(fields)]
    content = {"method": "tree-path-dependent", "catalogue": entries}
    reasons = Reasons.model_validate_json(json.dumps(content))
    return list(check_counterfactuals(reasons, Explainer(reasons.codes, (0, 1), None, model), bundle, batches))


def _applications(declined: int) -> list[bytes]:
    """Ten approved applications, an invalid one, and declined ones; the PD of the tiny bundle is the amount's."""
    high = [application(f"d{number}", amount=900, price=2_000) for number in range(declined)]
    return [*(application(f"a{number}", amount=100, price=1_000) for number in range(10)), b"{", *high]


def test_a_reason_that_raises_the_pd() -> None:
    """With the amount of approved applications, the PD falls."""
    assert not _check(0, [_applications(20)])


def test_a_reason_that_does_not_raise_it() -> None:
    """The model does not use the price: no decision's PD falls. The finding names the entry, the share and the rows."""
    (finding,) = _check(1, [_applications(12), _applications(8)])
    assert (finding.severity, finding.rule, finding.where) == ("warning", "counterfactual", "reasons: R1")
    assert finding.what.startswith("of 20 decisions with this as the first reason, only 0% would have a lower ")


def test_too_few_decisions_are_not_judged() -> None:
    """Nor are none at all, or decisions without approved ones."""
    assert not _check(1, [_applications(19)])
    assert not _check(1, [])
    assert not _check(1, [[b"{"]])
    assert not _check(1, [_applications(30)[11:]])


def test_decisions_by_rules_are_not_judged() -> None:
    """Another PD would not change them."""
    rule = Rule(id="high", when="amount > 500", label="DECLINED")
    assert not _check(1, [_applications(30)], Policy(rules=(rule,)))


class _ByCategory:
    """Who rents or gives no home has a high PD; each decision is because of the home."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(matrix[:, 1] == 1, np.float32(0.1), np.float32(0.9))

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tile(np.array([1, 0, 0], dtype=np.float32), (len(matrix), 1))


def test_categories_and_unknown_numbers() -> None:
    """All columns of a category get the most frequent value; a number that no approved application has is unknown."""
    bundle = tiny_bundle(_ByCategory())
    bundle = replace(bundle, encoding=FeatureEncoding(CONTRACT, ("home=rent", "home=owner", "income"), np.nan))
    content = {
        "method": "tree-path-dependent",
        "catalogue": [{"code": "HOME", "fields": ["home", "income"], "text": {"en": "The home is rented."}}],
    }
    reasons = Reasons.model_validate_json(json.dumps(content))
    explainer = Explainer(reasons.codes, (0, 0, 0), None, _ByCategory())
    owners = [application(f"o{number}", home="owner", income=None) for number in range(5)]
    renters = [application(f"r{number}", home="rent") for number in range(20)]
    assert not list(check_counterfactuals(reasons, explainer, bundle, [owners + renters]))


@pytest.mark.parametrize("is_own", [True, False])
def test_lint_tests_reasons_on_applications(tmp_path: Path, is_own: bool) -> None:
    """If they are given; a note says that a bundle without a catalogue was not tested."""
    entries = [
        {"code": "SALARY", "fields": ["salary"], "text": {"en": "The salary is low."}},
        {"code": "OWNER", "fields": ["owner"], "text": {"en": "No house is owned."}},
    ]

    def add(manifest: dict[str, Any]) -> None:
        manifest["reasons"] = {"method": "tree-path-dependent", "catalogue": entries}

    def read(contract: Contract) -> Iterator[list[bytes]]:
        read_for.append(contract.name)
        yield [car_loan(f"c-{number}", salary=number * 100) for number in range(50)]

    read_for: list[str] = []
    folder = remake(car_loan_bundle(tmp_path / "bundle"), add) if is_own else PLAIN
    rules = [(f.severity, f.rule) for f in lint_bundle(folder, read) if f.rule in {"reasons", "counterfactual"}]
    if is_own:
        assert read_for == [load_bundle(folder).encoding.contract.name]
        assert ("warning", "counterfactual") not in rules
    else:
        assert (read_for, rules) == ([], [("note", "reasons")])
