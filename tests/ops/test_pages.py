"""The self-contained pages in a real browser: a replay's report, a simulation, a comparison and an explanation.

Each is complete without a network, can be read at 360 px, on a light and on a dark screen, and with a screen reader.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from scorer.bundle.load import load_bundle, read_manifest
from scorer.core.decide import Decider
from scorer.core.policy import Policy
from scorer.replay import diff_page, explanation_page, page, simulation_page
from scorer.replay.explained import explain
from scorer.replay.selection import DECIDED, Selection
from scorer.replay.simulation import Simulated, summarize
from tests.fakes import CONTRACT, RECORD_BYTES_MAX, FakeRecord, application
from tests.ops.console_process import require_accessible
from tests.unit.bundle.making import EXPLAINED, PLAIN
from tests.unit.replay import test_diff_page, test_page

pytest.importorskip("matplotlib")

DARK = "rgb(18, 24, 31)"


def _report() -> str:
    return page.render(
        test_page.FOUND, test_page.plan(), test_page.OUTCOMES, Policy(), Policy(maybe_above=0.2, declined_above=0.4)
    )


def _simulation() -> str:
    manifest, decider = read_manifest(PLAIN), Decider(Policy(maybe_above=0.2), CONTRACT)
    rows = np.zeros(100, dtype=DECIDED)
    rows["offset"], rows["probability"] = range(100), np.linspace(0, 1, 100)
    rows["outcome"] = decider.compare(rows["probability"], {})
    labels = Decider(Policy(), CONTRACT).compare(rows["probability"], {}).astype(np.uint8)
    simulated = Simulated(labels, np.full(100, -1, dtype=np.int16), np.ones(100, dtype=np.bool_), 0, 0)
    selection = Selection("applications", (manifest.reference,), rows)
    return simulation_page.render(summarize(simulated, selection, decider, manifest, "any application"), decider.policy)


def _comparison() -> str:
    decided = test_diff_page.Decided()
    return diff_page.render(test_diff_page.NAMES, decided, "the applications of the file", test_diff_page.FACTS)


def _explanation() -> str:
    reasons = read_manifest(EXPLAINED).reasons
    record = FakeRecord((0, 1), application(income=40, amount=3_000, records="yes"))
    entries = reasons.catalogue if reasons else None
    return explanation_page.render(explain(record, load_bundle(EXPLAINED), entries, None, RECORD_BYTES_MAX))


PAGES: dict[str, Callable[[], str]] = {
    "report": _report,
    "simulation": _simulation,
    "comparison": _comparison,
    "explanation": _explanation,
}


def _opened(chromium: Browser, path: Path, width: int, theme: str) -> tuple[Page, list[str]]:
    """The page as a browser shows a file, and the addresses that it asks for."""
    context = chromium.new_context(viewport=ViewportSize(width=width, height=740), color_scheme=theme)  # type: ignore[arg-type]
    shown, asked = context.new_page(), list[str]()
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())
    return shown, asked


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_accessible(chromium: Browser, tmp_path: Path, name: str, theme: str, width: int) -> None:
    """Nothing serious or critical for axe, nothing cut off, nothing loaded; a dark screen has a dark page.

    The replay's report was 742 px wide at 360 px, and a simulation's figures were white on a dark screen.
    """
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    shown, asked = _opened(chromium, path, width, theme)
    require_accessible(shown, theme, DARK)
    texts = shown.evaluate(
        "() => [...document.querySelectorAll('svg text')].map((text) => getComputedStyle(text).fill)"
    )
    ink = shown.evaluate("() => getComputedStyle(document.body).color")
    assert set(texts) <= {ink}, "figures have the colours of the page"
    assert asked == [path.as_uri()]
    shown.context.close()
