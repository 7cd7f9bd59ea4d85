"""What the processes of these tests have in common."""

from collections.abc import Iterator

import pytest

from tests.integration.worker_process import WITHOUT_TRAINING


@pytest.fixture(scope="package", autouse=True)
def _without_training() -> Iterator[None]:
    """Processes are as in the image, without scikit-learn, unless a test gives them another path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(WITHOUT_TRAINING))
        yield
