"""A hook of MkDocs: what a page links to elsewhere in the repository comes along with the site, and the link finds it.

So a link holds in the repository and on the site. Pages that come along this way bring what they link to themselves.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]
_PAGES: Final = "docs/"
_BROUGHT: Final = "repository/"
_TARGET: Final = re.compile(r"(?<=\]\()[^()\s#:]+(?=[#)])")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds what the pages link to outside of their folder."""
    waiting = list(files.documentation_pages())
    while waiting:
        for uri in _brought_by(waiting.pop()):
            if files.get_file_from_path(uri) is None:
                brought = File.generated(config, uri, abs_src_path=str(ROOT / uri.removeprefix(_BROUGHT)))
                files.append(brought)
                waiting += [brought] if brought.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrites a page's links to where things are on the site."""
    uri = page.file.src_uri
    return _TARGET.sub(lambda link: _from(uri, _on_site(uri, link[0])) or link[0], markdown)


def _brought_by(page: File) -> Iterator[str]:
    for target in _TARGET.findall(page.content_string):
        uri = _on_site(page.src_uri, target)
        if uri is not None and uri.startswith(_BROUGHT):
            yield uri


def _on_site(page: str, target: str) -> str | None:
    """Where on the site a link's target is; None if it is no file of the repository.

    Args:
        page: where the page is on the site.
        target: the link, as it holds in the repository.
    """
    origin = page.removeprefix(_BROUGHT) if page.startswith(_BROUGHT) else _PAGES + page
    place = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if place.startswith("..") or not (ROOT / place).is_file():
        return None
    return place.removeprefix(_PAGES) if place.startswith(_PAGES) else _BROUGHT + place


def _from(page: str, uri: str | None) -> str | None:
    return uri and posixpath.relpath(uri, posixpath.dirname(page))
