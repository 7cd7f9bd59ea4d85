"""What every XGBoost model must pass: its rounds, its format, its categories, its wrapper's parameters, its version."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from xgboost import Booster, DMatrix, XGBClassifier

from scorer.author.boosters import check_booster
from scorer.author.build import build_bundle
from scorer.author.import_model import draft_model
from scorer.author.model_input import ModelInput
from scorer.bundle.load import read_manifest
from scorer.bundle.manifest import Features
from scorer.bundle.runners import open_model
from scorer.errors import BundleError, MisuseError
from tests.fakes import CONTRACT
from tests.unit.author.made_boosters import (
    BEST,
    COLUMNS,
    DESCRIPTION,
    INCOME,
    INPUTS,
    LABELS,
    MATRIX,
    ONE_HOT,
    STOPPED,
    TOTAL,
    UNSEEN,
    VERSIONS,
    edit,
    make_rows,
    predict,
    raw,
    train,
)
from tests.unit.bundle.making import PLAIN, WITH_MARITAL


def test_the_shipped_models_pass_as_they_are() -> None:
    """Not a byte of them is changed."""
    for bundle in (PLAIN, WITH_MARITAL):
        model = (bundle / "model.ubj").read_bytes()
        checked = check_booster(model, ModelInput(CONTRACT, read_manifest(bundle).features))
        assert (checked.model, checked.is_rewritten, checked.note) == (model, False, None)


def test_the_rounds_of_a_classifier_that_stopped_early() -> None:
    """A model file of an early-stopped XGBClassifier was run with all its rounds; a sixth of the decisions differed.

    Its own predict_proba uses the rounds up to the best one, and so does the bundle, and says so.
    """
    draft = draft_model(STOPPED, DESCRIPTION)
    assert np.array_equal(predict(draft.model), STOPPED.predict_proba(UNSEEN)[:, 1])
    assert draft.labels["rounds"] == f"the first {BEST} of {TOTAL}, which early stopping found to be the best"
    assert not np.array_equal(predict(draft.model), STOPPED.get_booster().inplace_predict(UNSEEN))


def test_the_rounds_of_a_booster_are_asked_for() -> None:
    """Its own predict uses all of them, the wrapper's would not: the author says which, and gets them."""
    booster = STOPPED.get_booster()
    with pytest.raises(BundleError, match=f"round {BEST} to be the best of {TOTAL}.*rounds = 'best' or rounds = 'all'"):
        draft_model(booster, DESCRIPTION)
    best, all_ = (draft_model(booster, DESCRIPTION.model_copy(update={"rounds": r})) for r in ("best", "all"))
    assert np.array_equal(predict(best.model), STOPPED.predict_proba(UNSEEN)[:, 1])
    assert np.array_equal(predict(all_.model), booster.inplace_predict(UNSEEN))
    assert all_.labels["rounds"].startswith(f"all {TOTAL}, though")


def test_all_rounds_of_a_classifier_if_its_author_wants_so() -> None:
    """What is said explicitly goes before what the wrapper would do."""
    draft = draft_model(STOPPED, DESCRIPTION.model_copy(update={"rounds": "all"}))
    assert np.array_equal(predict(draft.model), STOPPED.get_booster().inplace_predict(UNSEEN))


@pytest.mark.parametrize("rounds", ["best", "all"])
def test_what_came_out_passes_again(rounds: Any) -> None:
    """A bundle is built of it without being asked once more; and the same model gives the same bytes."""
    first, again = (check_booster(raw(STOPPED.get_booster()), INPUTS, rounds) for _ in range(2))
    assert first == again
    assert check_booster(first.model, INPUTS).model == first.model


def test_rounds_that_there_are_none_of() -> None:
    """The best of a model that never looked for it; and rounds of a model that has none."""
    with pytest.raises(BundleError, match=r"rounds is 'best'.*was not trained with early stopping"):
        draft_model(train(), DESCRIPTION.model_copy(update={"rounds": "best"}))
    assert draft_model(train(), DESCRIPTION.model_copy(update={"rounds": "all"})).model == raw(train())


