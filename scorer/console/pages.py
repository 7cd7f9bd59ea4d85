"""Renders the pages and serves their static files; all text in HTML is escaped."""

import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final, NamedTuple

from scorer.console.form import render_form
from scorer.console.interface import render_interface
from scorer.settings import Settings

_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PACKAGE: Final = "scorer.console"


class Page(NamedTuple):
    """A view: its path, its title, and the name of its template."""

    path: str
    title: str
    file: str


PAGES: Final = (
    Page("/", "Overview", "overview"),
    Page("/try", "Try", "try"),
    Page("/deployments", "Deployments", "deployments"),
    Page("/dead-letters", "Dead letters", "dead-letters"),
    Page("/interface", "Interface", "interface"),
)


class Asset(NamedTuple):
    """A static file."""

    content: bytes
    media_type: str
    etag: str


class Assets:
    """The static files, read once, so that no request is ever used as a path."""

    def __init__(self) -> None:
        folder = files(_PACKAGE).joinpath("static")
        self._assets = {entry.name: _asset(entry.name, entry.read_bytes()) for entry in folder.iterdir()}
        self.document = files("schemas").joinpath("generated", "asyncapi.yaml").read_bytes()

    def find(self, name: str) -> Asset | None:
        """A file by its name; None if it is not found."""
        return self._assets.get(name)


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, _MEDIA_TYPES[name.rpartition(".")[2]], f'"{digest}"')


def render_page(page: Page, settings: Settings, *, may_log_out: bool) -> str:
    """Renders a view as a whole HTML page."""
    parts = {"try": {"fields": render_form}, "interface": {"document": lambda: render_interface(settings)}}
    substitutions = {name: render() for name, render in parts.get(page.file, {}).items()}
    current = {page: ' aria-current="page"'}
    links = "".join(f'<li><a href="{p.path}"{current.get(p, "")}>{p.title}</a></li>' for p in PAGES)
    return _template("frame").substitute(
        title=escape(page.title),
        view=page.file,
        links=links,
        logout=_template("logout").template if may_log_out else "",
        servers=escape(settings.bootstrap_servers),
        group=escape(settings.group_id),
        main=_template(page.file).substitute(substitutions),
    )


def render_login(fault: str) -> str:
    """Renders the login page as HTML, with the error of the last attempt."""
    alert = f'<p class="fault" role="alert" id="fault">{escape(fault)}</p>' if fault else ""
    return _template("login").substitute(fault=alert)


@cache
def _template(name: str) -> Template:
    return Template(files(_PACKAGE).joinpath("templates", f"{name}.html").read_text(encoding="utf-8"))
