"""The reference pages of commands and settings have every command and every setting once."""

import re

from documentation.commands import producer_page, scorer_pages
from documentation.settings import settings_page
from scorer.settings import Settings


def test_each_command_has_a_section_on_one_page() -> None:
    """The overview links to each command, and the link leads to its section."""
    pages = scorer_pages()
    links = re.findall(r"\[`(scorer [\w -]+)`\]\(([\w-]+)\.md#([\w-]+)\)", pages["scorer"])
    sections = [
        (command, name) for name, page in pages.items() for command in re.findall(r"^## (scorer .+)$", page, re.M)
    ]
    assert sorted((command, page) for command, page, _ in links) == sorted(sections)
    assert len(sections) > 40
    assert all(anchor == command.replace(" ", "-") for command, _, anchor in links)


def test_pages_have_a_readable_length() -> None:
    """No page of the commands is longer than 500 lines, or the one of all commands would be several again."""
    assert max(len(page.splitlines()) for page in [*scorer_pages().values(), producer_page()]) <= 500


def test_options_are_a_table() -> None:
    """An option has its choices, its description with limits in words, and its default."""
    page = scorer_pages()["scorer-start"]
    assert "| `--workers` | Number of workers. *(1 to 64)* | `2` |" in page
    assert r"| `--broker <auto\|given\|docker\|java\|mock>` |" in page
    assert "| `FILE` | A .csv or .jsonl file; - is standard input. | required |" in page


def test_each_setting_is_in_one_group() -> None:
    """Each setting has one row, to which links lead."""
    names = re.findall(r'^\| <a id="(\w+)"></a>`(\w+)` \|', settings_page(), re.MULTILINE)
    assert all(anchor == name for anchor, name in names)
    assert sorted(name for name, _ in names) == sorted(Settings.model_fields.keys() - {"kafka"})
