"""The documentation does what it says: the site is whole, its commands run as written."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack, closing
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser
from typer import Typer
from typer.testing import CliRunner, Result

from schemas.rejection import MEANINGS
from scorer.local.running import free_ports
from tests.ops.pages import DOCS, GOES_ON, ROOT, Block, Terminal, blocks, blocks_of, enter, missing_from, terminal_in

_OF_MAKE: Final = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
"""With these, a make that another one runs prints the folder, too."""

_README_SECTIONS: Final = (
    "The first five minutes",
    "Deploy a model, roll it back",
    "Correct the decisions of a bad model",
)
"""Those that are about what `scorer up` started."""


class _Page(HTMLParser):
    """What a page of the site points to, and what can be pointed to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes note of a tag's links and names."""
        given = dict(attrs)
        self.anchors |= {name for key in ("id", "name") if (name := given.get(key))}
        if tag == "a" and (target := given.get("href")):
            self.targets.append(target)
        elif target := given.get("src") or given.get("srcset") or (given.get("href") if tag == "link" else None):
            self.loaded.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, _Page]:
    """The pages of the site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    return {page: _Page(page) for page in folder.rglob("*.html") if page.name != "404.html"}


def test_no_link_is_dead(site: dict[Path, _Page]) -> None:
    """Each link and each thing loaded leads to a file of the site, and to an anchor that is there."""
    dead = [
        f"{page.name}: {target}"
        for page, found_page in site.items()
        for target in (*found_page.targets, *found_page.loaded)
        if not urlsplit(target).scheme and not _leads_somewhere(site, page, target)
    ]
    assert not dead
    assert sum(len(found_page.targets) for found_page in site.values()) > 1_000


def _leads_somewhere(site: dict[Path, _Page], page: Path, target: str) -> bool:
    parts = urlsplit(target)
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if file not in site:
        return file.is_file()
    return not parts.fragment or unquote(parts.fragment) in site[file].anchors


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md"])
def test_the_repositorys_own_pages_lead_somewhere(page: str) -> None:
    """What they link to in the repository is there; on the site only some of them are."""
    targets = re.findall(r"\]\(([^)\s#:]+)[)#]", (ROOT / page).read_text(encoding="utf-8"))
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, _Page]) -> None:
    """The site needs no other: scripts, styles, fonts and pictures are its own."""
    assert not {target for found_page in site.values() for target in found_page.loaded if urlsplit(target).netloc}


def test_search_works_from_disk(chromium: Browser, site: dict[Path, _Page]) -> None:
    """Opened as a file, the site's search finds a command, a setting and a page, and asks no host for anything."""
    home = min(site, key=lambda page: len(page.parts)).parent / "index.html"
    requested: list[str] = []
    with closing(chromium.new_page()) as page:
        page.on("request", lambda request: requested.append(request.url))
        for query, target in (
            ("rollback", "reference/scorer-deployments.html"),
            ("linger_ms", "reference/settings.html"),
            ("KEDA", "kubernetes.html"),
        ):
            page.goto(home.as_uri())
            page.locator("[data-md-component=search-query]").click()
            page.keyboard.type(query)
            page.locator(f".md-search-result__link[href*='{target}']").first.wait_for(state="attached")
    assert requested
    assert {urlsplit(url).scheme for url in requested} <= {"file", "blob", "data", "about"}


def test_pages_with_commands_say_what_they_need(site: dict[Path, _Page]) -> None:
    """Each how-to with commands links to the page on activating the environment and to the glossary."""
    folder = min(site, key=lambda page: len(page.parts)).parent
    with_commands = [
        page
        for page in sorted(DOCS.glob("*.md"))
        if any(re.match("(?:scorer|producer) ", line) for block in blocks(page) for line in _typed(block))
    ]
    assert len(with_commands) > 15
    for page in with_commands:
        targets = site[folder / f"{page.stem}.html"].targets
        assert page.stem in {"install", "tutorial", "own-application"} or (
            {"install.html#activate-the-environment", "glossary.html"} <= set(targets)
        ), page.name


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """The checker sees what it is for: a file and an anchor that are not there."""
    page = tmp_path / "a.html"
    page.write_text('<h1 id="here"></h1><a href="b.html"></a><a href="#gone"></a><a href="#here"></a>')
    pages = {page: _Page(page)}
    assert [_leads_somewhere(pages, page, target) for target in pages[page].targets] == [False, False, True]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_commands_exist(page: Path) -> None:
    """Each command of ours that a page shows is one that there is, with flags that it has."""
    from producer.cli import app as producer
    from scorer.cli.root import app as scorer

    apps = {"scorer": scorer, "producer": producer}
    for line in (line for block in blocks(page) if block.language == "sh" for line in block.commands):
        name = line.removeprefix(".venv/bin/").split(maxsplit=1)[0]
        if name not in apps:
            continue
        arguments = shlex.split(line)[1:]
        groups = {group.name for group in apps[name].registered_groups}
        words = [a for a in arguments if not a.startswith("-")][: 2 if arguments[0] in groups else 1]
        shown = _help_of(apps[name], *words)
        assert shown.exit_code == 0, line
        for flag in (a.partition("=")[0] for a in arguments if a.startswith("--")):
            assert re.search(rf"{flag}\b", shown.stdout), (line, flag)


