"""The file of loans that README and documentation use is one that the scorer reads and can learn from."""

from pathlib import Path

from producer.validation import validate_application
from schemas.contracts import shipped_contract
from schemas.files import read_applications
from schemas.rows import Hints


def test_every_row_is_a_valid_application_with_a_known_outcome() -> None:
    """A first user meets no rejection and no hint, and has enough of both outcomes to train a model."""
    hints, contract = Hints(), shipped_contract()
    rows = list(read_applications(Path(__file__).parents[3] / "examples" / "applications.csv", contract, hints))
    ids = {validate_application(row.value, contract) for row in rows}
    assert not hints.texts()
    assert len(ids) == len(rows) == 800
    outcomes = [row.status for row in rows]
    assert outcomes.count("ok") + outcomes.count("default") == 800
    assert outcomes.count("default") > 200
