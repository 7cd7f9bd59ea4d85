"""Marked personal data in every place that a record has: in payloads, and in nothing that is said about them."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, headers_of, scorer, wait_until, worker
from tests.ops.console_process import console

pytestmark = pytest.mark.broker

MARK: Final = "m4rk3d"
NUMBER: Final = 7310917.25
"""A figure that nothing else here has."""
NAME: Final = "n4m3d"
"""A field name. Commands that read a file list ignored fields by name; nothing else may show it."""
MARKS: Final = (MARK, "7310917")
PLAIN: Final = APPLICATIONS["plain"]

INVALID: Final[list[bytes]] = [
    *(
        dump_application(PLAIN | {"application_id": f"id-{name}-{number}", name: value}, shipped_contract())
        for (name, (number, value)) in product(
            sorted(CreditApplication.model_fields.keys() - {"application_id"}),
            enumerate((MARK, -NUMBER, [MARK], {NAME: NUMBER}, f"{NUMBER}", 1e300 * NUMBER)),
        )
    ),
    *(
        dump_application(PLAIN | {"application_id": value}, shipped_contract())
        for value in (MARK * 20, NUMBER, [MARK], {NAME: MARK})
    ),
    dump_application({NAME: MARK}, shipped_contract()),
    MARK.encode(),
    f'"{MARK}"'.encode(),
    f'{{"home": "{MARK}'.encode(),
    f'{{"{NAME}": 1, "{NAME}": 2}}'.encode(),
    f'{{"application_id": "id-twice", "home": "{MARK}", "home": "{MARK}"}}'.encode(),
    MARK.encode() + b"\xff\xfe",
    b'{"home": "' + MARK.encode() + b'\x01"}',
    f'{{"age": {MARK}}}'.encode(),
    f'{{"age": {"7310917" * 20}e}}'.encode(),
    f'{{"age": {"7310917" * 800}}}'.encode(),
    f'{{"home": {"[" * 20_000}"{MARK}"'.encode(),
    json.dumps([PLAIN | {"home": MARK}]).encode(),
    dump_application(PLAIN | {"notes": MARK * 12_000}, shipped_contract()),
]
"""Records that are rejected, with marks in values, in names, and where no value can be."""
VALID: Final[list[bytes]] = [
    dump_application(
        PLAIN | {"application_id": "id-1", "amount": NUMBER, "branch": MARK, NAME: [MARK], "tags": {NAME: 1}},
        shipped_contract(),
    ),
    dump_application(PLAIN | {"application_id": "id-2", "income": NUMBER, "notes": MARK}, shipped_contract()),
]
HEADERS: Final = [(NAME, MARK.encode()), ("traceparent", MARK.encode()), ("dlq.code", MARK.encode())]


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics with all of it."""
    made = Topics(broker.bootstrap_servers, 1)
    publisher = Producer({"bootstrap.servers": made.servers})
    for value in (*INVALID, *VALID):
        publisher.produce(made.applications, value, "key", headers=list(HEADERS))
    assert publisher.flush(WAIT_S) == 0
    return made


def marked(text: str, marks: Sequence[str] = (*MARKS, NAME)) -> set[str]:
    """The marks that are in a text, with the end of what stands before each."""
    return {text[max(0, text.index(mark) - 200) : text.index(mark) + 20] for mark in marks if mark in text}


