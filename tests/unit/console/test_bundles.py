"""The store's bundles on the pages: the newest first, one with its card, the difference of two, and reviews."""

import asyncio
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from scorer.author.lint import lint_bundle
from scorer.bundle.load import read_manifest
from scorer.console import bundle_tasks, bundles
from scorer.console.bundle_tasks import run_task
from scorer.console.bundles import PAGE_MAX, diff_bundles, list_bundles, show_bundle
from scorer.console.pages import PAGES, render_in_frame
from scorer.errors import BundleError
from scorer.settings import Settings
from scorer.store.store import BundleStore
from tests.unit.bundle.making import EXPLAINED, PLAIN, WITH_MARITAL, copy_bundle, remake

(PAGE,) = (page for page in PAGES if page.file == "bundles")


def add(store: Path, version: str, created: str) -> Path:
    """A bundle of the store that was created at a time."""
    return remake(
        copy_bundle(store / "mine" / version),
        lambda manifest: manifest.update(name="mine", version=version, created=created),
    )


def test_the_newest_come_first(tmp_path: Path) -> None:
    """By the time of creation, whatever the version; a damaged bundle is last, with the reason, and no fault hides."""
    add(tmp_path, "1.0.0", "2031-01-01T00:00:00Z")
    add(tmp_path, "2.0.0", "2030-01-01T00:00:00Z")
    (add(tmp_path, "3.0.0", "2032-01-01T00:00:00Z") / "bundle.json").write_text("{", encoding="utf-8")
    BundleStore(tmp_path).notes.set_tag(BundleStore(tmp_path).entry("mine:2.0.0"), "prod", "ana")
    listed = list_bundles(str(tmp_path), 0)
    names = [row["reference"] for row in listed["bundles"]]
    assert names[:2] == ["mine:1.0.0", "mine:2.0.0"]
    assert names[-1] == "mine:3.0.0"
    assert listed["bundles"][1]["tags"] == ["prod"]
    assert "not a valid manifest" in listed["bundles"][-1]["fault"]
    assert listed["total"] == len(names) == 6
    assert {row["reference"] for row in listed["bundles"] if row["shipped"]} == {
        "credit-risk:1.0.0",
        "credit-risk:1.1.0",
        "credit-risk:1.1.1",
    }


def test_a_row_has_the_main_figures() -> None:
    """Digest, AUC, thresholds, runner and contract are the manifest's, of old manifests and of new ones."""
    rows = {row["reference"]: row for row in list_bundles(None, 0)["bundles"]}
    for folder in (PLAIN, EXPLAINED):
        manifest = read_manifest(folder)
        row = rows[f"{manifest.name}:{manifest.version}"]
        assert manifest.metrics is not None
        assert row["digest"] == manifest.digest
        assert row["auc"] == manifest.metrics.holdout.auc
        assert (row["maybe_above"], row["declined_above"], row["runner"]) == (0.3, 0.5, "xgboost")
        assert row["contract"] == "credit-application:1.0.0"


def test_a_large_store_comes_in_pages(tmp_path: Path) -> None:
    """A response has a bounded number of bundles, and the next one continues after it; together they are all."""
    for number in range(PAGE_MAX):
        add(tmp_path, f"1.0.{number}", f"2030-01-01T00:00:{number:02}Z")
    first, second = list_bundles(str(tmp_path), 0), list_bundles(str(tmp_path), PAGE_MAX)
    assert len(first["bundles"]) == PAGE_MAX
    assert first["total"] == second["total"] == PAGE_MAX + 3
    assert len({row["reference"] for row in first["bundles"] + second["bundles"]}) == PAGE_MAX + 3
    assert list_bundles(str(tmp_path), 10**9)["bundles"] == []


def test_the_page_of_a_bundle_has_its_card_as_html() -> None:
    """Facts, metrics and card are shown, tables of the card too, and nothing that the security policy forbids."""
    shown = show_bundle(None, "credit-risk:1.1.1")
    manifest = read_manifest(EXPLAINED)
    assert (shown.reference, shown.digest) == ("credit-risk:1.1.1", manifest.digest)
    assert shown.facts["policy"] == manifest.policy.lines()
    text = render_in_frame(PAGE, Settings(), may_log_out=False, template="bundle", bundle=shown, fault="")
    assert "0.8449" in text
    assert "<h4>Limitations</h4>" in text
    assert '<td class="number">412</td>' in text.partition('class="model-card"')[2]
    assert "<style" not in text
    assert " style=" not in text
    assert "/static/bundle.js" in text


