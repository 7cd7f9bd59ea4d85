"""`scorer bundle`: what is there, what it says of itself, and whether it holds."""

import io
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from scorer.bundle import engine
from scorer.bundle.load import read_manifest
from scorer.store.store import BundleStore
from tests.unit.bundle.making import EXPLAINED, PLAIN, copy_bundle, named, remake
from tests.unit.cli.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]


def test_list_names_every_bundle_and_where_it_is(tmp_path: Path, run: Run) -> None:
    """The shipped ones, those in the store, and which one decides if none is named."""
    BundleStore(tmp_path / "store").put(named(tmp_path / "made", "mine", "2.0.0"))
    lines = run("bundle", "list").out.splitlines()
    assert any("credit-risk:1.1.1" in line and "shipped (default)" in line for line in lines)
    assert any("mine:2.0.0" in line and "store" in line for line in lines)
    report = json.loads(run("bundle", "list", "--json").out)
    assert [(row["name"], row["version"], row["shipped"], row["default"]) for row in report] == [
        ("credit-risk", "1.0.0", True, False),
        ("credit-risk", "1.1.0", True, False),
        ("credit-risk", "1.1.1", True, True),
        ("mine", "2.0.0", False, False),
    ]
    assert report[1]["digest"] == read_manifest(PLAIN).digest


def test_list_shows_a_damaged_bundle_as_such(tmp_path: Path, run: Run) -> None:
    """It is in the list, with what is wrong, and the list does not fail."""
    folder = Path(BundleStore(tmp_path / "store").put(named(tmp_path / "made", "mine", "2.0.0")))
    (folder / "bundle.json").write_text("{}")
    ended = run("bundle", "list")
    assert ended.code == 0
    assert "damaged" in ended.out
    assert "is not a valid manifest" in json.loads(run("bundle", "list", "--json").out)[-1]["fault"]


def test_another_store_by_flag(tmp_path: Path, run: Run) -> None:
    """--store goes over SCORER_STORE."""
    BundleStore(tmp_path / "other").put(named(tmp_path / "made", "mine", "2.0.0"))
    assert "mine:2.0.0" not in run("bundle", "list").out
    assert "mine:2.0.0" in run("bundle", "list", "--store", tmp_path / "other").out


def test_show_prints_the_bundles_description(run: Run) -> None:
    """Policy, fields, recipe, data and figures of the default bundle; with --json the manifest itself."""
    out = run("bundle", "show").out
    manifest = read_manifest(EXPLAINED)
    for words in (manifest.digest, "above 0.5 DECLINED", "left out  marital", "175 rounds", "AUC 0.8449", "none"):
        assert words in out
    report = json.loads(run("bundle", "show", "credit-risk:latest", "--json").out)
    assert report["digest"] == manifest.digest
    assert report["manifest"] == json.loads((EXPLAINED / "bundle.json").read_bytes())


def test_verify_lists_what_was_checked(run: Run) -> None:
    """Seven checks of an intact bundle with reasons, the engine last, in words or as JSON; exit 0."""
    ended = run("bundle", "verify")
    assert ended.code == 0
    assert [line[0] for line in ended.out.splitlines()] == ["✓"] * 7
    assert ended.out.splitlines()[-1].startswith("✓ engine: ")
    report = json.loads(run("bundle", "verify", "--json").out)
    assert report["ok"]
    assert report["fault"] is None
    assert len(report["checks"]) == 7


@pytest.mark.parametrize(
    ("setting", "fault", "code", "words"),
    [
        ("auto", "", 0, "engine: compiled, with the results of the Python engine"),
        ("compiled", "", 0, "engine: compiled, with the results of the Python engine"),
        ("python", "", 0, "engine: python\n"),
        ("auto", "it differs", 0, "engine: python; the compiled engine is not used: it differs\n"),
        ("compiled", "it differs", 1, "engine = compiled, but the compiled engine is not used: it differs"),
    ],
)
def test_verify_checks_the_engine(
    monkeypatch: pytest.MonkeyPatch, run: Run, setting: str, fault: str, code: int, words: str
) -> None:
    """The engine that would decide is named; if it must be the compiled one, another one is an error."""
    monkeypatch.setattr(engine, "IS_INSTALLED", True)
    monkeypatch.setattr(engine, "compile_engine", lambda _: object())
    monkeypatch.setattr(engine, "_find_fault", lambda *_: fault)
    ended = run("bundle", "verify", "--set", f"engine={setting}")
    assert ended.code == code
    assert words in ended.out + ended.err


