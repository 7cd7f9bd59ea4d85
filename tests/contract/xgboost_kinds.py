"""XGBoost models of many kinds, and every way to save one."""

import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from xgboost import Booster, DMatrix, XGBClassifier, XGBRegressor, XGBRFClassifier

from scorer.author.describe import Description
from tests.contract.runner_bundles import UNKNOWN, ZEROS
from tests.unit.bundle.making import BENTOMODEL_INFO, make_vectorizer

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]

MINUS_ONE: Final = ZEROS.model_copy(update={"missing": -1.0})
NUMBERS_ONLY: Final = ZEROS.model_copy(
    update={"fields": ("seniority", "time", "age", "expenses", "income", "assets", "debt", "amount", "price")}
)
_COLUMNS: Final = ZEROS.features.columns
_ONE_HOT: Final = [place for place, column in enumerate(_COLUMNS) if "=" in column]

ASKED: Final = "Which rounds should the bundle use"
SPARSE: Final = "zeros taken for missing values"
CONTRADICTED: Final = "stood for an unknown number"
NEVER_SEEN: Final = "it never saw one in training"
LABELS: Final = "which gives labels"
OTHER_COLUMNS: Final = "trained on other columns, in another order, or on numbers that were scaled"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model."""

    fit: Callable[[Matrix, Labels], Any]
    refused: str = ""
    """Why it is refused, whichever way it comes."""
    booster_refused: str = ""
    """Why its booster is refused, where the wrapper is not."""
    file_refused: str = ""
    """Why it is refused where the wrapper's parameters did not come along."""
    description: Description = ZEROS


def _train(**parameters: Any) -> Callable[[Matrix, Labels], Booster]:
    given = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 1} | parameters
    rounds, missing, sparse = given.pop("rounds", 40), given.pop("missing", np.nan), given.pop("sparse", False)
    columns, types = given.pop("columns", None), given.pop("types", None)

    def train(matrix: Matrix, labels: Labels) -> Booster:
        options = {"feature_names": columns, "feature_types": types, "enable_categorical": types is not None}
        dense: Any = csr_matrix(matrix) if sparse else matrix
        return xgboost.train(given, DMatrix(dense, labels, missing=missing, **options), rounds)

    return train


def _train_on(change: Callable[[Matrix], Matrix]) -> Callable[[Matrix, Labels], Booster]:
    train = _train()
    return lambda matrix, labels: train(change(matrix), labels)


def _scale_numbers(matrix: Matrix) -> Matrix:
    scaled: Matrix = (matrix - matrix.mean(0)) / np.maximum(matrix.std(0), 1e-9)
    scaled[:, _ONE_HOT] = matrix[:, _ONE_HOT]
    return scaled


def _early(**parameters: Any) -> Callable[[Matrix, Labels], Booster]:
    given = {"objective": "binary:logistic", "eta": 0.6, "max_depth": 6, "nthread": 1} | parameters
    save_best = given.pop("save_best", False)

    def train(matrix: Matrix, labels: Labels) -> Booster:
        watched = [(DMatrix(matrix[1_500:], labels[1_500:]), "watched")]
        stop = xgboost.callback.EarlyStopping(rounds=10, save_best=save_best)
        learnt = DMatrix(matrix[:1_500], labels[:1_500])
        return xgboost.train(given, learnt, 200, evals=watched, callbacks=[stop], verbose_eval=False)

    return train


def _wrapper(cls: Any = XGBClassifier, **parameters: Any) -> Callable[[Matrix, Labels], Any]:
    given = {"n_estimators": 40, "max_depth": 4, "n_jobs": 1, "random_state": 1} | parameters
    sparse = given.pop("sparse", False)
    return lambda matrix, labels: cls(**given).fit(csr_matrix(matrix) if sparse else matrix, labels)


def _early_wrapper(*, save_best: bool = False, **parameters: Any) -> Callable[[Matrix, Labels], Any]:
    given = {"n_estimators": 200, "learning_rate": 0.6, "n_jobs": 1, "early_stopping_rounds": 10, "eval_metric": "auc"}

    def fit(matrix: Matrix, labels: Labels) -> Any:
        watched = [(matrix[1_500:], labels[1_500:])]
        stop = xgboost.callback.EarlyStopping(rounds=10, save_best=True)
        kept = {"early_stopping_rounds": None, "callbacks": [stop]} if save_best else {}
        model = XGBClassifier(**given | parameters | kept)
        return model.fit(matrix[:1_500], labels[:1_500], eval_set=watched, verbose=False)

    return fit