@cache
def _help_of(app: Typer, *words: str) -> Result:
    """A command's help. It is kept: the pages show few commands, and each of them again and again."""
    return CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})


@pytest.mark.broker
def test_the_demo_of_the_readme(tmp_path: Path) -> None:
    """`make demo` prints what the README shows, but for codes and figures other than 0; here for five seconds only."""
    ((demo, shown),) = re.findall(
        r"^```sh\n(make demo)\n```\n.*?^```text\n(.*?)^```",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    recipe = subprocess.run(
        ["make", "--dry-run", demo.removeprefix("make "), "FOR=5s"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
        env={name: value for name, value in os.environ.items() if name not in _OF_MAKE},
    ).stdout  # fmt: skip
    printed = terminal_in(tmp_path).run(f"{recipe.splitlines()[-1]} --port 0 --no-console")
    # Which invalid applications there are among so few is left to chance.
    lines = [line for line in shown.splitlines() if line.split()[0] not in MEANINGS]
    pattern = re.sub(r"\d[\d,.]*(?: m?s\b)?", lambda figure: "0" if figure[0] == "0" else "…", "\n".join(lines))
    assert not missing_from(printed, pattern), printed


@pytest.mark.broker
def test_the_first_minutes_of_the_readme(tmp_path: Path) -> None:
    """Its commands run as written in a fresh copy of the repository, from the first minutes to the replay.

    Where another process has port 9092, `scorer up` takes another one and prints the line to run, as the text says.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = [block for title in _README_SECTIONS for block in blocks_of(_section(text, title))]
    up, *rest = [command for step in steps for command in _typed(step)]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    terminal = terminal_in(tmp_path)
    with terminal.running(up, until="decided=") as everything:
        (export,) = re.findall(r"^ *(export SCORER_BOOTSTRAP_SERVERS=\S+)$", everything.output(), re.MULTILINE)
        terminal.run(export)
        for command in rest:
            enter(terminal, command)
        assert everything.stop() == 0, everything.output()


def _section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.broker
def test_the_pages_on_shipping_scaling_and_upgrading(tmp_path: Path) -> None:
    """Their commands run as written, one page after the other, beside what `scorer up` brought up."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (port,) = free_ports(1)
    terminal = terminal_in(tmp_path, SCORER_HTTP_PORT="0")
    with terminal.running(f"scorer up --rate 50 --no-console --port {port}", until="decided="):
        terminal.run(f"export SCORER_BOOTSTRAP_SERVERS=localhost:{port}")
        pages = (DOCS / page for page in ("publishing.md", "own-model.md", "scale-out.md", "upgrade.md"))
        _try_out(terminal, [command for page in pages for block in blocks(page) for command in _typed(block)])


def test_the_snippet_for_publishers() -> None:
    """It is README's, which a test runs."""
    (snippet,) = (block.text for block in blocks(DOCS / "publishing.md") if block.language == "python")
    assert snippet in (ROOT / "README.md").read_text(encoding="utf-8")


def _typed(block: Block) -> list[str]:
    return block.commands if block.language == "sh" else []


def _try_out(terminal: Terminal, commands: list[str]) -> None:
    """Runs commands in order; those that go on until they are stopped, beside what comes after them."""
    with ExitStack() as beside:
        for command in commands:
            until = next((text for start, text in GOES_ON.items() if command.startswith(start)), None)
            if until is None:
                terminal.run(command)
            else:
                beside.enter_context(terminal.running(command, until))