def test_verify_reports_what_is_wrong(tmp_path: Path, run: Run) -> None:
    """Exit 1, the checks that passed, and the reason with its cure."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "golden.jsonl").unlink()
    ended = run("bundle", "verify", folder)
    assert ended.code == 1
    assert ended.out.startswith("✓ manifest")
    assert "golden.jsonl is missing" in ended.err
    as_json = run("bundle", "verify", folder, "--json")
    report = json.loads(as_json.out)
    assert as_json.code == 1
    assert (report["ok"], len(report["checks"])) == (False, 1)
    assert "golden.jsonl is missing" in report["fault"]


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_reference_to_nothing_is_one_message(run: Run, command: str) -> None:
    """What there is and what was perhaps meant, without a traceback."""
    ended = run("bundle", command, "credit-rsik:1.1.0")
    assert ended.code == 1
    assert "Did you mean credit-risk:1.1.0" in ended.err


def test_markup_in_a_label_is_shown_as_it_is(tmp_path: Path, run: Run) -> None:
    """What a bundle says of itself cannot colour, hide or break what is printed."""
    folder = named(tmp_path / "made", "mine", "2.0.0")
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["labels"] = {"note": "[red]x[/red] [/]"}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    assert "note=[red]x[/red] [/]" in run("bundle", "show", folder).out


@pytest.fixture
def stored(tmp_path: Path) -> BundleStore:
    """A store with two versions of `mine`, the second with labels."""
    store = BundleStore(tmp_path / "store")
    store.put(named(tmp_path / "first", "mine", "1.0.0"))
    labels = {"stage": "trial", "by": "[red]me[/red]"}
    store.put(remake(named(tmp_path / "second", "mine", "2.0.0"), lambda manifest: manifest.update(labels=labels)))
    return store


@pytest.mark.usefixtures("stored")
def test_list_shows_tags_and_show_shows_labels(run: Run) -> None:
    """Each bundle's, as they are. A label of a notebook once made a row of `list` eighteen lines high."""
    run("bundle", "tag", "mine:1.0.0", "prod")
    run("bundle", "tag", "mine:1.0.0", "before")
    lines = run("bundle", "list").out.splitlines()
    assert any("mine:1.0.0" in line and "before, prod" in line for line in lines)
    assert not any("stage" in line for line in lines)
    assert "stage=trial, by=[red]me[/red]" in run("bundle", "show", "mine:2.0.0").out
    report = {f"{row['name']}:{row['version']}": row for row in json.loads(run("bundle", "list", "--json").out)}
    assert report["mine:1.0.0"]["tags"] == ["before", "prod"]
    assert report["mine:2.0.0"]["manifest"]["labels"]["stage"] == "trial"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["stage"], ["2.0.0"]),
        (["stage=trial"], ["2.0.0"]),
        (["stage=trial", "by"], ["2.0.0"]),
        (["stage=prod"], []),
        (["stage=trial", "other"], []),
        (["stage="], []),
    ],
)
@pytest.mark.usefixtures("stored")
def test_list_by_label(run: Run, labels: list[str], expected: list[str]) -> None:
    """A key, or a key and its value; several must all hold."""
    options = [f"--label={label}" for label in labels]
    assert [row["version"] for row in json.loads(run("bundle", "list", "--json", *options).out)] == expected


@pytest.mark.usefixtures("stored")
def test_tag_prints_the_previous_target(run: Run) -> None:
    """Where it points now, where it pointed before, for people and for scripts; then it can be taken away."""
    assert run("bundle", "tag", "mine:1.0.0", "prod").out.startswith("mine:prod now refers to mine:1.0.0@")
    assert " (previously mine:1.0.0@" in run("bundle", "tag", "mine:2.0.0", "prod").out
    report = json.loads(run("bundle", "tag", "mine:1.0.0", "prod", "--json").out)
    assert (report["version"], report["tags"], report["before"]["version"]) == ("1.0.0", ["prod"], "2.0.0")
    assert "@" in report["before"]["by"]
    assert run("bundle", "tag", "mine:2.0.0", "prod", "--remove").code == 1
    assert run("bundle", "tag", "mine:prod", "prod", "--remove").out == "removed the tag prod from mine:1.0.0\n"
    assert "bundle mine:prod not found" in run("bundle", "verify", "mine:prod").err


