"""scikit-learn models of many kinds: each decides as its own predict_proba says, or is refused in one line."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import Booster, XGBClassifier

from scorer.author.describe import Description
from scorer.author.import_model import add_model
from scorer.core.columns import Columns
from scorer.errors import ScorerError
from scorer.store.store import BundleStore
from tests import real_data
from tests.contract.decided import LEARNT, TOLERANCE, Loans, decide, made_up_loans, real_loans
from tests.contract.runner_bundles import FIELDS, UNKNOWN, ZEROS
from tests.fakes import fields_of

pytestmark = pytest.mark.usefixtures("opens_here")

Matrix = NDArray[np.float32]
Labels = NDArray[Any]
COLUMNS = ZEROS.features.columns
SOURCES: dict[str, Callable[[], Loans]] = {"made up": made_up_loans, "real": real_loans}


def scaled(*steps: Any) -> Any:
    """Steps behind a scaler, without which linear models do not converge."""
    return make_pipeline(StandardScaler(), *steps)


def linear(**parameters: Any) -> Any:
    """A logistic regression behind a scaler."""
    return scaled(LogisticRegression(**parameters))


def by_numbers() -> Any:
    """Steps that pick columns by their numbers."""
    income, one_hot = COLUMNS.index("income"), [place for place, column in enumerate(COLUMNS) if "=" in column]
    picked = [("income", StandardScaler(), [income]), ("categories", "passthrough", one_hot)]
    return make_pipeline(ColumnTransformer(picked), LogisticRegression(max_iter=1_000))


@cache
def loans(source: str) -> Loans:
    """Made once for all tests."""
    return SOURCES[source]()


DECIDES: dict[str, tuple[Callable[[], Any], Description]] = {
    "logistic": (linear, ZEROS),
    "logistic, alone": (lambda: LogisticRegression(max_iter=10_000), ZEROS),
    "imputed": (lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), UNKNOWN),
    "components": (lambda: scaled(PCA(8, random_state=1), LogisticRegression()), ZEROS),
    "gradient descent": (lambda: scaled(SGDClassifier(loss="log_loss", random_state=1)), ZEROS),
    "columns by number": (by_numbers, ZEROS),
    "union": (
        lambda: make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(3, random_state=1))]), linear()),
        ZEROS,
    ),
    "tree": (lambda: DecisionTreeClassifier(max_depth=6, random_state=1), ZEROS),
    "forest": (lambda: RandomForestClassifier(20, max_depth=6, random_state=1), ZEROS),
    "extra trees": (lambda: ExtraTreesClassifier(20, max_depth=6, random_state=1), ZEROS),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=20, random_state=1), ZEROS),
    "histograms": (lambda: HistGradientBoostingClassifier(max_iter=20, random_state=1), UNKNOWN),
    "ada boost": (lambda: AdaBoostClassifier(n_estimators=20, random_state=1), ZEROS),
    "bagging": (lambda: BaggingClassifier(DecisionTreeClassifier(max_depth=4), 10, random_state=1), ZEROS),
    "bayes": (lambda: scaled(GaussianNB()), ZEROS),
    "calibrated": (lambda: scaled(CalibratedClassifierCV(LogisticRegression(), cv=2)), ZEROS),
    "calibrated margins": (lambda: scaled(CalibratedClassifierCV(LinearSVC(random_state=1), cv=2)), ZEROS),
    "calibrated forest": (
        lambda: CalibratedClassifierCV(RandomForestClassifier(5, max_depth=4, random_state=1), cv=2),
        ZEROS,
    ),
    "voting": (
        lambda: VotingClassifier([("a", linear()), ("b", GaussianNB())], voting="soft", flatten_transform=False),
        ZEROS,
    ),
    "stacking": (
        lambda: StackingClassifier([("a", linear()), ("b", DecisionTreeClassifier(max_depth=3, random_state=1))], cv=2),
        ZEROS,
    ),
    "search": (lambda: GridSearchCV(linear(), {"logisticregression__C": [0.1, 1]}, cv=2), ZEROS),
}  # fmt: skip


def predict(model: Any, matrix: Matrix, column: int = 1) -> NDArray[np.float64]:
    """What scikit-learn itself predicts."""
    predicted: NDArray[np.float64] = model.predict_proba(matrix.astype(np.float64))[:, column]
    return predicted


def away(store: Path, source: str, predicted: NDArray[np.float64]) -> float:
    """By how much decisions are away from that, at most."""
    values = loans(source).values[LEARNT:]
    assert predicted.std() > 0.01
    return float(np.abs(decide(store, "made:1.0.0", values) - predicted).max())


@pytest.mark.parametrize("name", DECIDES)
@pytest.mark.parametrize("source", ["made up", pytest.param("real", marks=real_data.needed)])
def test_it_decides_as_scikit_learn_does(tmp_path: Path, name: str, source: str) -> None:
    """From the fitted model to the decision's bytes, within a millionth."""
    make, description = DECIDES[name]
    learnt, held_out = loans(source).take(slice(LEARNT)), loans(source).take(slice(LEARNT, None))
    model = make().fit(description.matrix(learnt.applications), learnt.defaulted)
    add_model(model, description, BundleStore(tmp_path / "store"))
    predicted = predict(model, description.matrix(held_out.applications))
    assert away(tmp_path / "store", source, predicted) <= TOLERANCE


