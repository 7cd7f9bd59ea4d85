"""Renders the pages from their templates, which escape all values, and serves their static files."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from scorer.console.deployed import Deployed, not_deployed
from scorer.console.form import make_form
from scorer.console.form_examples import make_examples
from scorer.console.interface import describe_interface
from scorer.settings import Settings

_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PACKAGE: Final = "scorer.console"
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False})
_CARD: Final = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


class Page(NamedTuple):
    """A view: its path, its title, and the name of its template."""

    path: str
    title: str
    file: str


PAGES: Final = (
    Page("/", "Overview", "overview"),
    Page("/try", "Try", "try"),
    Page("/applications", "Applications", "applications"),
    Page("/review", "Review", "review"),
    Page("/deployments", "Deployments", "deployments"),
    Page("/bundles", "Bundles", "bundles"),
    Page("/challenger", "Challenger", "challenger"),
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

    def find(self, name: str) -> Asset | None:
        """A file by its name; None if it is not found."""
        return self._assets.get(name)


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, _MEDIA_TYPES[name.rpartition(".")[2]], f'"{digest}"')


def render_page(page: Page, settings: Settings, deployed: Deployed | None, *, may_log_out: bool) -> str:
    """Renders a view as a whole HTML page.

    Args:
        page: the view.
        settings: the topics.
        deployed: the champion and its contract; None before the deployment history was read, which shows the default
            bundle's.
        may_log_out: whether the user has a session to end.
    """
    values: dict[str, Any] = {}
    contract = (deployed or not_deployed()).contract
    if page.file == "try":
        form = make_form(contract)
        values = {"form": form, "fields": len(list(form.fields())), "examples": make_examples(contract)}
    elif page.file == "interface":
        values = describe_interface(settings, contract)
    elif page.file == "overview":
        values = {"grafana_url": settings.console_grafana_url}
    elif page.file == "review":
        values = {"reviews_on": settings.console_reviewers_file is not None}
    elif page.file == "dead-letters":
        values = {
            "applications_topic": settings.applications_topic,
            "requeue_on": settings.console_operators_file is not None,
        }
    return render_in_frame(page, settings, may_log_out=may_log_out, contract=contract, deployed=deployed, **values)


def render_in_frame(
    page: Page, settings: Settings, *, may_log_out: bool, template: str | None = None, **values: object
) -> str:
    """Renders a template inside of the frame that all views share.

    Args:
        page: the view, which is marked in the navigation.
        settings: the group and the brokers.
        may_log_out: whether the user has a session to end.
        template: the name of the template and of its script; that of the view if it is not given.
        values: those that the template uses.
    """
    return render(
        template or page.file,
        script=template or page.file,
        page=page,
        pages=PAGES,
        may_log_out=may_log_out,
        servers=settings.bootstrap_servers,
        group=settings.group_id,
        **values,
    )


def render(template: str, **values: object) -> str:
    """Renders a template; a value that it uses and that is not given is an error."""
    return _environment().get_template(f"{template}.html").render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = _render_markdown
    environment.filters["card"] = _render_card
    return environment


def _render_markdown(text: str) -> Markup:
    """Renders Markdown; HTML in it is escaped, and a link that could run a script remains text."""
    return Markup(_MARKDOWN.render(text))  # noqa: S704


def _render_card(text: str) -> Markup:
    """Renders a model card as `_render_markdown` does, with tables and without images; its headings are below h2."""
    tokens = _CARD.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 2)}"
        # No inline style, which the content security policy forbids.
        elif token.type in {"th_open", "td_open"} and str(token.attrs.pop("style", "")).endswith("right"):
            token.attrs["class"] = "number"
    return Markup(_CARD.renderer.render(tokens, _CARD.options, {}))  # noqa: S704
