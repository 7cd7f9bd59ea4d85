"""Models from elsewhere to bundles: what fits is taken as it is, what does not is refused with what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import xgboost
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scorer.author.describe import Description
from scorer.author.import_model import add_model, draft_model
from scorer.author.train import Examples, read_examples
from scorer.bundle.load import load_bundle
from scorer.bundle.runners import open_model
from scorer.errors import BundleError, InputFileError, MisuseError, ModelError, RunnerMissingError
from scorer.store.store import BundleStore
from tests.contract.runner_bundles import UNKNOWN, ZEROS, applications, classifier, defaults, network
from tests.unit.bundle.making import PLAIN, write_loans

COLUMNS = ZEROS.features.columns


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Made-up loans."""
    return read_examples(write_loans(tmp_path_factory.mktemp("loans") / "loans.csv"), skip_invalid=False)


def test_a_classifier_becomes_a_bundle(tmp_path: Path, examples: Examples) -> None:
    """With its figures, its libraries and what it was; the same classifier gives the same digest."""
    description = ZEROS.model_copy(update={"labels": {"reason": "a test"}, "libraries": {"mine": "1.2"}})
    found = [
        add_model(classifier("logistic"), description, BundleStore(tmp_path / place), examples) for place in ("a", "b")
    ]
    manifest, folder = found[0]
    assert manifest.digest == found[1][0].digest
    assert load_bundle(Path(folder)).reference == manifest.reference
    assert manifest.runner_settings == {"output": "probabilities", "column": 1}
    assert set(manifest.libraries) == {"python", "numpy", "onnxruntime", "scikit-learn", "skl2onnx", "onnx", "mine"}
    assert manifest.labels["reason"] == "a test"
    assert "LogisticRegression" in manifest.labels["estimator"]
    assert manifest.metrics is not None
    assert manifest.metrics.holdout.rows == 300
    assert manifest.training is None
    assert f"**{manifest.metrics.holdout.auc:.4f}**" in (Path(folder) / "model-card.md").read_text()


def test_a_version_that_is_there_is_refused_before_the_work(tmp_path: Path) -> None:
    """Nothing is converted for nothing."""
    described = ZEROS.model_copy(update={"name": "credit-risk", "version": "1.1.0"})
    with pytest.raises(BundleError, match="already exists"):
        add_model(object(), described, BundleStore(tmp_path))


def test_a_booster_is_taken_as_it_is() -> None:
    """Its trees, in UBJSON, and nothing about scikit-learn."""
    draft = draft_model(xgboost.Booster(model_file=PLAIN / "model.ubj"), ZEROS)
    assert (draft.runner, draft.model_file, draft.runner_settings) == ("xgboost", "model.ubj", {})
    assert draft.model == (PLAIN / "model.ubj").read_bytes()
    assert draft.metrics is None


def test_the_class_that_stands_for_a_default() -> None:
    """Classes with names are put in the order of the alphabet: which is meant must be said, and is then taken."""
    learnt = applications(500)
    named = np.where(defaults(learnt) == 1, "bad", "good")
    fitted = LogisticRegression(max_iter=5_000).fit(ZEROS.matrix(learnt), named)
    with pytest.raises(MisuseError, match=r"classes \['bad', 'good'\]: which of them.*default_class='bad'"):
        draft_model(fitted, ZEROS)
    with pytest.raises(MisuseError, match=r"classes \['bad', 'good'\], but default_class is 1"):
        draft_model(fitted, ZEROS, default_class=1)
    draft = draft_model(fitted, ZEROS, default_class="bad")
    assert draft.runner_settings["column"] == 0
    opened = open_model("onnx", "model.onnx", draft.model, COLUMNS, draft.runner_settings)
    theirs = fitted.predict_proba(ZEROS.matrix(learnt).astype(np.float64))[:, 0]
    assert np.abs(opened.predict(ZEROS.matrix(learnt)) - theirs).max() <= 1e-6


def test_the_wrong_way_round_is_refused(examples: Examples) -> None:
    """A model that gives the probability of being paid back would approve the very people who default."""
    with pytest.raises(BundleError, match="higher probability of default for loans that were paid back"):
        draft_model(classifier("logistic"), ZEROS, examples, default_class=0)