def _early_search(matrix: Matrix, labels: Labels) -> Any:
    model = XGBClassifier(
        n_estimators=200, learning_rate=0.6, n_jobs=1, early_stopping_rounds=10, eval_metric="auc", random_state=1
    )
    search = GridSearchCV(model, {"max_depth": [4, 6]}, cv=2)
    return search.fit(matrix[:1_500], labels[:1_500], eval_set=[(matrix[1_500:], labels[1_500:])], verbose=False)


def _own_objective(margins: NDArray[np.float32], learnt: DMatrix) -> tuple[Any, Any]:
    chances = 1 / (1 + np.exp(-margins))
    return chances - learnt.get_label(), chances * (1 - chances)


def _with_own_objective(**parameters: Any) -> Callable[[Matrix, Labels], Booster]:
    return lambda matrix, labels: xgboost.train(
        {"max_depth": 3, "nthread": 1, **parameters}, DMatrix(matrix, labels), 20, obj=_own_objective
    )


def _trained_on(matrix: Matrix, labels: Labels) -> Booster:
    """Early stopping, then more rounds upon it: what was the best is not so any more."""
    first = _early()(matrix, labels)
    given = {"objective": "binary:logistic", "nthread": 1}
    return xgboost.train(given, DMatrix(matrix, labels), 5, xgb_model=first)


def _two_targets(**parameters: Any) -> Callable[[Matrix, Labels], Booster]:
    def train(matrix: Matrix, labels: Labels) -> Booster:
        both = np.stack([labels, 1 - labels], axis=1)
        given = {"objective": "binary:logistic", "nthread": 1, **parameters}
        return xgboost.train(given, DMatrix(matrix, both), 10)

    return train


_MONOTONE: Final = "(" + ",".join("-1" if column == "seniority" else "0" for column in _COLUMNS) + ")"
_AS_CATEGORIES: Final = ["c" if "=" in column else "q" for column in _COLUMNS]
_TIME_AS_CATEGORY: Final = ["c" if column == "time" else "q" for column in _COLUMNS]

