"""XGBoost models of every kind, saved in every way: each decides as XGBoost itself predicts, or is refused."""

import re
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.author.bentoml import draft_bundle, read_bentomodel
from scorer.author.build import build_bundle
from scorer.author.describe import Description
from scorer.author.import_model import add_model
from scorer.core.policy import Policy
from scorer.errors import BundleError
from scorer.store.store import BundleStore
from tests import real_data
from tests.contract.decided import LEARNT, TOLERANCE, Loans, decide, made_up_loans, real_loans
from tests.contract.xgboost_kinds import (
    BENTOML_WAYS,
    BOOSTER_WAYS,
    KINDS,
    WRAPPER_WAYS,
    Kind,
    booster_of,
    inner,
    is_wrapper,
    theirs,
    write_export,
)

pytestmark = pytest.mark.usefixtures("opens_here")

SOURCES: dict[str, Callable[[], Loans]] = {"made up": made_up_loans, "real": real_loans}
IDENTITY = "made", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC)
REFERENCE = "made:1.0.0"


@cache
def loans(source: str) -> Loans:
    """Made once for all tests."""
    return SOURCES[source]()


@cache
def fitted(source: str, name: str) -> Any:
    """A model of a kind, trained once."""
    kind, learnt = KINDS[name], loans(source).take(slice(LEARNT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XGBoost's, about the unusual ways on purpose
        return kind.fit(kind.description.matrix(learnt.applications), learnt.defaulted)


@cache
def expected(source: str, name: str) -> NDArray[np.float64]:
    """What the library itself predicts for the applications that it has not seen."""
    held_out = loans(source).take(slice(LEARNT, None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return theirs(fitted(source, name), KINDS[name].description.matrix(held_out.applications))


def away(source: str, store: Path, predicted: NDArray[np.float64]) -> float:
    """By how much the decisions of the bundle in the store are away from that, at most."""
    held_out = loans(source).take(slice(LEARNT, None))
    assert predicted.std() > 0.01, "it tells applications apart"
    return float(np.abs(decide(store, REFERENCE, held_out.values) - predicted).max())


def bring(source: str, name: str, way: str, store: Path) -> str:
    """Makes a model a bundle in one of the ways; returns its digest."""
    model, kind = fitted(source, name), KINDS[name]
    description = kind.description.model_copy(update={"name": "made"})
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file's ending, which XGBoost does not know
        if way in BENTOML_WAYS:
            return import_export(model, way, description, (Path(folder), store))
        save = (WRAPPER_WAYS | BOOSTER_WAYS)[way]
        return add_model(save(model, Path(folder)), description, BundleStore(store))[0].digest


def import_export(model: Any, way: str, description: Description, places: tuple[Path, Path]) -> str:
    """What `scorer bundle import-bentoml` does with the export that BentoML would have written."""
    folder, store = places
    saved = inner(model) if way == BENTOML_WAYS[0] else booster_of(model)
    saved.save_model(folder / "saved_model.ubj")
    raw = (folder / "saved_model.ubj").read_bytes()
    path = write_export(folder / "x.bentomodel", raw, description.features.columns, type(saved).__name__)
    draft = draft_bundle(read_bentomodel(path), IDENTITY, Policy(), description.missing, description.rounds)
    (folder / "bundle").mkdir()
    manifest = build_bundle(draft, folder / "bundle")
    BundleStore(store).put(folder / "bundle")
    return manifest.digest


def reason(kind: Kind, way: str) -> str:
    """Why a kind is refused in a way, or nothing."""
    if kind.refused:
        return kind.refused
    by_booster = way in BOOSTER_WAYS or way == BENTOML_WAYS[1]
    if kind.booster_refused and by_booster:
        return kind.booster_refused
    return kind.file_refused if way != "the wrapper" else ""


def verdicts_of(source: str, name: str, ways: Iterable[str], folder: Path) -> dict[str, str | float]:
    """By way, how far its decisions are away from the library's own, at most; or why it is refused.

    Some ways give the same bundle, to the byte: it decides once.
    """
    verdicts: dict[str, str | float] = {}
    by_digest: dict[str, float] = {}
    for number, way in enumerate(ways):
        store = folder / f"store-{number}"
        try:
            digest = bring(source, name, way, store)
        except BundleError as error:
            assert not store.exists()
            verdicts[way] = str(error)
        else:
            if digest not in by_digest:
                by_digest[digest] = away(source, store, expected(source, name))
            verdicts[way] = by_digest[digest]
    return verdicts


def ways_of(model: Any) -> list[str]:
    """The ways in which there are models of this kind: one that has no wrapper cannot be saved by it."""
    by_booster = [*BOOSTER_WAYS, BENTOML_WAYS[1]]
    return [*WRAPPER_WAYS, BENTOML_WAYS[0], *by_booster] if is_wrapper(model) else by_booster


def is_as_said(said: str | float, why: str) -> bool:
    """Whether a verdict is the one that is expected: close enough, or refused in one line for this reason."""
    if isinstance(said, float):
        return not why and said <= TOLERANCE
    return bool(why) and re.search(why, said) is not None and "\n" not in said


@pytest.mark.parametrize("name", KINDS)
def test_it_decides_as_the_library_does_or_is_refused(tmp_path: Path, name: str) -> None:
    """In every way: from the saved model to the decision's bytes within a millionth, or one line that says why not."""
    verdicts = verdicts_of("made up", name, ways_of(fitted("made up", name)), tmp_path)
    wrong = {way: said for way, said in verdicts.items() if not is_as_said(said, reason(KINDS[name], way))}
    assert wrong == {}


@real_data.needed
@pytest.mark.parametrize("name", KINDS)
def test_it_decides_as_the_library_does_on_real_data(tmp_path: Path, name: str) -> None:
    """The same on the course's file, as the model itself and as the file that it saves."""
    if is_wrapper(fitted("real", name)):
        ways = ["the wrapper", "wrapper.save_model .json"]
    else:
        ways = ["the booster", "booster.save_model .json"]
    verdicts = verdicts_of("real", name, ways, tmp_path)
    wrong = {way: said for way, said in verdicts.items() if not is_as_said(said, reason(KINDS[name], way))}
    assert wrong == {}
