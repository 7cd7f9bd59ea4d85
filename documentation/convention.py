"""MkDocs hook: says at the top of each page with commands where these are found, and where its words are explained."""

import re
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_COMMAND: Final = re.compile(r"^(?:scorer|producer) ", re.MULTILINE)
_TITLE: Final = re.compile(r"\A# .+\n")
_WITHOUT: Final = frozenset({"install.md", "tutorial.md", "own-application.md"})
"""Pages that activate the environment themselves."""
_NOTE: Final = (
    "*The commands need the [activated environment](install.md#activate-the-environment); "
    "the [glossary](glossary.md) explains the words.*"
)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Adds the note below the title of a page that shows commands of ours."""
    uri = page.file.src_uri
    if "/" in uri or uri in _WITHOUT or not _COMMAND.search(markdown):
        return markdown
    return _TITLE.sub(lambda title: f"{title[0]}\n{_NOTE}\n", markdown)
