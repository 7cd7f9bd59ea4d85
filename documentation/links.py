"""MkDocs hook: adds files of the repository that pages link to, and rewrites the links to them.

Thus a link or a picture works both in the repository and on the site. Files that linked pages link to are added too.
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
_ADDED: Final = "repository/"
_TARGET: Final = re.compile(r"(?:(?<=\]\()|(?<=src=\")|(?<=srcset=\"))[^()\s#:\"]+(?=[#)\"])")
"""The target of a link or a picture: in Markdown, or in the HTML of a picture with a light and a dark version."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the files outside the docs folder that pages link to."""
    pending = list(files.documentation_pages())
    while pending:
        for uri in _added_by(pending.pop()):
            if files.get_file_from_path(uri) is None:
                added = File.generated(config, uri, abs_src_path=str(ROOT / uri.removeprefix(_ADDED)))
                files.append(added)
                pending += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrites a page's links to their targets on the site."""
    uri = page.file.src_uri
    return _TARGET.sub(lambda link: _from(uri, _on_site(uri, link[0])) or link[0], markdown)


def _added_by(page: File) -> Iterator[str]:
    for target in _TARGET.findall(page.content_string):
        uri = _on_site(page.src_uri, target)
        if uri is not None and uri.startswith(_ADDED):
            yield uri


def _on_site(page: str, target: str) -> str | None:
    """Returns the URI on the site of a link's target, or None if it is not a file of the repository.

    Args:
        page: URI of the page on the site.
        target: the link, as written in the repository.
    """
    origin = page.removeprefix(_ADDED) if page.startswith(_ADDED) else _PAGES + page
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path.startswith("..") or not (ROOT / path).is_file():
        return None
    return path.removeprefix(_PAGES) if path.startswith(_PAGES) else _ADDED + path


def _from(page: str, uri: str | None) -> str | None:
    return uri and posixpath.relpath(uri, posixpath.dirname(page))