@pytest.mark.parametrize(
    ("labels", "default_class"),
    [
        ({0: False, 1: True}, None),
        ({0: 0.0, 1: 1.0}, None),
        ({0: "good", 1: "bad"}, "bad"),
        ({0: "0", 1: "1"}, "1"),
        ({0: 1, 1: 2}, 2),
        ({0: 2, 1: 1}, 1),
        ({0: 1, 1: 0}, 0),
        ({0: -1, 1: 1}, 1),
    ],
)
def test_labels_of_every_kind(tmp_path: Path, labels: dict[int, Any], default_class: object) -> None:
    """Truth values, numbers, words, in either order: the class that is named stands for a default, or 1 of 0 and 1."""
    learnt, held_out = loans("made up").take(slice(LEARNT)), loans("made up").take(slice(LEARNT, None))
    given = np.array([labels[int(label)] for label in learnt.defaulted])
    model = linear().fit(ZEROS.matrix(learnt.applications), given)
    add_model(model, ZEROS, BundleStore(tmp_path / "store"), default_class=default_class)
    place = model.classes_.tolist().index(labels[1])
    predicted = predict(model, ZEROS.matrix(held_out.applications), place)
    assert away(tmp_path / "store", "made up", predicted) <= TOLERANCE
    defaulted = held_out.defaulted == 1
    assert predicted[defaulted].mean() > predicted[~defaulted].mean()


def dictionaries(applications: Columns) -> list[dict[str, Any]]:
    """What the course gives its vectorizer: 0 for what is unknown."""
    return [{field: one[field] or 0 for field in FIELDS} for one in fields_of(applications)]


@pytest.mark.parametrize("sparse", [True, False])
def test_the_advice_about_a_vectorizer_works(tmp_path: Path, sparse: bool) -> None:
    """A pipeline with a DictVectorizer ended in a bare AttributeError; the message now says what to give instead.

    Doing what it says gives a bundle that decides as the whole pipeline predicts, without fitting anything again.
    """
    learnt, held_out = loans("made up").take(slice(LEARNT)), loans("made up").take(slice(LEARNT, None))
    pipeline = make_pipeline(DictVectorizer(sparse=sparse), MaxAbsScaler(), LogisticRegression(max_iter=1_000))
    pipeline.fit(dictionaries(learnt.applications), learnt.defaulted)
    with pytest.raises(ScorerError, match=r"the model's first step is a DictVectorizer.*pipeline\[1:\].*pipeline\[0\]"):
        add_model(pipeline, ZEROS, BundleStore(tmp_path / "store"))
    described = Description(
        name="made", version="1.0.0", columns=list(pipeline[0].get_feature_names_out()), missing=0.0
    )
    add_model(pipeline[1:], described, BundleStore(tmp_path / "store"))
    predicted = np.asarray(pipeline.predict_proba(dictionaries(held_out.applications))[:, 1], dtype=np.float64)
    assert away(tmp_path / "store", "made up", predicted) <= TOLERANCE


@pytest.mark.parametrize(("sparse", "message"), [(True, "zeros taken for missing values"), (False, "")])
def test_the_advice_works_before_xgboost(tmp_path: Path, sparse: bool, message: str) -> None:
    """A dense vectorizer before an XGBClassifier can be left out; after a sparse one the trees never saw a 0."""
    learnt, held_out = loans("made up").take(slice(LEARNT)), loans("made up").take(slice(LEARNT, None))
    pipeline = make_pipeline(DictVectorizer(sparse=sparse), XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1))
    pipeline.fit(dictionaries(learnt.applications), learnt.defaulted)
    with pytest.raises(ScorerError, match="the model's first step is a DictVectorizer"):
        add_model(pipeline, ZEROS, BundleStore(tmp_path / "store"))
    described = Description(
        name="made", version="1.0.0", columns=list(pipeline[0].get_feature_names_out()), missing=0.0
    )
    if message:
        with pytest.raises(ScorerError, match=message):
            add_model(pipeline[1:], described, BundleStore(tmp_path / "store"))
        return
    add_model(pipeline[1:], described, BundleStore(tmp_path / "store"))
    predicted = np.asarray(pipeline.predict_proba(dictionaries(held_out.applications))[:, 1], dtype=np.float64)
    assert away(tmp_path / "store", "made up", predicted) <= TOLERANCE


