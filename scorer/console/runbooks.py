"""Serves the runbooks of the alerts as pages without a login, so that the links in alerts resolve for everyone."""

import re
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from scorer.console.pages import render

_LINK_TO_DOCS: Final = re.compile(r"\[([^]]+)\]\(\.\./[^)]*\)")
"""A link to a page of the documentation, which the console does not have."""


class Runbooks:
    """The runbooks, read once, so that no request is ever used as a path. They contain nothing of an installation."""

    def __init__(self) -> None:
        """Reads them from the package."""
        self._texts: dict[str, tuple[str, str]] = {}
        """Alert and text, by alert and by file name, with which runbooks link to one another."""
        for entry in files("scorer.console").joinpath("runbooks").iterdir():
            text = entry.read_text(encoding="utf-8")
            alert = text.partition("\n")[0].removeprefix("# ")
            self._texts |= dict.fromkeys((entry.name, alert), (alert, _LINK_TO_DOCS.sub(r"\1", text)))

    def index(self, _: Request) -> HTMLResponse:
        """The page that lists all runbooks."""
        alerts = sorted({alert for alert, _ in self._texts.values()})
        text = "\n".join(["# Runbooks", "", *(f"- [{alert}]({alert})" for alert in alerts)])
        return HTMLResponse(render("runbook", title="Runbooks", text=text))

    def page(self, request: Request) -> HTMLResponse:
        """The page of a runbook.

        Raises:
            HTTPException: 404, the runbook was not found.
        """
        runbook = self._texts.get(request.path_params["name"])
        if runbook is None:
            raise HTTPException(404)
        title, text = runbook
        return HTMLResponse(render("runbook", title=title, text=text))
