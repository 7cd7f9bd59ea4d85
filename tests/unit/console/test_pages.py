"""The console's pages: no value in them can become HTML, and none is missing unnoticed."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from schemas.contracts import shipped_contract
from scorer.console.pages import PAGES, Page, render, render_page
from scorer.settings import Settings

FRAME = {"page": PAGES[0], "pages": PAGES, "may_log_out": True, "servers": "s", "group": "g"}
CONTRACT = {"contract": shipped_contract(), "deployed": None}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_settings_are_escaped(page: Page) -> None:
    """A group or an address with HTML in it is shown as text on every page."""
    settings = Settings(bootstrap_servers="<x>:9092", group_id="<x>", applications_topic="my.applications")
    text = render_page(page, settings, None, may_log_out=False)
    assert "<x>" not in text
    assert "&lt;x&gt;" in text
    assert "/logout" not in text
    assert "/logout" in render_page(page, settings, None, may_log_out=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_every_view_can_say_that_it_waits_for_kafka(page: Page, tmp_path: Path) -> None:
    """One place per view, hidden until the script knows; *Deployments* used to be empty without a word."""
    text = render_page(page, Settings(console_reviewers_file=str(tmp_path / "reviewers")), None, may_log_out=False)
    assert len(re.findall('id="unread" data-part="(?:group|reviews)" data-unread="[a-z][^"]+[a-z]" hidden', text)) == 1


def test_markdown_cannot_contain_html() -> None:
    """HTML in a description stays text, and so does a link that would run a script."""
    hostile = "<script>1</script> **bold** [x](javascript:alert(1)) <x onclick=1>"
    text = render("interface", guarantees=hostile, languages={}, operations=[], codes=[], **CONTRACT, **FRAME)
    assert "<strong>bold</strong>" in text
    assert "<script>" not in text
    assert "<x" not in text
    assert 'href="javascript' not in text


def test_a_missing_value_is_an_error() -> None:
    """A template that uses a value which is not given fails, instead of leaving a gap."""
    with pytest.raises(UndefinedError, match="fault"):
        render("login")


def test_the_login_page_shows_the_error_as_text() -> None:
    """It has an alert only if the last attempt failed."""
    assert "alert" not in render("login", fault="")
    assert "&lt;x&gt;" in render("login", fault="<x>")


def test_links_to_grafana_and_the_runbooks() -> None:
    """The overview links to the Grafana that the settings name, and to the console's own runbooks."""
    (overview,) = (page for page in PAGES if page.file == "overview")
    assert "Grafana" not in render_page(overview, Settings(), None, may_log_out=False)
    settings = Settings(console_grafana_url="https://g.example/d?a=1&b=2")
    text = render_page(overview, settings, None, may_log_out=False)
    assert 'href="https://g.example/d?a=1&amp;b=2"' in text
    assert 'href="/runbooks/"' in text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "g.example", "https://", "https://a b", "https://u:p@g.example"]
)
def test_a_link_that_no_page_may_have(url: str) -> None:
    """A script, an incomplete address or a login in a link is rejected when the settings are loaded."""
    with pytest.raises(ValueError, match="console_grafana_url"):
        Settings(console_grafana_url=url)