def test_a_model_that_gives_no_probabilities_is_not_built(tmp_path: Path) -> None:
    """A margin or a score is no probability; the message says on what it was found out, and nothing is written."""
    nodes = [helper.make_node("Gather", ["x", "first"], ["p"], axis=1)]
    first = helper.make_tensor("first", WHOLE, [1], [0])
    raw = _model(nodes, {"x": (F, ["n", len(COLUMNS)])}, {"p": (F, ["n", 1])}, first)
    with pytest.raises(ModelError, match=r"golden examples, .* not a probability from 0 to 1"):
        add_model(onnx.load_model_from_string(raw), ZEROS, BundleStore(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_a_model_that_mixes_rows_is_not_built() -> None:
    """One that looks at a row's neighbours, as a softmax along the wrong axis does, could not be replayed."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Softmax", ["mean"], ["p"], axis=0),
    ]
    raw = onnx.load_model_from_string(_model(nodes, {"x": (F, ["n", len(COLUMNS)])}, {"p": (F, ["n", 1])}))
    with pytest.raises(BundleError, match="bit-identical probabilities for a row alone and in a batch"):
        add_model(raw, ZEROS, BundleStore(Path("nowhere")))


@pytest.mark.parametrize(("columns", "is_asked"), [((0,), False), ((0, 1), True), ((0, 2), False)])
def test_two_columns_of_which_none_is_named(tmp_path: Path, columns: tuple[int, ...], is_asked: bool) -> None:
    """The second one was taken for the probability of default, even where they are not those of two classes."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["c0"]),
        helper.make_node("Sqrt", ["c0"], ["c1"]),
        helper.make_node("Sub", ["one", "c0"], ["c2"]),
        helper.make_node("Concat", [f"c{column}" for column in columns], ["p"], axis=1),
    ]
    scaled = [helper.make_node("Mul", ["given", "scale"], ["x"]), *nodes]
    constants = [helper.make_tensor("one", F, [1], [1.0]), helper.make_tensor("scale", F, [1], [1e-6])]
    shape = {"given": (F, ["n", len(COLUMNS)])}
    raw = onnx.load_model_from_string(_model(scaled, shape, {"p": (F, ["n", len(columns)])}, *constants))
    if is_asked:
        with pytest.raises(BundleError, match=r"do not sum to 1 in each row.*runner_settings = \{ column = 0 \}"):
            add_model(raw, ZEROS, BundleStore(tmp_path / "store"))
        add_model(raw, ZEROS.model_copy(update={"runner_settings": {"column": 0}}), BundleStore(tmp_path / "store"))
    else:
        add_model(raw, ZEROS, BundleStore(tmp_path / "store"))


def test_a_model_of_no_rows() -> None:
    """An export with 0 rows ended with a ZeroDivisionError when it scored."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1)]
    raw = onnx.load_model_from_string(_model(nodes, {"x": (F, [0, len(COLUMNS)])}, {"mean": (F, [0, 1])}))
    with pytest.raises(BundleError, match="input 'x' has 0 rows: export it with a variable number of rows"):
        draft_model(raw, ZEROS)


def test_figures_need_both_outcomes(examples: Examples) -> None:
    """Of loans that were all paid back nothing can be measured."""
    paid = examples.take(np.flatnonzero(examples.defaulted == 0))
    with pytest.raises(InputFileError, match="has only one outcome"):
        draft_model(classifier("logistic"), ZEROS, paid)


def _fit(estimator: Any, description: Description = ZEROS) -> Any:
    learnt = applications(500)
    return estimator.fit(description.matrix(learnt), defaults(learnt))


class _Homemade(LogisticRegression):
    """A step for which there is no converter."""


@pytest.mark.parametrize(
    ("make", "description", "error", "message"),
    [
        (LogisticRegression, ZEROS, MisuseError, "is not fitted"),
        (Ridge, ZEROS, MisuseError, "a Ridge does not predict probabilities"),
        (lambda: "model.onnx", ZEROS, MisuseError, "a str is not a model"),
        (lambda: _fit(_Homemade(max_iter=5_000)), ZEROS, BundleError, "skl2onnx cannot convert it"),
        (lambda: classifier("logistic"), UNKNOWN, BundleError, "scikit-learn itself cannot score .* contains NaN"),
        (
            lambda: classifier("logistic"),
            ZEROS.model_copy(update={"runner": "xgboost"}),
            MisuseError,
            "runner is xgboost, but this model needs the runner onnx: leave runner out",
        ),
        (
            lambda: xgboost.Booster(model_file=PLAIN / "model.ubj"),
            ZEROS.model_copy(update={"runner": "onnx"}),
            MisuseError,
            "runner is onnx, but this model needs the runner xgboost: leave runner out",
        ),
        (
            lambda: classifier("logistic"),
            ZEROS.model_copy(update={"runner_settings": {"column": 0}}),
            MisuseError,
            "leave runner_settings out",
        ),
        (
            lambda: classifier("logistic"),
            ZEROS.model_copy(update={"fields": ("age", "home")}),
            BundleError,
            "expects 24 columns, but the description has 8",
        ),
        (
            lambda: _fit(make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=1))),
            ZEROS,
            BundleError,
            r"in 64 bits, \d+ of 2064 applications get another probability than from scikit-learn.*docs/runners\.md",
        ),
    ],
)
def test_what_cannot_be_adopted(
    make: Callable[[], Any], description: Description, error: type[Exception], message: str
) -> None:
    """Each mistake has its own message."""
    with pytest.raises(error, match=message):
        draft_model(make(), description)


def test_columns_with_names_are_compared() -> None:
    """A classifier fitted on a table knows what its columns were called."""
    fitted = _fit(LogisticRegression(max_iter=5_000))
    fitted.feature_names_in_ = np.array(COLUMNS[::-1])
    with pytest.raises(BundleError, match="in another order: time for age"):
        draft_model(fitted, ZEROS)
    fitted.feature_names_in_ = np.array(COLUMNS)
    draft_model(fitted, ZEROS)


def test_a_file_of_any_runner(tmp_path: Path) -> None:
    """An ONNX file is known by its ending, whatever it is called; the manifest's name for it is our own."""
    path = tmp_path / "a name with spaces.ONNX"
    path.write_bytes(network(len(COLUMNS)).SerializeToString())
    draft = draft_model(path, ZEROS)
    assert (draft.runner, draft.model_file) == ("onnx", "model.ONNX")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has XGBoost bundles only needs no onnxruntime, and learns what is missing when it is."""
    model = network(len(COLUMNS)).SerializeToString()
    monkeypatch.setattr("scorer.bundle.onnx_runner.find_spec", lambda _: None)
    with pytest.raises(RunnerMissingError, match=r"pip install '\.\[onnx\]'"):
        open_model("onnx", "model.onnx", model, COLUMNS)
    monkeypatch.setattr("scorer.author.sklearn_onnx.find_spec", lambda _: None)
    with pytest.raises(MisuseError, match=r"needs sklearn, skl2onnx, onnxruntime: .*\[sklearn\]"):
        draft_model(classifier("logistic"), ZEROS)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    *constants: onnx.TensorProto,
) -> bytes:
    def told(values: dict[str, tuple[int, list[Any]]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in values.items()]

    graph = helper.make_graph(nodes, "made", told(inputs), told(outputs), constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


F, WHOLE = TensorProto.FLOAT, TensorProto.INT64
GIVEN = {"x": (F, ["n", 3])}


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (b"", {}, "the runner onnx cannot open model.onnx"),
        (b"hello", {}, "the runner onnx cannot open model.onnx"),
        (
            _model([helper.make_node("Add", ["x", "y"], ["p"])], {**GIVEN, "y": (F, ["n", 3])}, {"p": (F, ["n", 3])}),
            {},
            r"has 2 inputs \(x, y\)",
        ),
        (
            _model([helper.make_node("Identity", ["x"], ["p"])], {"x": (WHOLE, ["n", 3])}, {"p": (WHOLE, ["n", 3])}),
            {},
            r"'x' is tensor\(int64\)",
        ),
        (
            _model([helper.make_node("Identity", ["x"], ["p"])], {"x": (F, ["n"])}, {"p": (F, ["n"])}),
            {},
            "a matrix of float or double",
        ),
        (
            _model([helper.make_node("Identity", ["x"], ["p"])], {"x": (F, ["n", 4])}, {"p": (F, ["n", 4])}),
            {},
            "expects 4 columns, but the manifest has 3",
        ),
        (
            _model(
                [helper.make_node("Identity", ["x"], ["p"]), helper.make_node("Identity", ["x"], ["q"])],
                GIVEN,
                {"p": (F, ["n", 3]), "q": (F, ["n", 3])},
            ),
            {},
            "which of the model's outputs",
        ),
        (_model([helper.make_node("Identity", ["x"], ["p"])], GIVEN, {"p": (F, ["n", 3])}), {"output": "q"}, "'p'"),
        (
            _model([helper.make_node("Identity", ["x"], ["p"])], GIVEN, {"p": (F, ["n", 3])}),
            {"colum": 1},
            "has the settings output and column: colum",
        ),
        (
            _model([helper.make_node("Identity", ["x"], ["p"])], GIVEN, {"p": (F, ["n", 3])}),
            {"column": -1},
            "has the settings output and column: column",
        ),
    ],
)
def test_an_onnx_model_that_does_not_fit(model: bytes, settings: dict[str, Any], message: str) -> None:
    """It is refused when it is opened, by what is wrong with it."""
    with pytest.raises(BundleError, match=message):
        open_model("onnx", "model.onnx", model, ("age", "income", "amount"), settings)


def _columns(count: int, settings: dict[str, Any]) -> NDArray[np.float32]:
    """What a model gives whose output is what it was given, so many columns."""
    model = _model([helper.make_node("Identity", ["x"], ["p"])], {"x": (F, ["n", count])}, {"p": (F, ["n", count])})
    rows = np.arange(70 * count, dtype=np.float32).reshape(70, count)
    return open_model("onnx", "model.onnx", model, ("a", "b", "c")[:count], settings).predict(rows) - rows[:, 0]


def test_which_column_is_taken() -> None:
    """The only one, the second of two, the one that the settings name; of three none without being told."""
    assert (_columns(1, {}) == 0).all()
    assert (_columns(2, {}) == 1).all()
    assert (_columns(2, {"column": 0}) == 0).all()
    assert (_columns(3, {"column": 2}) == 2).all()
    for count, settings in ((3, {}), (2, {"column": 2})):
        with pytest.raises(ModelError, match="which column has it"):
            _columns(count, settings)


@pytest.mark.parametrize("rows", [1, 10])
def test_a_model_of_a_fixed_number_of_rows(rows: int) -> None:
    """One that was exported for so many rows at a time gets so many, and every row its own answer."""
    nodes = [helper.make_node("Sigmoid", ["x"], ["p"])]
    model = open_model("onnx", "m.onnx", _model(nodes, {"x": (F, [rows, 1])}, {"p": (F, [rows, 1])}), ("age",))
    given = np.linspace(-3, 3, 25, dtype=np.float32)[:, None]
    assert model.predict(given) == pytest.approx(1 / (1 + np.exp(-given[:, 0])), abs=1e-6)


def test_weights_in_another_file_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not be covered by the bundle's digest, so that a change to them would be seen by nobody."""
    path = tmp_path / "model.onnx"
    onnx.save_model(network(len(COLUMNS)), path, save_as_external_data=True, location="weights", size_threshold=0)
    assert (tmp_path / "weights").is_file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="cannot open"):
        draft_model(path, ZEROS)


def test_probabilities_in_dictionaries() -> None:
    """What skl2onnx makes by default has them so, and the message says how to do without."""
    import skl2onnx

    made = skl2onnx.to_onnx(classifier("logistic"), ZEROS.matrix(applications(10)))
    with pytest.raises(BundleError, match="without ZipMap"):
        draft_model(made, ZEROS)


def test_a_failing_run_tells_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    """Onnxruntime's messages hold what was looked up in vain; neither the exception nor the log has it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=WHOLE),
        helper.make_node("Gather", ["table", "i"], ["p"], axis=0),
    ]
    table = helper.make_tensor("table", F, [3], [0.1, 0.2, 0.3])
    raw = _model(nodes, {"x": (F, ["n", 1])}, {"p": (F, ["n", 1])}, table)
    model = open_model("onnx", "model.onnx", raw, ("income",))
    assert model.predict(np.array([[2]], dtype=np.float32)) == pytest.approx([0.3])
    with pytest.raises(ModelError, match="the runner onnx failed with InvalidArgument") as raised:
        model.predict(np.array([[4711]], dtype=np.float32))
    assert "4711" not in "".join(capfd.readouterr()) + str(raised.value)