KINDS: Final[dict[str, Kind]] = {
    # What every library's page begins with.
    "classifier": Kind(_wrapper()),
    "trained": Kind(_train()),
    "names": Kind(_train(columns=list(_COLUMNS))),
    "unnamed table": Kind(_train(columns=[str(place) for place in range(len(_COLUMNS))])),
    "reg:logistic": Kind(_train(objective="reg:logistic")),
    "regressor of odds": Kind(_wrapper(XGBRegressor, objective="reg:logistic")),
    "own objective upon logistic": Kind(_with_own_objective(objective="binary:logistic")),
    "base score": Kind(_train(base_score=0.2, scale_pos_weight=3)),
    # Dense, of every shape: none of these may be taken for a sparse one.
    "deep": Kind(_train(max_depth=14, min_child_weight=0, rounds=20, reg_lambda=0)),
    "monotone": Kind(_train(monotone_constraints=_MONOTONE, min_child_weight=0, rounds=80)),
    "exact": Kind(_train(tree_method="exact", max_depth=8)),
    "approx": Kind(_train(tree_method="approx", max_depth=8)),
    "lossguide": Kind(_train(grow_policy="lossguide", max_leaves=40, max_depth=0)),
    "sampled": Kind(_train(subsample=0.5, colsample_bytree=0.5, rounds=80)),
    "stumps": Kind(_train(max_depth=1, rounds=100)),
    "unknown left to it": Kind(_train(max_depth=8), description=UNKNOWN),
    "unknown left to it, exact": Kind(_train(max_depth=8, tree_method="exact"), description=UNKNOWN),
    "unknown is -1": Kind(_train(max_depth=8), description=MINUS_ONE),
    "numbers only": Kind(_train(), description=NUMBERS_ONLY),
    # Trees of other kinds.
    "dart": Kind(_train(booster="dart", rate_drop=0.2)),
    "dart classifier": Kind(_wrapper(booster="dart", rate_drop=0.2, learning_rate=0.5)),
    "random forest": Kind(_wrapper(XGBRFClassifier)),
    "forests": Kind(_train(num_parallel_tree=5, subsample=0.6, rounds=6)),
    "categorical": Kind(_train(types=_AS_CATEGORIES)),
    "vector leaves of one target": Kind(_train(multi_strategy="multi_output_tree")),
    # Early stopping.
    "early classifier": Kind(_early_wrapper(), booster_refused=ASKED),
    "early dart classifier": Kind(_early_wrapper(booster="dart", rate_drop=0.2), booster_refused=ASKED),
    "early forests": Kind(_early_wrapper(num_parallel_tree=3, subsample=0.6), booster_refused=ASKED),
    "early, best kept": Kind(
        _early_wrapper(save_best=True)
    ),
    "early trained": Kind(_early(), refused=ASKED),
    "early trained, best kept": Kind(_early(save_best=True)),
    "early, then trained on": Kind(_trained_on, refused=ASKED),
    "search": Kind(
        lambda matrix, labels: GridSearchCV(XGBClassifier(n_jobs=1, n_estimators=20), {"max_depth": [2, 3]}, cv=2).fit(
            matrix, labels
        )
    ),
    "early search": Kind(_early_search, booster_refused=ASKED),
    "pipeline of one step": Kind(
        lambda matrix, labels: make_pipeline(XGBClassifier(n_jobs=1, n_estimators=20)).fit(matrix, labels)
    ),
    # Zeros that were none.
    "sparse classifier": Kind(_wrapper(sparse=True), refused=SPARSE),
    "sparse": Kind(_train(sparse=True), refused=SPARSE),
    "sparse, exact": Kind(_train(sparse=True, tree_method="exact"), refused=SPARSE),
    "sparse, approx": Kind(_train(sparse=True, tree_method="approx"), refused=SPARSE),
    "sparse stumps": Kind(_train(sparse=True, max_depth=1), refused=SPARSE),
    "sparse, unknown left to it": Kind(_train(sparse=True), refused=SPARSE, description=UNKNOWN),
    "sparse dart": Kind(_train(sparse=True, booster="dart", rate_drop=0.2), refused=SPARSE),
    "missing=0": Kind(_train(missing=0.0), refused=SPARSE),
    "missing=0 classifier": Kind(_wrapper(missing=0.0), refused=f"{SPARSE}|missing=0"),
    "sparse numbers": Kind(_train(sparse=True), refused=SPARSE, description=NUMBERS_ONLY),
    "missing=0 numbers": Kind(
        _wrapper(missing=0.0), refused=f"{SPARSE}|with missing=0", description=NUMBERS_ONLY
    ),
    "missing=-1 classifier": Kind(_wrapper(missing=-1.0), file_refused="set missing to nan", description=MINUS_ONE),
    "missing=-1 classifier, told so": Kind(_wrapper(missing=-1.0), description=UNKNOWN),
    "another order": Kind(_train_on(lambda matrix: matrix[:, ::-1]), refused=OTHER_COLUMNS),
    "shifted by one": Kind(_train_on(lambda matrix: np.roll(matrix, 1, axis=1)), refused=OTHER_COLUMNS),
    "scaled": Kind(_train_on(lambda m: (m - m.mean(0)) / np.maximum(m.std(0), 1e-9)), refused=OTHER_COLUMNS),
    "sparse numbers, described as nan": Kind(
        _train(sparse=True), refused=SPARSE, description=NUMBERS_ONLY.model_copy(update={"missing": float("nan")})
    ),
    "missing=1, described as nan": Kind(_train(missing=1.0), refused=SPARSE, description=UNKNOWN),
    "unknown left to it, told 0": Kind(
        lambda matrix, labels: _train(max_depth=8)(_unknown(matrix), labels), refused="set missing to nan"
    ),
    "unknown was 0, described as nan": Kind(
        lambda matrix, labels: _train(max_depth=8)(np.nan_to_num(matrix), labels),
        refused=NEVER_SEEN,
        description=UNKNOWN,
    ),
    "numbers scaled": Kind(_train_on(_scale_numbers), refused="or on scaled numbers"),
    # No probability of default.
    "binary:logitraw": Kind(_train(objective="binary:logitraw"), refused="which gives log-odds"),
    "binary:hinge": Kind(_train(objective="binary:hinge"), refused=LABELS),
    "hinge classifier": Kind(_wrapper(objective="binary:hinge"), refused=LABELS),
    "multi:softmax": Kind(_train(objective="multi:softmax", num_class=2), refused=LABELS),
    "multi:softprob": Kind(_train(objective="multi:softprob", num_class=2), refused="one probability for each class"),
    "rank:pairwise": Kind(_train(objective="rank:pairwise"), refused="which gives ranking scores"),
    "rank:ndcg": Kind(_train(objective="rank:ndcg"), refused="which gives ranking scores"),
    "count:poisson": Kind(_train(objective="count:poisson"), refused="which gives counts"),
    "survival:cox": Kind(_train(objective="survival:cox"), refused="survival times"),
    "reg:squarederror": Kind(_train(objective="reg:squarederror"), refused="which gives amounts"),
    "reg:absoluteerror": Kind(_train(objective="reg:absoluteerror"), refused="which gives amounts"),
    "reg:tweedie": Kind(_train(objective="reg:tweedie"), refused="which gives amounts"),
    "reg:quantileerror": Kind(
        _train(objective="reg:quantileerror", quantile_alpha=0.5), refused="which gives amounts"
    ),
    "own objective": Kind(_with_own_objective(), refused="a custom objective"),
    "gblinear": Kind(_train(booster="gblinear"), refused="booster is gblinear, a linear model"),
    "gblinear classifier": Kind(_wrapper(booster="gblinear"), refused="booster is gblinear, a linear model"),
    "two targets": Kind(_two_targets(), refused="predicts 2 targets"),
    "vector leaves": Kind(_two_targets(multi_strategy="multi_output_tree"), refused="predicts 2 targets"),
    "number as a category": Kind(_train(types=_TIME_AS_CATEGORY), refused="trained with time as a category"),
    # Other columns.
    "names in another order": Kind(_train(columns=list(_COLUMNS[::-1])), refused="give `columns` in the model's order"),
    "other names": Kind(
        _train(columns=[column.replace("=", "_") for column in _COLUMNS]), refused="a category's column is field=value"
    ),
    "fewer columns": Kind(
        lambda matrix, labels: _train()(matrix[:, :-1], labels), refused="expects 23 columns, but the manifest has 24"
    ),
    "no split": Kind(_train(min_child_weight=1e9), refused="has a split"),
}  # fmt: skip