def test_a_card_cannot_contain_html(tmp_path: Path) -> None:
    """A card comes from another team: its HTML stays text, its images are not loaded, its links cannot run scripts."""
    folder = copy_bundle(tmp_path / "mine" / "1.0.0")
    card = "# <script>1</script>\n![x](https://x.example/y.png) [x](javascript:alert(1))\n"
    (folder / "model-card.md").write_text(card, encoding="utf-8")
    remake(folder, lambda manifest: manifest.update(name="mine"))
    shutil.move(folder, tmp_path / "mine" / "1.1.0")
    shown = show_bundle(str(tmp_path), "mine:1.1.0")
    text = render_in_frame(PAGE, Settings(), may_log_out=False, template="bundle", bundle=shown, fault="")
    card_html = text.partition('class="model-card"')[2]
    assert "&lt;script&gt;" in card_html
    assert "<img" not in card_html
    assert 'href="javascript' not in card_html


def test_a_bundle_without_metrics_and_card(tmp_path: Path) -> None:
    """The page says so instead of leaving a gap."""
    folder = copy_bundle(tmp_path / "mine" / "1.1.0")
    (folder / "model-card.md").unlink()

    def change(manifest: dict[str, object]) -> None:
        manifest.update(name="mine", metrics=None)
        files = manifest["files"]
        assert isinstance(files, dict)
        del files["model-card.md"]

    remake(folder, change)
    shown = show_bundle(str(tmp_path), "mine:1.1.0")
    text = render_in_frame(PAGE, Settings(), may_log_out=False, template="bundle", bundle=shown, fault="")
    assert "No metrics" in text
    assert "no model card" in text


@pytest.mark.parametrize("reference", ["credit-risk:9.9.9", "../credit-risk", "/etc", str(PLAIN)])
def test_what_is_not_in_the_store(reference: str) -> None:
    """A reference that the store does not have, among them every path, is an error and opens nothing."""
    with pytest.raises(BundleError):
        show_bundle(None, reference)
    with pytest.raises(BundleError):
        diff_bundles(None, reference, "credit-risk:1.1.1")


def test_the_difference_of_two_bundles() -> None:
    """The facts and all changes of `scorer bundle diff`, with both values as text; a long one is cut."""
    difference = diff_bundles(None, "credit-risk:1.0.0", "credit-risk:1.1.1")
    changes = {change["where"]: (change["before"], change["after"]) for change in difference["changes"]}
    before, after = read_manifest(WITH_MARITAL), read_manifest(EXPLAINED)
    assert (difference["before"], difference["after"]) == (before.reference.short, after.reference.short)
    facts = {fact["name"]: fact for fact in difference["facts"]}
    assert facts["fields"]["differs"]
    assert facts["fields"]["before"] == ("13, only here: marital",)
    assert not facts["policy"]["differs"]
    assert changes["version"] == ("1.0.0", "1.1.1")
    assert changes["features.columns.marital=single"] == ("included", None)
    assert all(len(text or "") <= bundles._VALUE_CHARACTERS_MAX for pair in changes.values() for text in pair)
    assert diff_bundles(None, "credit-risk:1.1.1", "credit-risk:1.1.1")["changes"] == []


def test_a_review_is_that_of_lint() -> None:
    """The child process reports the findings of `scorer bundle lint`, and which engine would decide."""
    review = asyncio.run(run_task("review", folder=str(WITH_MARITAL)))
    assert review["findings"] == json.loads(json.dumps([asdict(finding) for finding in lint_bundle(WITH_MARITAL)]))
    assert any(finding["severity"] == "error" for finding in review["findings"])
    assert review["engine"] in {"compiled", "python"}


def test_a_review_of_a_damaged_bundle(tmp_path: Path) -> None:
    """It is a finding, not a failure."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model.ubj").write_bytes(b"damaged")
    review = asyncio.run(run_task("review", folder=str(folder)))
    assert review["engine"] is None
    assert "opens" in {finding["rule"] for finding in review["findings"]}


def test_a_process_that_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's library that takes its process down fails the request, and nothing else."""
    monkeypatch.setattr(bundle_tasks, "_CHILD", "this")  # a module that prints something else
    with pytest.raises(BundleError, match="exit code 0 and without a result"):
        asyncio.run(run_task("review", folder=str(PLAIN)))


def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After the time limit the request fails, and the process is gone."""
    pid = tmp_path / "pid"
    (tmp_path / "hangs.py").write_text(
        f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bundle_tasks, "_CHILD", "hangs")
    monkeypatch.setattr(bundle_tasks, "_TASK_S", 3.0)
    with pytest.raises(BundleError, match="not finished within 3 s"):
        asyncio.run(run_task("review", folder=str(PLAIN)))
    if pid.exists():
        assert not Path(f"/proc/{pid.read_text()}").exists() or sys.platform != "linux"