@pytest.mark.parametrize("rounds", [1, 5])
def test_the_best_of_rounds_that_were_cut_off(rounds: int) -> None:
    """Old versions of XGBoost left best_iteration where rounds were cut off, and it points behind the last one."""
    booster = train(rounds)
    booster.set_attr(best_iteration="30")
    with pytest.raises(BundleError, match=f"round 31 is the best, but has only {rounds} rounds.*rounds = 'all'"):
        check_booster(raw(booster), INPUTS, by_wrapper=True)
    checked = check_booster(raw(booster), INPUTS, "all")
    assert np.array_equal(predict(checked.model), booster.inplace_predict(UNSEEN))


def test_a_best_round_that_is_the_last_is_no_question() -> None:
    """Then both mean the same rounds, and the bytes stay."""
    booster = train(10)
    booster.set_attr(best_iteration="9", best_score="0.5")
    assert check_booster(raw(booster), INPUTS).model == raw(booster)


@pytest.mark.parametrize("written", ["", "x", "4.5", "None", "-1", "-5"])
def test_a_best_round_that_is_no_number(written: str) -> None:
    """Somebody wrote it by hand."""
    booster = train()
    booster.set_attr(best_iteration=written)
    with pytest.raises(BundleError, match=r"best_iteration is not the number of a round: delete it"):
        check_booster(raw(booster), INPUTS)


def test_a_zero_rounds_model() -> None:
    """It has nothing to say."""
    with pytest.raises(BundleError, match="none of the model's trees has a split"):
        check_booster(raw(train(0)), INPUTS)


