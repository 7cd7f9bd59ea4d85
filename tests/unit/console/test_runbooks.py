"""The runbooks as pages: each alert's link leads to one, and so does every link in them."""

import re

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from monitoring import rules
from scorer.console.guard import RUNBOOKS_PREFIX
from scorer.console.runbooks import Runbooks

LINKS = {
    rule["alert"]: rule["annotations"]["runbook_url"]
    for group in rules.alerting_rules()["groups"]
    for rule in group["rules"]
}
"""The link in each alert."""


def page_of(name: str) -> str:
    """The page of this name."""
    request = Request({"type": "http", "path_params": {"name": name}})
    return bytes(Runbooks().page(request).body).decode()


@pytest.mark.parametrize("alert", LINKS)
def test_every_alert_leads_to_its_runbook(alert: str) -> None:
    """The path of the link is that of a page with the alert's name as its title."""
    assert rules.RUNBOOKS.endswith(RUNBOOKS_PREFIX.rstrip("/"))
    assert f"<h1>{alert}</h1>" in page_of(LINKS[alert].removeprefix(f"{rules.RUNBOOKS}/"))


@pytest.mark.parametrize("alert", LINKS)
def test_no_link_is_dead(alert: str) -> None:
    """A runbook links to other runbooks, and to what the console has; other pages of the documentation are text."""
    for link in re.findall(r'href="([^"]+)"', page_of(alert)):
        if not link.startswith("/"):
            assert "<h1>Scorer" in page_of(link)


@pytest.mark.parametrize("name", ["", "../app.py", "scorer-no-workers", "nothing.md"])
def test_nothing_else_is_served(name: str) -> None:
    """A name is looked up, and never used as a path."""
    with pytest.raises(HTTPException) as raised:
        page_of(name)
    assert raised.value.status_code == 404