@pytest.mark.usefixtures("stored")
def test_show_prints_since_when_a_tag_is_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And by whom: a user who has no name, as in a container, by number."""
    run("bundle", "tag", "mine:1.0.0", "prod")
    (by,) = [tag["by"] for tag in json.loads(run("bundle", "show", "mine:1.0.0", "--json").out)["tags"].values()]
    assert f"by {by})" in run("bundle", "show", "mine:prod").out
    monkeypatch.setattr("getpass.getuser", lambda: os.environ["NOBODY"])
    run("bundle", "tag", "mine:2.0.0", "prod")
    assert f" by {os.getuid()}@" in run("bundle", "show", "mine:prod").out


def test_tag_that_cannot_be(run: Run) -> None:
    """What may not be a tag is misuse, and a bundle that is not there has none."""
    ended = run("bundle", "tag", "credit-risk:1.1.0", "latest")
    assert (ended.code, "latest is always the highest version" in ended.err) == (2, True)
    assert run("bundle", "tag", "mine:1.0.0", "prod").code == 1


def test_delete_asks(stored: BundleStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question names the bundle, where it is and its tags; without a yes nothing is done."""
    run("bundle", "tag", "mine:1.0.0", "prod")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ended = run("bundle", "delete", "mine:1.0.0")
    assert ended.code == 1
    assert "Delete mine:1.0.0@" in ended.out
    assert " with its tags mine:prod from " in ended.out
    assert stored.open("mine:prod")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = run("bundle", "delete", "mine:1.0.0")
    assert ended.code == 0
    assert "deleted mine:1.0.0@" in ended.out
    assert [entry.reference for entry in stored.entries() if not entry.shipped] == ["mine:2.0.0"]


@pytest.mark.usefixtures("stored")
def test_delete_for_scripts(tmp_path: Path, run: Run) -> None:
    """--json does not ask, so --yes must be said; a damaged bundle can be deleted too."""
    assert run("bundle", "delete", "mine:2.0.0", "--json").code == 2
    (tmp_path / "store" / "mine" / "2.0.0" / "bundle.json").write_text("{")
    report = json.loads(run("bundle", "delete", "mine:2.0.0", "--json", "--yes").out)
    assert (report["version"], report["tags"], "is not a valid manifest" in report["fault"]) == ("2.0.0", [], True)
    assert "mine:2.0.0" not in run("bundle", "list").out


def test_delete_leaves_what_is_shipped(run: Run) -> None:
    """It is refused without a question."""
    ended = run("bundle", "delete", "credit-risk:latest")
    assert (ended.code, ended.out) == (2, "")
    assert "credit-risk:1.1.1 is shipped with this package and cannot be deleted" in ended.err


@pytest.mark.parametrize("ending", ["", ".tar.gz", ".tar.xz", ".zip"])
def test_export_delete_import(stored: BundleStore, run: Run, tmp_path: Path, ending: str) -> None:
    """A bundle goes out, is deleted, and comes back as it was; a second import is nothing to do."""
    digest = stored.open("mine:2.0.0").reference.digest
    target = tmp_path / f"moved{ending}"
    assert run("bundle", "export", "mine:latest", target).out == f"exported mine:2.0.0@{digest[:12]} to {target}\n"
    assert run("bundle", "delete", "mine:2.0.0", "--yes").code == 0
    where = tmp_path / "store" / "mine" / "2.0.0"
    assert run("bundle", "import", target).out == f"imported mine:2.0.0@{digest[:12]} into {where}\n"
    assert stored.open("mine:2.0.0").reference.digest == digest
    assert " with the same content: nothing to do" in run("bundle", "import", target).out
    report = json.loads(run("bundle", "import", target, "--json").out)
    assert (report["new"], report["digest"], report["location"]) == (False, digest, str(where))
    assert run("bundle", "export", "mine:latest", target).code == 2
    ended = run("bundle", "export", "mine:latest", f"memory://{tmp_path.name}/x{ending}", "--json")
    assert json.loads(ended.out)["digest"] == digest


def test_import_of_nothing(run: Run, tmp_path: Path) -> None:
    """A mistyped path is misuse, and damage is a failure; each is one message."""
    ended = run("bundle", "import", "nothing.zip")
    assert (ended.code, ended.err) == (2, "scorer: nothing.zip: no such archive; is the URL right?\n")
    (tmp_path / "bad.zip").write_bytes(b"x")
    ended = run("bundle", "import", "bad.zip")
    assert ended.code == 1
    assert "it is truncated, damaged or not a .zip" in ended.err


def test_a_store_that_needs_an_extra(run: Run) -> None:
    """One message that says what to install, before anything else."""
    if find_spec("gcsfs"):
        pytest.skip("gcsfs is installed here")
    ended = run("bundle", "list", "--store", "gs://models")
    assert ended.code == 2
    assert "pip install '.[gcs]'" in ended.err
