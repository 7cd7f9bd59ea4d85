"""Draws bundles: a contract, columns, a policy and a model of any kind, opened as the bundle's runner opens it."""

import warnings
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, Kind
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from scorer.bundle.explainer import make_explainer
from scorer.bundle.load import read_manifest
from scorer.bundle.runners import GuardedModel, open_model
from scorer.core.catalogue import Reasons
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.reasons import Explainer
from scorer.core.score import Bundle
from scorer.errors import BundleError
from tests.equality.contracts import draw_columns, draw_contract
from tests.equality.models import SAVED, AnyModel, ModelKind, train
from tests.equality.policies import draw_policy
from tests.equality.records import RecordWriter
from tests.unit.bundle.making import PLAIN

_ROWS: Final = 200  # and as many of noise: enough for trees of depth 10
_WITHOUT_TABLES: Final = 0.3  # share of the models without tables that explain
_BYTES_MAX: Final = 65_536
_REFERENCE: Final = BundleReference(name="drawn", version="1.0.0", digest="d0" * 32)


def draw_bundle(random: Random, kind: ModelKind) -> Bundle:
    """Draws a bundle with a model of this kind."""
    encoding = _draw_encoding(random, kind)
    decoder = Decoder(encoding.contract)
    matrix = _draw_matrix(random, decoder, encoding)
    if kind.is_other:
        none, policy = matrix[:0], Decider(draw_policy(random, encoding.contract, ()), encoding.contract)
        return Bundle(_REFERENCE, decoder, encoding, AnyModel(), policy, DecisionEncoder(_REFERENCE), none, none[:, 0])
    saved = (SAVED / kind.file).read_bytes() if kind.file else train(random, matrix, encoding, kind)
    file = "model.ubj" if kind.file.endswith("ubj") else "model.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XGBoost warns of models that versions before 1.6 have saved
        model = open_model("xgboost", file, saved, encoding.columns, {}, encoding.categories)
    explainer = _draw_explainer(random, encoding, model)
    codes = explainer.codes if explainer else ()
    encoder = DecisionEncoder(_REFERENCE, codes)
    policy = Decider(draw_policy(random, encoding.contract, codes), encoding.contract)
    rows = matrix[:5]
    return Bundle(_REFERENCE, decoder, encoding, model, policy, encoder, rows, model.predict(rows), explainer=explainer)


def _draw_explainer(random: Random, encoding: FeatureEncoding, model: GuardedModel) -> Explainer | None:
    """A catalogue of some fields, alone or in groups, and of entries for rules; None if it is about no used field.

    Most models without tables get none: with one both engines would let XGBoost predict and explain, which takes a
    hundred times as long, and no tree would be the compiled engine's.
    """
    fields = [name for name in dict.fromkeys(encoding.column_fields) if random.random() < 0.9]
    random.shuffle(fields)
    entries: list[dict[str, Any]] = []
    while fields:
        count = random.choice((0, 1, 1, 1, 2))
        text = {"en": "A sentence."}
        entries.append({"code": f"R{len(entries)}", "fields": tuple(fields[:count]), "text": text})
        del fields[:count]
    try:
        reasons = Reasons.model_validate({"method": "tree-path-dependent", "catalogue": tuple(entries)})
        explainer = make_explainer(reasons, encoding, model)
    except (ValueError, BundleError):
        return None
    return explainer if explainer.tables is not None or random.random() < _WITHOUT_TABLES else None


def _draw_encoding(random: Random, kind: ModelKind) -> FeatureEncoding:
    """Draws the encoding; one without columns, or without the categories that the kind needs, is drawn again."""
    missing = random.choice((0.0, -1.0, np.nan, np.nan))
    if kind.file:
        return FeatureEncoding(shipped_contract(), read_manifest(PLAIN).features.columns, missing)
    while True:
        contract = draw_contract(random)
        columns, derived = draw_columns(random, contract, has_indexes=kind.has_categories)
        if columns and (not kind.has_categories or _categories_among(columns, contract)):
            return FeatureEncoding(contract, columns, missing, derived)


def _categories_among(columns: list[str], contract: Contract) -> bool:
    return any(name in columns for name, field in contract.inputs.items() if field.kind is Kind.CATEGORY)


def _draw_matrix(random: Random, decoder: Decoder, encoding: FeatureEncoding) -> NDArray[np.float32]:
    """The matrix of drawn records, filled up with random numbers."""
    values = [value for value in RecordWriter(random, encoding.contract).write(_ROWS) if value]
    with np.errstate(over="ignore"):
        matrix = encoding.matrix(decoder.decode_batch(values, _BYTES_MAX).columns)
    generator = np.random.default_rng(random.randrange(2**32))
    noise = generator.normal(0, 100, (_ROWS, len(encoding.columns))).astype(np.float32)
    noise[generator.random(noise.shape) < 0.1] = encoding.missing
    for i, name in encoding.indexes:
        noise[:, i] = generator.integers(-1, len(encoding.categories[name]), _ROWS)
        noise[noise[:, i] < 0, i] = np.nan
    matrix = np.concatenate([matrix, noise])
    matrix[np.isinf(matrix)] = 0
    generator.shuffle(matrix)
    return matrix
