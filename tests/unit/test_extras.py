"""Optional dependencies: what messages and pages say of how to install them works."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
SOURCES = [*ROOT.glob("scorer/**/*.py"), *ROOT.glob("producer/**/*.py"), *ROOT.glob("schemas/**/*.py")]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_messages_name_extras_that_exist() -> None:
    """Each extra that a message names is one of the package."""
    named = {
        extra
        for source in SOURCES
        for extra in re.findall(r"install_command\(['\"](\w+)['\"]\)", source.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= EXTRAS


def test_the_page_lists_all_extras() -> None:
    """docs/install.md says what each extra is needed for."""
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs/install.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == EXTRAS


def test_nobody_is_sent_to_a_package_index() -> None:
    """No index has this package: whoever registered its name there would be given our users."""
    sending = re.compile(r"pip install[^\n]*(streaming-credit-scorer|scorer-engine)")
    assert [str(path) for path in [*SOURCES, *PAGES] if sending.search(path.read_text(encoding="utf-8"))] == []