def test_what_runs_and_what_asks(topics: Topics, tmp_path: Path) -> None:
    """Neither a worker's log, metrics and probes, nor the console, nor any command shows what a record holds.

    The worker logs all that it can, a line for each decision too.
    """
    debugging = ("--set", "log_level=debug", "--set", "kafka.debug=consumer,cgrp,topic,eos")
    with worker(topics, tmp_path / "w.log", *debugging) as running:
        wait_until(lambda: topics.count(topics.dead_letters) == len(INVALID), "the dead letters")
        wait_until(lambda: topics.count(topics.decisions) == len(VALID), "the decisions")
        for letter in topics.read(topics.dead_letters):
            headers = {name: value for name, value in headers_of(letter).items() if name not in dict(HEADERS)}
            assert marked(str(headers)) == set()
        for path in ("/metrics", "/readyz", "/healthz"):
            assert marked(running.get(path)[1]) == set(), path
        with console(topics.environment(), tmp_path / "console.log") as page:
            for path in (
                "/",
                "/try",
                "/applications",
                "/review",
                "/deployments",
                "/bundles",
                "/challenger",
                "/dead-letters",
                "/dead-letters?code=not_json",
                "/interface",
                "/api/deployments",
                "/api/dead-letters/0/0",
            ):
                assert marked(page.ask(path).body) == set(), path
            letters = page.ask_json("/api/dead-letters")
            assert letters["letters"], letters.keys()
            assert marked(json.dumps(letters)) == set()
            wrong = json.dumps(PLAIN | {"home": MARK, "age": NUMBER}).encode()
            answer = page.ask("/api/applications", "POST", wrong, {"Content-Type": "application/json"})
            assert marked(answer.body) == set()
            assert marked(page.log()) == set()
        for arguments in (
            ("dlq", "list"),
            ("dlq", "list", "--json"),
            ("dlq", "show", f"{topics.dead_letters}:0:0"),
            ("dlq", "requeue", f"{topics.dead_letters}:0:1", "--actor", "ana"),
            ("offsets", "show"),
            ("topics", "check"),
            ("doctor",),
            ("history",),
            ("replay", "plan", str(tmp_path / "plan"), "--with", "credit-risk:1.0.0", "--offsets", "0:0-1000"),
            ("replay", "run", str(tmp_path / "plan")),
            ("replay", "report", str(tmp_path / "plan")),
            ("replay", "verify", "--offsets", "0:0-1000"),
        ):
            _, output, errors = scorer(topics, *arguments)
            assert marked(output + errors) == set(), arguments
        running.terminate()
        assert marked(running.log()) == set()


def test_files_with_wrong_rows(tmp_path: Path) -> None:
    """What a command says of a row that it refuses names the row, the field and the rule."""
    rows = [PLAIN | {"application_id": f"r-{number}", "status": "ok"} for number in range(3)]
    lines = [row | {name: value} for row, (name, value) in zip(rows, (("home", MARK), ("age", NUMBER)), strict=False)]
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    jsonl.write_bytes(b"\n".join([*(json.dumps(line).encode() for line in lines), *INVALID[-14:]]))
    with table.open("w", newline="") as sink:
        writer = csv.DictWriter(sink, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    store = ["--store", str(tmp_path / "store")]
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("scorer", "score", jsonl), ("scorer", "score", table),
        ("scorer", "score", table, "--rejects", "rejects.jsonl"),
        ("scorer", "train", jsonl, "--name", "m", "--version", "1.0.0", *store),
        ("scorer", "train", table, "--name", "m", "--version", "1.0.0", *store),
        ("producer", "publish", jsonl, "-b", "127.0.0.1:1"), ("producer", "publish", table, "-b", "127.0.0.1:1"),
        ("producer", "try", f"home={MARK}", f"age={NUMBER}", "-b", "127.0.0.1:1"),
    )  # fmt: skip
    for program, *arguments in commands:
        ended = subprocess.run(
            [sys.executable, "-m", *map(str, (program, *arguments))],
            check=False, capture_output=True, text=True, timeout=2 * WAIT_S, cwd=tmp_path,
        )  # fmt: skip
        assert (ended.returncode == 0) == ("--rejects" in arguments), (arguments, ended.stderr)
        assert "Traceback" not in ended.stderr
        assert marked(ended.stdout + ended.stderr, MARKS) == set(), arguments
    assert marked((tmp_path / "rejects.jsonl").read_text(), MARKS) == set()
