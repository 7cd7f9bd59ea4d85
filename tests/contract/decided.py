"""A model's way into a bundle and to decisions: built, stored, opened, and asked with the bytes of applications."""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from producer.generator import generate_applications
from schemas.contracts import shipped_contract
from schemas.files import read_applications
from scorer.core.columns import Columns
from scorer.core.score import score_batch
from scorer.store.store import BundleStore
from tests import real_data
from tests.contract.runner_bundles import defaults
from tests.fakes import FakeRecord, columns_of_values

RECORD_BYTES_MAX: Final = 65_536
LEARNT: Final = 2_000
"""The applications to train on; the others are for comparing."""
TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Loans:
    """Applications as records, decoded, and what became of them: 1 for a default; n each."""

    values: list[bytes]
    applications: Columns
    defaulted: NDArray[np.int64]

    def take(self, rows: slice) -> "Loans":
        """Some of them."""
        return Loans(self.values[rows], self.applications.take(np.arange(len(self.values))[rows]), self.defaulted[rows])


def made_up_loans() -> Loans:
    """Loans that resemble real ones: some with unknown numbers, many with zeros."""
    values = [record.value for record in islice(generate_applications(3), LEARNT + 500)]
    known = columns_of_values(values)
    return Loans(values, known, defaults(known))


def real_loans() -> Loans:
    """The course's file, shuffled; the test is skipped where it is not."""
    rows = [row for row in read_applications(real_data.file(), shipped_contract()) if row.status is not None]
    rows = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    values = [row.value for row in rows]
    known = columns_of_values(values)
    return Loans(values, known, np.array([row.status == "default" for row in rows], dtype=int))


def decide(store: Path, reference: str, values: list[bytes]) -> NDArray[np.float64]:
    """The probability of default in each decision, as a reader of the decisions' topic finds it."""
    bundle = BundleStore(store).open(reference)
    records = [FakeRecord((0, offset), value) for offset, value in enumerate(values)]
    outcomes = score_batch(records, bundle, RECORD_BYTES_MAX).results
    return np.array([json.loads(outcome)["probability_of_default"] for outcome in outcomes])  # type: ignore[arg-type]