FORMATS: dict[str, Callable[[Booster], bytes]] = {
    "spaces": lambda booster: json.dumps(json.loads(raw(booster, "json"))).encode(),
    "lines": lambda booster: json.dumps(json.loads(raw(booster, "json")), indent=2).encode(),
    "Windows lines": lambda booster: FORMATS["lines"](booster).replace(b"\n", b"\r\n"),
    "an empty line first": lambda booster: b"\n" + raw(booster, "json"),
    "a byte-order mark": lambda booster: b"\xef\xbb\xbf" + raw(booster, "json"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_json_that_an_editor_went_over(tmp_path: Path, name: str) -> None:
    """It is the same model."""
    booster = train()
    path = tmp_path / "model.json"
    path.write_bytes(FORMATS[name](booster))
    assert np.array_equal(predict(draft_model(path, DESCRIPTION).model), booster.inplace_predict(UNSEEN))


_IN_LATIN_1 = b"L" + bytes(7) + b"\1aSL" + bytes(7) + b"\1\xe9"
OTHER_FORMATS: dict[str, tuple[Callable[[Booster], bytes], str]] = {
    "a configuration": (lambda booster: booster.save_config().encode(), "is a booster's configuration"),
    "a dump": (lambda booster: f"[{','.join(booster.get_dump(dump_format='json'))}]".encode(), "a dump of the trees"),
    "a dump in text": (lambda booster: f"booster[0]:\n{booster.get_dump()[0]}".encode(), "a dump of the trees"),
    "LightGBM": (lambda _: b"tree\nversion=v4\n", "LightGBM's text format: convert"),
    "CatBoost": (lambda _: b"CBM1\x00", "CatBoost's format: save"),
    "another JSON": (lambda _: b'{"weights": [1, 2]}', "the model is not XGBoost's: save it with"),
    "LightGBM, a dump": (lambda _: b'{"name": "tree", "tree_info": []}', "but LightGBM's dump .*: convert the model"),
    "CatBoost, JSON": (lambda _: b'{"oblivious_trees": []}', "but CatBoost's: save the model with"),
    "an unknown objective": (
        lambda booster: edit(booster, lambda learner: learner["objective"].update(name="mine:odds")),
        "Unknown objective function: `mine:odds`",
    ),
    "cut off": (lambda booster: raw(booster)[:1_000], "the model is damaged: it is truncated at byte 1,000"),
    "JSON, and something behind it": (
        lambda booster: bytes(booster.save_raw("json")) + b"\x1a",
        "the model is damaged: it is not valid JSON, or has trailing data",
    ),
    "JSON, cut off": (lambda booster: bytes(booster.save_raw("json"))[:1_000], "damaged: it is not valid JSON"),
    "an attribute in Latin-1": (
        lambda booster: raw(booster).replace(b"attributes{", b"attributes{" + _IN_LATIN_1),
        "the text at byte [0-9,]+ is not UTF-8",
    ),
    "an attribute in Latin-1, JSON": (
        lambda booster: raw(booster, "json").replace(b'"attributes":{', b'"attributes":{"a":"\xe9"'),
        "the text at byte [0-9,]+ is not UTF-8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_other_formats(tmp_path: Path, name: str) -> None:
    """Each is named in one line, with what to do."""
    make, message = OTHER_FORMATS[name]
    path = tmp_path / "model.json"
    path.write_bytes(make(train()))
    with pytest.raises(BundleError, match=message) as refused:
        draft_model(path, DESCRIPTION)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["xgboost-0.90.model", "xgboost-1.5.2.model"])
def test_the_old_binary_format(name: str) -> None:
    """XGBoost 3.1 dropped it; the message says which versions read it still."""
    with pytest.raises(BundleError, match=r"old binary format must be loaded by XGBoost 1\.0 to 3\.0 and saved again"):
        draft_model(VERSIONS / name, DESCRIPTION)


@pytest.mark.parametrize("name", ["1.0.2.json", "1.3.3.json", "1.7.6.ubj", "2.1.4.json", "3.0.5.ubj"])
def test_a_model_of_an_older_version_decides_as_it_did_there(name: str) -> None:
    """Early-stopped classifiers, whose own predict_proba was asked in that version."""
    predicted = json.loads((VERSIONS / "predicted.json").read_bytes())[f"xgboost-{name}"]
    draft = draft_model(VERSIONS / f"xgboost-{name}", DESCRIPTION)
    found = open_model("xgboost", "model.ubj", draft.model, COLUMNS).predict(make_rows(40, 3))
    assert np.abs(found - np.array(predicted)).max() <= 1e-6
    assert "which early stopping found to be the best" in draft.labels["rounds"]
    assert draft.model_file == "model.ubj"


def test_json_that_a_later_version_may_not_read_is_written_anew() -> None:
    """XGBoost warns of the JSON of versions before 1.6; what is in the bundle, it does not warn of."""
    old = (VERSIONS / "xgboost-1.3.3.json").read_bytes()
    whole = check_booster(old, INPUTS, "all")
    assert whole.is_rewritten
    cut = old.replace(b'"best_iteration":"1",', b"")
    checked = check_booster(cut, INPUTS)
    assert (checked.is_rewritten, checked.note) == (True, None)
    assert np.array_equal(predict(checked.model), predict(whole.model))


def _with_parameters(**parameters: Any) -> Callable[[dict[str, Any]], object]:
    return lambda learner: learner["attributes"].update(scikit_learn=json.dumps(parameters))


def test_what_an_old_wrapper_wrote_of_missing_values() -> None:
    """Up to XGBoost 1.7 the wrapper's file has its parameters, and what it takes for missing is among them."""
    booster = train()
    minus_one = ModelInput(CONTRACT, Features(columns=COLUMNS, missing=-1.0))
    for missing, features, message in (
        (0, INPUTS, "takes every 0 for a missing value, but assets, debt, expenses and 17 more may be 0"),
        (5, INPUTS, "takes every 5 for a missing value, but amount, assets, debt and 5 more may be 5"),
        (-1, minus_one, "with missing=-1.*set missing to nan"),
    ):  # fmt: skip
        with pytest.raises(BundleError, match=message):
            check_booster(edit(booster, _with_parameters(missing=missing)), features)
    for harmless in (float("nan"), None, -1, 99_999_999, "0"):
        check_booster(edit(booster, _with_parameters(missing=harmless)), INPUTS)


@pytest.mark.parametrize("written", ["", "{", "[1]", "null", '{"_estimator_type": "classifier"}'])
def test_what_the_wrapper_wrote_may_be_anything(written: str) -> None:
    """That it is there says that the wrapper saved the model."""
    model = edit(STOPPED.get_booster(), lambda learner: learner["attributes"].update(scikit_learn=written))
    assert np.array_equal(predict(check_booster(model, INPUTS).model), STOPPED.predict_proba(UNSEEN)[:, 1])


def _with_categories(*values: int) -> Callable[[dict[str, Any]], object]:
    """A learner that keeps what the categories of the first one-hot column stood for, as those of a table do."""
    empty: dict[str, Any] = {"offsets": [], "values": []}
    encodings = [
        {"type": 15, "values": list(values)} if place == ONE_HOT[0] else empty for place in range(len(COLUMNS))
    ]
    segments = [0 if place <= ONE_HOT[0] else len(values) for place in range(len(COLUMNS) + 1)]
    kept = {"enc": encodings, "feature_segments": segments, "sorted_idx": np.argsort(values).tolist()}
    return lambda learner: learner["gradient_booster"]["model"].update(cats=kept)


def test_the_categories_of_a_table_must_be_their_own_codes() -> None:
    """A table's category 1 may have the code 0, and a bundle would give the model the code of the other one."""
    types = ["c" if "=" in column else "q" for column in COLUMNS]
    learnt = DMatrix(MATRIX, LABELS, feature_types=types, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, learnt, 5)
    check_booster(edit(booster, _with_categories(0, 1)), INPUTS)
    with pytest.raises(BundleError, match=f"trained with {COLUMNS[ONE_HOT[0]]} as a category"):
        check_booster(edit(booster, _with_categories(1, 0)), INPUTS)


def test_the_draft_of_a_bundle_is_checked_however_it_was_made(tmp_path: Path) -> None:
    """Whoever makes a draft by hand cannot leave the check out."""
    draft = replace(draft_model(train(), DESCRIPTION), model=raw(train(objective="binary:hinge")))
    with pytest.raises(BundleError, match="objective is binary:hinge, which gives labels"):
        build_bundle(draft, tmp_path)
    assert list(tmp_path.iterdir()) == []


class _Derived(XGBClassifier):  # type: ignore[no-untyped-call]
    """A classifier of somebody's own making."""


def test_a_class_derived_from_the_wrapper() -> None:
    """It is taken as the wrapper is."""
    model = _Derived(n_estimators=5, n_jobs=1).fit(MATRIX, LABELS)
    assert np.array_equal(predict(draft_model(model, DESCRIPTION).model), model.predict_proba(UNSEEN)[:, 1])


def test_a_wrapper_that_was_changed_after_it_was_fitted() -> None:
    """What it predicts then is not what its booster predicts."""

    class Shifted(XGBClassifier):  # type: ignore[no-untyped-call]
        def predict_proba(self, *given: Any, **options: Any) -> NDArray[np.float32]:
            predicted: NDArray[np.float32] = super().predict_proba(*given, **options)
            return predicted * np.float32(0.9)

    model = Shifted(n_estimators=5, n_jobs=1).fit(MATRIX, LABELS)
    with pytest.raises(BundleError, match=r"differ from those of this Shifted, by up to 0\.\d+"):
        draft_model(model, DESCRIPTION)


def test_a_wrapper_that_cannot_predict() -> None:
    """A class of somebody's own that takes no more than a matrix, with what to give instead."""

    class Narrow(XGBClassifier):  # type: ignore[no-untyped-call]
        def predict_proba(self, rows: Any) -> NDArray[np.float32]:  # type: ignore[override]
            predicted: NDArray[np.float32] = super().predict_proba(rows)
            return predicted

    model = Narrow(n_estimators=5, n_jobs=1).fit(MATRIX, LABELS)
    with pytest.raises(BundleError, match=r"this Narrow cannot score the matrix.*TypeError.*model\.get_booster\(\)"):
        draft_model(model, DESCRIPTION)


@pytest.mark.parametrize(
    ("default_class", "rounds", "make", "message"),
    [
        (0, None, lambda: STOPPED, "predicts the probability of the label 1, but default_class is 0"),
        ("bad", None, lambda: STOPPED, "default_class is 'bad'"),
        (0, None, train, "default_class is for scikit-learn classifiers only: leave it out"),
    ],
)
def test_another_class_than_the_label_1(
    default_class: object, rounds: Any, make: Callable[[], Any], message: str
) -> None:
    """XGBoost gives the probability of the label 1, and nothing turns it round."""
    with pytest.raises(MisuseError, match=message):
        draft_model(make(), DESCRIPTION.model_copy(update={"rounds": rounds}), default_class=default_class)
    draft_model(STOPPED, DESCRIPTION, default_class=1)


@pytest.mark.parametrize(("method", "side"), [("hist", "largest"), ("exact", "least")])
def test_unknown_numbers_are_left_to_a_model_that_never_saw_one(method: str, side: str) -> None:
    """Trained with 0 for unknown numbers and described as nan, it treated them as if nobody had more; 3 % of rows."""
    left = ModelInput(CONTRACT, Features(columns=COLUMNS, missing=None))
    booster = train(60, max_depth=6, tree_method=method)
    assert check_booster(raw(booster), INPUTS)
    with pytest.raises(BundleError, match=rf"never saw one in training: all of its \d+ splits .* as the {side} number"):
        check_booster(raw(booster), left)


@pytest.mark.parametrize("method", ["hist", "exact"])
@pytest.mark.parametrize("count", [2, 90])
def test_unknown_numbers_are_left_to_a_model_that_saw_some(method: str, count: int) -> None:
    """Two rows in 900 are enough to tell; and a model with too few splits to tell is not refused."""
    left = ModelInput(CONTRACT, Features(columns=COLUMNS, missing=None))
    matrix = MATRIX.copy()
    matrix[:count, INCOME] = np.nan
    given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 6, "tree_method": method}
    assert check_booster(raw(xgboost.train(given, DMatrix(matrix, LABELS), 60)), left)
    assert check_booster(raw(train(3, tree_method=method)), left)


@pytest.mark.parametrize("method", ["hist", "exact"])
def test_numbers_of_another_unit(method: str) -> None:
    """Standardized numbers beside columns of 0 and 1 were taken, and every split on them sent everybody one way."""
    numbers = [place for place in range(len(COLUMNS)) if place not in ONE_HOT]
    matrix = MATRIX.copy()
    matrix[:, numbers] = (matrix[:, numbers] - matrix[:, numbers].mean(0)) / matrix[:, numbers].std(0)
    scaled = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, "tree_method": method}, DMatrix(matrix, LABELS), 20
    )
    with pytest.raises(BundleError, match=r"another unit of \w+, or on scaled numbers: \d+ of its \d+ splits"):
        check_booster(raw(scaled), INPUTS)


@pytest.mark.parametrize("method", ["hist", "exact"])
def test_another_number_stood_for_an_unknown_one(method: str) -> None:
    """Trained with -1 for an unknown income and described with 0: a split of -1 from the rest never sends one left."""
    matrix, random = MATRIX.copy(), np.random.RandomState(5)
    matrix[random.random(900) < 0.2, INCOME] = -1
    labels = np.where(matrix[:, INCOME] < 0, 0, LABELS)
    given = {"objective": "binary:logistic", "nthread": 1, "tree_method": method}
    model = raw(xgboost.train(given, DMatrix(matrix, labels), 20))
    with pytest.raises(BundleError, match=r"splits on income separate numbers below 0 from others.*that 0 stood for"):
        check_booster(model, INPUTS)
    assert check_booster(model, ModelInput(CONTRACT, Features(columns=COLUMNS, missing=-1.0)))
