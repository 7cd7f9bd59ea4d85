"""Plans: kept whole, read whole, and refused where they are not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from schemas.decision import BundleReference
from scorer.errors import MisuseError, ReplayError
from scorer.replay.plan import PLAN_FILE, Origin, Plan, read_plan, write_plan
from scorer.replay.selection import DECIDED, Selection
from scorer.settings import load_settings

BUNDLE = BundleReference(name="credit", version="1.1.0", digest="b" * 64)


def plan() -> Plan:
    """Two applications."""
    rows = np.array([(0, 3, 0.25, 1, 0, 7, 1), (2, 9, 0.75, 2, 0, 8, 2)], dtype=DECIDED)
    return Plan(
        replay_id="20260101T000000Z-abc123",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        what="decided by credit:1.0.0",
        decisions_topic="credit.decisions",
        dead_letters_topic="credit.applications.dlq",
        results_from={"credit.decisions": {0: 5, 1: 0}},
        bundle=BUNDLE,
        selection=Selection("credit.applications", (BUNDLE.model_copy(update={"version": "1.0.0"}),), rows),
        expired=4,
        origin=Origin("p", "ana@desk", "declines everybody", "scorer replay plan p --decided-by credit:1.0.0"),
    )


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is written is what is read."""
    write_plan(plan(), tmp_path / "p")
    plan_read, wanted = read_plan(tmp_path / "p"), plan()
    assert (plan_read.selection.rows == wanted.selection.rows).all()
    assert (plan_read.selection.topic, plan_read.selection.bundles) == (
        wanted.selection.topic,
        wanted.selection.bundles,
    )
    for name in ("replay_id", "created", "what", "results_from", "bundle", "expired", "group_id", "origin"):
        assert getattr(plan_read, name) == getattr(wanted, name)


def test_a_plan_of_an_earlier_release_has_no_origin(tmp_path: Path) -> None:
    """It can be run and reported all the same."""
    write_plan(plan(), tmp_path / "p")
    path = tmp_path / "p" / PLAN_FILE
    content = json.loads(path.read_bytes())
    del content["origin"]
    path.write_text(json.dumps(content))
    assert read_plan(tmp_path / "p").origin == Origin()


def test_a_plan_is_never_written_over(tmp_path: Path) -> None:
    """A replay that began by a plan must find it unchanged."""
    write_plan(plan(), tmp_path / "p")
    with pytest.raises(MisuseError, match="already exists"):
        write_plan(plan(), tmp_path / "p")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """The message says which folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MisuseError, match="the plan cannot be written to"):
        write_plan(plan(), tmp_path / "file" / "p")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / PLAN_FILE).unlink(), "contains no replay plan"),
        (lambda f: (f / PLAN_FILE).write_text("{"), "damaged replay plan"),
        (lambda f: (f / PLAN_FILE).write_text("[]"), "damaged replay plan"),
        (lambda f: (f / "decided.npy").write_bytes(b""), "damaged replay plan"),
        (lambda f: np.save(f / "decided.npy", np.zeros(2)), "damaged replay plan"),
        (lambda f: np.save(f / "decided.npy", np.zeros(3, dtype=DECIDED)), "damaged replay plan"),
        (lambda f: np.save(f / "decided.npy", np.array([{}]), allow_pickle=True), "damaged replay plan"),
        (lambda f: _change(f, plan_version=1), "another release"),
        (lambda f: _change(f, bundle={"name": "x"}), "damaged replay plan"),
        (lambda f: _change(f, created="now"), "damaged replay plan"),
        (lambda f: _change(f, origin={"who": "ana"}), "damaged replay plan"),
    ],
)
def test_a_damaged_plan_is_rejected(tmp_path: Path, damage: object, message: str) -> None:
    """Whatever is missing or changed; no pickle is opened."""
    write_plan(plan(), tmp_path / "p")
    assert callable(damage)
    damage(tmp_path / "p")
    with pytest.raises(MisuseError, match=message):
        read_plan(tmp_path / "p")


def _change(folder: Path, **fields: object) -> None:
    content = json.loads((folder / PLAN_FILE).read_bytes())
    (folder / PLAN_FILE).write_text(json.dumps(content | fields))


def test_other_topics_are_rejected() -> None:
    """A plan on one cluster's topics is not run on another's."""
    flags = {"applications_topic": "others"}
    with pytest.raises(MisuseError, match="the settings name others"):
        plan().require_topics(load_settings(flags, environment={}).settings)


def test_an_old_plan_is_not_run() -> None:
    """Kafka may have forgotten how far it has come, and corrections would be published twice."""
    made = plan()
    made.require_fresh(made.created + timedelta(days=5))
    with pytest.raises(ReplayError, match="the plan is from 2026-01-01, and plans expire after 6 days: plan again"):
        made.require_fresh(made.created + timedelta(days=7))


def test_a_plan_that_went_through_an_editor_is_still_one(tmp_path: Path) -> None:
    """A byte-order mark in front of plan.json changes nothing."""
    write_plan(plan(), tmp_path / "p")
    path = tmp_path / "p" / PLAN_FILE
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(json.dumps(json.loads(path.read_text("utf-8"))).encode(encoding))
        assert read_plan(tmp_path / "p").replay_id == plan().replay_id
        write_plan(plan(), tmp_path / encoding)
        path.write_bytes((tmp_path / encoding / PLAN_FILE).read_bytes())