def fit(model: Any, labels: Callable[[Labels], Labels] = lambda labels: labels) -> Any:
    """Fits on the matrix that a bundle gives its model."""
    learnt = loans("made up").take(slice(500))
    return model.fit(ZEROS.matrix(learnt.applications), labels(learnt.defaulted))


def fit_table(columns: Any) -> Any:
    """A pipeline that selects columns by name, fitted on a table."""
    learnt = loans("made up").take(slice(500))
    table = pl.DataFrame(ZEROS.matrix(learnt.applications), schema=list(COLUMNS))
    picked = ColumnTransformer([("numbers", StandardScaler(), columns)], remainder="drop")
    return make_pipeline(picked, LogisticRegression()).fit(table, learnt.defaulted)


def fit_columns(columns: Any) -> Any:
    """A pipeline that scales these columns of the matrix, fitted."""
    return fit(
        make_pipeline(
            ColumnTransformer([("numbers", StandardScaler(), columns)], remainder="passthrough"),
            LogisticRegression(max_iter=10_000),
        )
    )


def fit_texts(vectorizer: Any, texts: Callable[[dict[str, Any]], Any]) -> Any:
    """A pipeline that takes something else than a matrix."""
    learnt = loans("made up").take(slice(500))
    given = map(texts, fields_of(learnt.applications))
    return make_pipeline(vectorizer, LogisticRegression()).fit(given, learnt.defaulted)


