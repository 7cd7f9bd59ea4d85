"""The page on signatures, followed line by line on a real broker."""

import json
from pathlib import Path

import pytest

from scorer.errors import LocalBrokerError
from scorer.local.broker import Broker, start_broker
from tests.ops.pages import DOCS, Terminal, blocks, missing_from
from tests.unit.bundle.making import named


def test_the_page_on_signatures(tmp_path: Path) -> None:
    """Its commands work in the order in which they stand, and the history names who signed."""
    try:
        started = start_broker("java")
    except LocalBrokerError as fault:
        pytest.skip(f"needs a broker whose topics have their usual names: {fault}")
    named(tmp_path / "store" / "my-risk" / "1.0.0", "my-risk", "1.0.0")
    with started as broker:
        terminal = _terminal(tmp_path, broker)
        printed = ""
        for block in blocks(DOCS / "signatures.md"):
            if block.language == "sh":
                printed = "".join([terminal.run(command) for command in block.commands])
            if "scorer trust list" in block.text:
                assert missing_from(printed, "validation … bundles trusted\nana … deployments trusted") == []
            if "scorer history" in block.text:
                assert "(signed by ana)" in printed
        history = terminal.run("scorer history --json")
    assert [line.get("signed_by") for line in json.loads(history)] == [None, None, ["ana", "ben"]]


def _terminal(folder: Path, broker: Broker) -> Terminal:
    environment = {"SCORER_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "SCORER_STORE": str(folder / "store")}
    return Terminal(folder, {**environment, "COLUMNS": "200"}, forks=True)
