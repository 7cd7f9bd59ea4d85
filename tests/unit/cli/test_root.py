"""The command line as a whole."""

import subprocess
import sys


def test_help_loads_nothing_heavy() -> None:
    """A page comes up without Kafka, numpy, pydantic and XGBoost being loaded."""
    code = (
        "import scorer.cli.root, sys; heavy = ('confluent_kafka', 'numpy', 'pydantic', 'xgboost', 'sklearn'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