def _own_step(matrix: Matrix) -> Matrix:
    return np.log1p(matrix)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "hasher": (lambda: fit_texts(FeatureHasher(8), lambda one: {"age": one["age"]}), "leave the FeatureHasher out"),
    "texts": (lambda: fit_texts(CountVectorizer(), lambda one: one["home"]), "which takes texts"),
    "columns by name": (lambda: fit_table(["income", "age"]), "selects columns by name .income, age.*index"),
    "a column by name": (lambda: fit_table(["income"]), "selects columns by name .income"),
    "columns by a mask": (lambda: fit_columns([name == "age" for name in COLUMNS]), "a boolean mask"),
    "columns from the end": (lambda: fit_columns([-1, -2]), "negative indices.*flatnonzero"),
    "a search without a model": (
        lambda: fit(GridSearchCV(linear(), {"logisticregression__C": [1, 2]}, cv=2, refit=False)),
        "has refit=False, so it has no fitted model: set refit=True",
    ),
    "a threshold that was searched": (
        lambda: fit(TunedThresholdClassifierCV(linear(), cv=2)),
        r"a threshold of its own.*estimator_.*maybe_above and declined_above",
    ),
    "a threshold that was set": (
        lambda: fit(FixedThresholdClassifier(linear(), threshold=0.2)),
        r"a threshold of its own.*estimator_",
    ),
    "XGBoost, missing=None": (
        lambda: fit(XGBClassifier(n_estimators=3, missing=None)),
        r"missing=None, with which XGBoost cannot predict: call model.set_params\(missing=float\('nan'\)\)",
    ),
    "margins": (lambda: fit(LinearSVC()), "no predict_proba.*CalibratedClassifierCV"),
    "margins in a pipeline": (lambda: fit(scaled(LinearSVC())), "no predict_proba.*CalibratedClassifierCV"),
    "vectors": (lambda: fit(SVC()), "no predict_proba.*probability=True"),
    "ridge labels": (lambda: fit(scaled(RidgeClassifier())), "no predict_proba"),
    "perceptron": (lambda: fit(Perceptron()), "no predict_proba"),
    "hinge": (lambda: fit(SGDClassifier(loss="hinge")), "no predict_proba"),
    "hard votes": (lambda: fit(VotingClassifier([("a", GaussianNB())], voting="hard")), "no predict_proba"),
    "regression": (lambda: fit(scaled(Ridge())), "does not predict probabilities"),
    "clusters": (lambda: fit(KMeans(2, n_init=1)), "does not predict probabilities"),
    "a scaler": (lambda: fit(StandardScaler()), "is not a model that a bundle can be made from"),
    "not fitted": (LogisticRegression, "this LogisticRegression is not fitted"),
    "a pipeline not fitted": (linear, "this Pipeline is not fitted"),
    "a search not fitted": (lambda: GridSearchCV(linear(), {}), "is not fitted"),
    "a step not fitted": (
        lambda: make_pipeline(StandardScaler(), fit(LogisticRegression(max_iter=10_000))),
        "a part of it is not: This StandardScaler",
    ),
    "an XGBClassifier not fitted": (XGBClassifier, "this XGBClassifier is not fitted"),
    "a class": (lambda: LogisticRegression, "LogisticRegression is a class"),
    "XGBoost's class": (lambda: XGBClassifier, "XGBClassifier is a class"),
    "XGBoost's other class": (lambda: Booster, "Booster is a class"),
    "a booster without trees": (Booster, "cannot save this Booster: was it trained"),
    "one class": (lambda: fit(DecisionTreeClassifier(), np.zeros_like), "two are needed"),
    "three classes": (lambda: fit(DecisionTreeClassifier(), lambda y: np.arange(len(y)) % 3), "two are needed"),
    "XGBoost's three classes": (
        lambda: fit(XGBClassifier(n_estimators=3), lambda y: np.arange(len(y)) % 3),
        "has 3 classes",
    ),
    "XGBoost's one class": (lambda: fit(XGBClassifier(n_estimators=3), np.zeros_like), "has 1 classes"),
    "labels 1 and 2": (lambda: fit(GaussianNB(), lambda y: y + 1), r"classes \[1, 2\]: which.*default_class=2"),
    "labels -1 and 1": (lambda: fit(GaussianNB(), lambda y: 2 * y - 1), "which of them stands for"),
    "labels in words": (lambda: fit(GaussianNB(), lambda y: np.where(y, "bad", "good")), "default_class='bad'"),
    "several labels": (
        lambda: fit(DecisionTreeClassifier(), lambda y: np.stack([y, 1 - y], axis=1)),
        "several labels per row",
    ),
    "several outputs": (
        lambda: fit(MultiOutputClassifier(GaussianNB()), lambda y: np.stack([y, 1 - y], axis=1)),
        "several labels per row",
    ),
    "XGBoost behind a scaler": (lambda: fit(scaled(XGBClassifier(n_estimators=3))), "contains a XGBClassifier"),
    "calibrated XGBoost": (
        lambda: fit(CalibratedClassifierCV(XGBClassifier(n_estimators=3), cv=2)),
        "contains a XGBClassifier",
    ),
    "voting with XGBoost": (
        lambda: fit(VotingClassifier([("a", XGBClassifier(n_estimators=3))], voting="soft")),
        "contains a XGBClassifier",
    ),
    "a step of one's own": (
        lambda: fit(make_pipeline(FunctionTransformer(_own_step), LogisticRegression(max_iter=10_000))),
        "skl2onnx cannot convert it",
    ),
    "a pipeline within a calibration": (
        lambda: fit(CalibratedClassifierCV(linear(), cv=2)),
        "get another probability.*put the steps before the classifier around it",
    ),
    "isotonic": (
        lambda: fit(CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic")),
        "get another probability.*method='sigmoid'",
    ),
    "discriminant": (lambda: fit(LinearDiscriminantAnalysis()), "get another probability.*LogisticRegression"),
    "voting, flat": (
        lambda: fit(VotingClassifier([("a", GaussianNB())], voting="soft")),
        "skl2onnx cannot convert it.*set flatten_transform=False",
    ),
    "nothing": (lambda: None, "a NoneType is not a model"),
    "a path as text": (lambda: "model.ubj", "a str is not a model.*pathlib.Path"),
    "a path with a NUL": (lambda: Path("model\0.ubj"), "has a NUL character"),
    "an array": (lambda: np.zeros(3), "a ndarray is not a model"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    """One line, which names what is wrong and what to do; no other library's exception; nothing in the store."""
    make, message = REFUSED[name]
    model = make()
    with pytest.raises(ScorerError) as refused:
        add_model(model, ZEROS, BundleStore(tmp_path / "store"))
    assert re.search(message, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "store").exists()


def test_neighbours_are_refused_or_exact(tmp_path: Path) -> None:
    """A model whose conversion is not exact is refused rather than near."""
    model = fit(KNeighborsClassifier(5))
    try:
        add_model(model, ZEROS, BundleStore(tmp_path / "store"))
    except ScorerError as error:
        assert "to an ONNX model with the same predictions" in str(error)  # noqa: PT017
    else:
        held_out = loans("made up").take(slice(LEARNT, None))
        predicted = predict(model, ZEROS.matrix(held_out.applications))
        assert away(tmp_path / "store", "made up", predicted) <= TOLERANCE
