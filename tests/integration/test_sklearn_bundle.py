"""A worker that decides with a scikit-learn model: the classifier's probabilities, in the bytes of any other batch."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from producer.generator import generate_applications
from scorer.author.import_model import add_model
from scorer.bundle.load import load_bundle
from scorer.core.score import score_batch
from scorer.local.broker import Broker
from scorer.store.store import BundleStore
from tests.contract.runner_bundles import ZEROS, applications, classifier
from tests.fakes import FakeRecord
from tests.integration.worker_process import Topics, headers_of, wait_until, worker

pytestmark = pytest.mark.broker
COUNT = 2_000


def test_a_worker_decides_with_it(broker: Broker, tmp_path: Path) -> None:
    """Applications that come in bursts are decided as one batch of them all would be, byte for byte."""
    fitted = classifier("logistic")
    manifest, folder = add_model(fitted, ZEROS, BundleStore(tmp_path / "store"))
    values = [record.value for record in islice(generate_applications(seed=3), COUNT)]
    values[7] = b"{"  # a neighbour that is none
    topics = Topics(broker.bootstrap_servers, 1)
    bundle = str(manifest.reference)
    with worker(topics, tmp_path / "worker.log", "--bundle", bundle, "--set", f"store={tmp_path / 'store'}") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        for start, end in ((0, 1), (1, 2), (2, 70), (70, 1_000), (1_000, COUNT)):
            topics.publish(*values[start:end])
            wait_until(lambda end=end: topics.committed().get(0, 0) >= end, "the burst is committed")  # type: ignore[misc]
        assert running.probe("/readyz")["bundle"]["digest"] == manifest.digest
        assert running.terminate() == 0
    decisions = [message.value() for message in topics.read(topics.decisions)]
    records = [
        FakeRecord((0, offset), value, topic_name=topics.applications)
        for offset, value in enumerate(values)
        if offset != 7
    ]
    # Transaction markers are only on the topics that the worker writes to: offsets here count applications.
    assert decisions == score_batch(records, load_bundle(Path(folder)), 65_536).results
    report = np.array([json.loads(decision or b"")["probability_of_default"] for decision in decisions])
    matrix = np.delete(ZEROS.matrix(applications(COUNT)), 7, axis=0)
    assert np.abs(report - fitted.predict_proba(matrix.astype(np.float64))[:, 1]).max() <= 1e-6
    letters = list(topics.read(topics.dead_letters))
    assert [headers_of(letter)["dlq.offset"] for letter in letters] == [b"7"]
