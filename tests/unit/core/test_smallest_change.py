"""The smallest change of one field that leads to a milder label: real, within the contract, and never of a basis."""

import json
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.decision import BundleReference
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.explanation import Explanation, explain_record
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS, Policy
from scorer.core.score import Bundle, Model
from scorer.core.slow_decode import Rejection
from scorer.core.trees import TreesTable
from tests.fakes import FakeRecord, make_contract

NUMBER: Final = {"type": "number", "minimum": 0, "maximum": 1_000}


class Steps:
    """The PD is 0.9 unless column 0 is at least a limit; the trees say the same."""

    def __init__(self, limit: float, columns: int) -> None:
        self.limit = np.float32(limit)
        self.columns = columns

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(matrix[:, 0] >= self.limit, 0.1, 0.9).astype(np.float32)

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        contributions = np.zeros((len(matrix), self.columns), dtype=np.float32)
        contributions[:, 0] = np.where(matrix[:, 0] >= self.limit, -1, 1)
        return contributions

    def trees(self) -> TreesTable:
        """One tree with one threshold."""
        left, right, column = (np.array(row, dtype=np.int32).tobytes() for row in ([1, -1, -1], [2, -1, -1], [0] * 3))
        value = np.array([self.limit, 2, -2], dtype=np.float32).tobytes()
        return TreesTable([3], left, right, column, value, bytes(3), np.ones(3, dtype=np.float32).tobytes(), 0.5)


def make_bundle(
    contract: Contract, columns: tuple[str, ...], model: Model, policy: Policy | None = None, **derived: str
) -> Bundle:
    """An open bundle without files."""
    reference = BundleReference(name="steps", version="1.0.0", digest="2" * 64)
    golden = np.zeros((1, len(columns)), dtype=np.float32)
    return Bundle(
        reference,
        Decoder(contract),
        FeatureEncoding(contract, columns, float("nan"), derived),
        model,
        Decider(policy or Policy(), contract),
        DecisionEncoder(reference),
        golden,
        model.predict(golden),
    )


def explained(bundle: Bundle, **fields: object) -> Explanation:
    """The explanation of an application with these fields."""
    value = json.dumps({"id": "a-1", **fields}).encode()
    model: Any = bundle.model
    trees = model.trees() if isinstance(model, Steps) else None
    explanation = explain_record(FakeRecord((0, 7), value), bundle, 10_000, model, trees)
    assert not isinstance(explanation, Rejection)
    if explanation.change is not None:
        change = explanation.change
        changed = json.dumps({"id": "a-1", **fields, change.field: change.after}).encode()
        again = explain_record(FakeRecord((0, 7), changed), bundle, 10_000, None, None)
        assert isinstance(again, Explanation), "the changed application is valid"
        assert (again.label, again.probability_of_default) == (change.label, change.probability_of_default)
        assert LABELS.index(again.label) < LABELS.index(explanation.label)
    return explanation


@pytest.mark.parametrize(("limit", "expected"), [(52.5, 52.5), (0.1, 0.1), (1_000, 1_000), (1_000.5, None)])
def test_a_number_next_to_a_threshold(limit: float, expected: float | None) -> None:
    """The value at the threshold itself, in its shortest spelling; none beyond the contract's limits."""
    contract = make_contract("salary", salary=NUMBER)
    change = explained(make_bundle(contract, ("salary",), Steps(limit, 1)), salary=0.05).change
    assert (change.after if change else None) == expected


def test_a_number_has_few_digits() -> None:
    """Below 860 is 859.99, not the float32 next to it, if both lead to the same label."""

    class Falling(Steps):
        def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.float32(1) - super().predict(matrix)

    contract = make_contract("debt", debt=NUMBER)
    change = explained(make_bundle(contract, ("debt",), Falling(860, 1)), debt=900).change
    assert change is not None
    assert change.after == 859.99
    low = make_contract("debt", debt={**NUMBER, "minimum": 859.999})
    change = explained(make_bundle(low, ("debt",), Falling(860, 1)), debt=900).change
    assert change is not None
    assert 859.999 < float(change.after) < 860


def test_an_integer_stays_one() -> None:
    """The next whole number on the milder side."""
    contract = make_contract("age", age={"type": "integer", "minimum": 0, "maximum": 100})
    change = explained(make_bundle(contract, ("age",), Steps(30.5, 1)), age=20).change
    assert change is not None
    assert (change.after, change.before, type(change.after)) == (31, 20, int)


def test_a_value_that_means_unknown_is_not_proposed() -> None:
    """999 is how the lender writes that a value is unknown."""
    contract = make_contract("age", age={**NUMBER, "type": "integer", "x-unknown": [999]})
    assert explained(make_bundle(contract, ("age",), Steps(999, 1)), age=20).change is not None
    change = explained(make_bundle(contract, ("age",), Steps(998.5, 1)), age=20).change
    assert change is not None
    assert change.after == 1_000


def test_a_prohibited_basis_is_never_proposed() -> None:
    """Even if nothing else would help."""
    contract = make_contract("age", age={**NUMBER, "x-prohibited": "age"})
    explanation = explained(make_bundle(contract, ("age",), Steps(50, 1)), age=20)
    assert explanation.change is None
    assert explanation.contributions is not None
    assert [(one.field, one.log_odds, one.prohibited) for one in explanation.contributions] == [("age", 1.0, ("age",))]