def _unknown(matrix: Matrix) -> Matrix:
    """The matrix with NaN in a tenth of the incomes."""
    matrix = matrix.copy()
    rows = np.random.default_rng(2).random(len(matrix)) < 0.3
    matrix[rows, list(_COLUMNS).index("income")] = np.nan
    return matrix


def is_wrapper(model: Any) -> bool:
    """Whether it is of XGBoost's scikit-learn wrapper, or scikit-learn's with one within."""
    return not isinstance(model, Booster)


def inner(model: Any) -> Any:
    """The wrapper within a search or a pipeline."""
    return getattr(model, "best_estimator_", None) or (model[-1] if hasattr(model, "steps") else model)


def booster_of(model: Any) -> Booster:
    """The booster of either."""
    booster: Booster = inner(model).get_booster() if is_wrapper(model) else model
    return booster


def theirs(model: Any, matrix: Matrix) -> NDArray[np.float64]:
    """What the library itself predicts: the wrapper by its own method, a booster by its own."""
    if isinstance(model, Booster):
        options = {"feature_names": model.feature_names, "feature_types": model.feature_types}
        categorical = "c" in (model.feature_types or [])
        predicted = model.predict(DMatrix(matrix, enable_categorical=categorical, **options))
    elif hasattr(model, "predict_proba"):
        predicted = model.predict_proba(matrix)[:, 1]
    else:
        predicted = model.predict(matrix)
    return np.asarray(predicted, dtype=np.float64)


def _saved(name: str, *, by_wrapper: bool) -> Callable[[Any, Path], Path]:
    def save(model: Any, folder: Path) -> Path:
        (inner(model) if by_wrapper else booster_of(model)).save_model(folder / name)
        return folder / name

    return save


def _raw(name: str, form: str) -> Callable[[Any, Path], Path]:
    def save(model: Any, folder: Path) -> Path:
        (folder / name).write_bytes(booster_of(model).save_raw(form))
        return folder / name

    return save


def write_export(path: Path, model: bytes, columns: tuple[str, ...], model_class: str) -> Path:
    """An archive as BentoML exports one."""
    files = {
        "model.yaml": BENTOMODEL_INFO.replace("Booster", model_class).encode(),
        "saved_model.ubj": model,
        "custom_objects.pkl": pickle.dumps({"dv": make_vectorizer(columns)}),
    }
    with tarfile.open(path, "w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


WRAPPER_WAYS: Final[dict[str, Callable[[Any, Path], Any]]] = {
    "the wrapper": lambda model, _: model,
    "wrapper.save_model .json": _saved("model.json", by_wrapper=True),
    "wrapper.save_model .ubj": _saved("model.ubj", by_wrapper=True),
    "wrapper.save_model .model": _saved("model.model", by_wrapper=True),
}
BOOSTER_WAYS: Final[dict[str, Callable[[Any, Path], Any]]] = {
    "the booster": lambda model, _: booster_of(model),
    "booster.save_model .json": _saved("model.json", by_wrapper=False),
    "booster.save_model .ubj": _saved("model.ubj", by_wrapper=False),
    "booster.save_model .deprecated": _saved("model.deprecated", by_wrapper=False),
    "booster.save_raw json": _raw("model.json", "json"),
    "booster.save_raw ubj": _raw("model.ubj", "ubj"),
}
BENTOML_WAYS: Final = ("BentoML, the wrapper", "BentoML, the booster")