def test_a_category_and_a_boolean() -> None:
    """Each other value is tried."""
    home = {"type": "string", "enum": ["rent", "own"]}
    contract = make_contract("home", home=home)
    change = explained(make_bundle(contract, ("home=own",), Steps(1, 1)), home="rent").change
    assert change is not None
    assert (change.before, change.after, change.label) == ("rent", "own", "APPROVED")
    contract = make_contract("owner", owner={"type": "boolean"})
    change = explained(make_bundle(contract, ("owner",), Steps(1, 1)), owner=False).change
    assert change is not None
    assert (change.before, change.after) == (False, True)


def test_a_date_changes_by_whole_days() -> None:
    """The first day on the milder side."""
    contract = make_contract("since", since={"type": "string", "format": "date"})
    change = explained(make_bundle(contract, ("since",), Steps(19_000.5, 1)), since="2021-01-01").change
    assert change is not None
    assert (change.before, change.after) == ("2021-01-01", "2022-01-09")
    contract = make_contract("since", since={"type": "string", "format": "date-time"})
    bundle = make_bundle(contract, ("since",), Steps(19_000.5, 1))
    change = explained(bundle, since="2021-01-01T12:00:00+01:00").change
    assert change is not None
    assert (change.before, change.after) == ("2021-01-01T11:00:00+00:00", "2022-01-09T00:00:00+00:00")


def test_a_derived_column_is_recomputed() -> None:
    """Either field may change; the relatively smaller change counts."""
    contract = make_contract("income", "debt", income=NUMBER, debt=NUMBER)
    bundle = make_bundle(contract, ("rest",), Steps(50, 1), rest="income - debt")
    explanation = explained(bundle, income=90, debt=60)
    assert explanation.change is not None
    assert (explanation.change.field, explanation.change.after) == ("income", 110.0)
    assert explanation.contributions is not None
    assert (explanation.contributions[0].field, explanation.contributions[0].value) == ("rest", 30.0)


def test_a_rule_names_what_would_have_differed() -> None:
    """A constant of a condition is a threshold like that of a tree, also where fields are compared with each other."""
    contract = make_contract("income", "amount", income=NUMBER, amount=NUMBER)
    rules = [{"id": "low", "when": "income < 20", "label": "DECLINED"}]
    bundle = make_bundle(contract, ("income",), Steps(5, 1), Policy.model_validate({"rules": rules}))
    explanation = explained(bundle, income=10, amount=10)
    assert explanation.rule is not None
    assert (explanation.rule.id, explanation.probability_of_default) == ("low", float(np.float32(0.1)))
    assert explanation.change is not None
    assert (explanation.change.field, explanation.change.after) == ("income", 20)
    rules[0]["when"] = "amount > 10 * income"
    bundle = make_bundle(contract, ("income",), Steps(5, 1), Policy.model_validate({"rules": rules}))
    explanation = explained(bundle, income=10, amount=101)
    assert explanation.change is not None
    assert (explanation.change.field, explanation.change.after) == ("income", 10.1)


def test_a_segment_is_named_and_can_be_left() -> None:
    """Other thresholds apply to another value of the category."""
    contract = make_contract("home", "salary", home={"type": "string", "enum": ["rent", "own"]}, salary=NUMBER)
    thresholds = {"maybe_above": 0.05, "declined_above": 0.5}
    policy = Policy.model_validate({"segments": {"field": "home", "values": {"rent": thresholds}}})
    bundle = make_bundle(contract, ("salary",), Steps(50, 1), policy)
    explanation = explained(bundle, home="rent", salary=60)
    assert (explanation.label, explanation.segment) == ("MAYBE", ("home", "rent"))
    assert (explanation.maybe_above, explanation.declined_above) == (0.05, 0.5)
    assert explanation.change is not None
    assert (explanation.change.field, explanation.change.after) == ("home", "own")


def test_an_unknown_number_may_become_known() -> None:
    """Its value before is null."""
    contract = make_contract(salary={"type": ["number", "null"], "minimum": 0, "maximum": 1_000})
    change = explained(make_bundle(contract, ("salary",), Steps(50, 1)), salary=None).change
    assert change is not None
    assert change.before is None
    assert change.after in {50.0, 50.001}


def test_an_approved_application_needs_no_change() -> None:
    """There is no milder label; contributions are shown all the same, and add up to the PD."""
    contract = make_contract("salary", salary=NUMBER)
    explanation = explained(make_bundle(contract, ("salary",), Steps(50, 1)), salary=60)
    assert (explanation.label, explanation.change, explanation.reasons) == ("APPROVED", None, ())
    assert explanation.start_log_odds is not None
    assert 1 / (1 + np.exp(-(explanation.start_log_odds - 1))) == pytest.approx(0.1)


def test_a_record_that_is_rejected_has_no_explanation() -> None:
    """The rejection says why there is no decision."""
    bundle = make_bundle(make_contract("salary", salary=NUMBER), ("salary",), Steps(50, 1))
    rejection = explain_record(FakeRecord((0, 7), b"{"), bundle, 10_000, None, None)
    assert isinstance(rejection, Rejection)


def test_without_trees_a_category_is_still_tried() -> None:
    """The thresholds of other models are not known, so numbers of the model are not tried."""
    contract = make_contract("home", "salary", home={"type": "string", "enum": ["rent", "own"]}, salary=NUMBER)

    bundle = make_bundle(contract, ("home=own", "salary"), Steps(1, 2))
    value = json.dumps({"id": "a", "home": "rent", "salary": 1}).encode()
    explanation = explain_record(FakeRecord((0, 7), value), bundle, 10_000, None, None)
    assert isinstance(explanation, Explanation)
    assert explanation.contributions is None
    assert explanation.change is not None
    assert explanation.change.after == "own"
