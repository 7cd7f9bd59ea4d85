"""Who may ask the console for what: names, origins, bodies and the token, each with its answer. It needs no broker."""

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.forked import run_forked
from tests.integration.worker_process import WAIT_S
from tests.ops.console_process import ConsoleProcess, console, console_by_command

TOKEN = "correct horse battery staple"  # noqa: S105 - made up
NOBODY = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")} | {
    "SCORER_BOOTSTRAP_SERVERS": "127.0.0.1:1"
}
VIEWS = (
    "/", "/try", "/applications", "/review", "/deployments", "/bundles", "/challenger", "/dead-letters", "/interface",
)  # fmt: skip


@pytest.fixture(scope="module")
def open_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    """A console on loopback without a token, whose broker is not there."""
    with console(NOBODY, tmp_path_factory.mktemp("open") / "console.log") as started:
        yield started


@pytest.fixture(scope="module")
def closed_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    """A console that asks for a token."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    environment = NOBODY | {
        "SCORER_CONSOLE_TOKEN_FILE": str(folder / "token"),
        "SCORER_CONSOLE_ALLOWED_HOSTS": "c.example, d",
    }
    with console(environment, folder / "console.log") as started:
        yield started


def origin(of: ConsoleProcess) -> dict[str, str]:
    """What a browser adds to what one of the console's own pages sends."""
    return {"Origin": of.address}


@pytest.mark.parametrize("path", [*VIEWS, "/static/console.css", "/api/deployments", "/nowhere"])
def test_every_answer_forbids_what_is_not_ours(open_console: ConsoleProcess, path: str) -> None:
    """Pages, files, data and errors alike: no inline script or style, no frame, no other address, no guessed types."""
    headers = open_console.ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers
    assert ("no-store" in headers["cache-control"]) == (path != "/static/console.css")


@pytest.mark.parametrize("path", VIEWS)
def test_pages_hold_no_script_and_no_style(open_console: ConsoleProcess, path: str) -> None:
    """What the policy forbids is not there either, and every address in a page is the console's own."""
    page = open_console.ask(path)
    assert page.status == 200
    assert "<style" not in page.body
    assert " style=" not in page.body
    assert " onclick=" not in page.body
    assert page.body.count("<script") == 1
    for attribute in ("src=", "href=", "action="):
        for value in page.body.split(f' {attribute}"')[1:]:
            assert value[0] in "/#", value[:40]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", "", "a b"])
def test_a_foreign_name_is_rejected(open_console: ConsoleProcess, host: str) -> None:
    """A name that leads to this machine by somebody else's DNS opens nothing, for pages and data alike."""
    for path in ("/", "/api/deployments"):
        answer = open_console.ask(path, headers={"Host": host})
        assert answer.status == 400
        assert "console_allowed_hosts" in answer.body or not host


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1", "[::1]:8765", "10.0.0.7:80"])
def test_an_address_is_no_foreign_name(open_console: ConsoleProcess, host: str) -> None:
    """What nobody's DNS can lead elsewhere is let through."""
    assert open_console.ask("/", headers={"Host": host}).status == 200


def test_runbooks_need_no_token(closed_console: ConsoleProcess) -> None:
    """Who follows the link of an alert reads what to do; a foreign name does not lead there."""
    answer = closed_console.ask("/runbooks/ScorerNoWorkers")
    assert answer.status == 200
    assert "<h1>ScorerNoWorkers</h1>" in answer.body
    assert closed_console.ask("/runbooks/nothing").status == 404
    assert closed_console.ask("/runbooks/ScorerNoWorkers", headers={"Host": "evil.example"}).status == 400


def test_names_of_ones_own(closed_console: ConsoleProcess) -> None:
    """console_allowed_hosts lists names under which it may be asked; letter case does not count."""
    for name in ("c.example", "C.Example:8765", "d"):
        assert closed_console.ask("/login", headers={"Host": name}).status == 200
    assert closed_console.ask("/login", headers={"Host": "e"}).status == 400


@pytest.mark.parametrize("theirs", [None, "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_page_changes_nothing(open_console: ConsoleProcess, theirs: str | None) -> None:
    """Without the console's own origin nothing is published and nothing is revealed."""
    headers = {"Content-Type": "application/json"} | ({"Origin": theirs} if theirs else {})
    letters = "/api/dead-letters/0/0/value", "/api/dead-letters/requeue"
    for path in ("/api/applications", "/api/code", *letters, "/logout"):
        answer = open_console.ask(path, "POST", b"{}", headers)
        assert answer.status == 403
        assert "cross-origin" in answer.body


def test_another_page_reads_nothing(open_console: ConsoleProcess) -> None:
    """A browser that says that another page asks for data is refused, though it could not read it anyway."""
    for site in ("cross-site", "same-site"):
        assert open_console.ask("/api/deployments", headers={"Sec-Fetch-Site": site}).status == 403
    assert open_console.ask("/", headers={"Sec-Fetch-Site": "cross-site"}).status == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON: Expecting property name"),
        (b"\xff", 400, "not UTF-8"),
        (b"[1]", 400, "not an object"),
        (b"[" * 60_000, 400, "nested too deep"),
        (b'{"age": ' + b"9" * 5_000 + b"}", 400, "too many digits"),
        (b" " * 200_000, 413, "at most 131,072 bytes"),
    ],
)
def test_a_value_that_is_not_an_application_is_not_published(
    open_console: ConsoleProcess, body: bytes, status: int, words: str
) -> None:
    """A body that cannot be one is refused with what is wrong, and none of it is repeated."""
    headers = origin(open_console) | {"Content-Type": "application/json"}
    answer = open_console.ask("/api/applications", "POST", body, headers)
    assert answer.status == status
    assert words in answer.body
    assert len(answer.body) < 200


def test_only_json_is_accepted(open_console: ConsoleProcess) -> None:
    """A form of another page could send text without being asked first; JSON it could not."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = origin(open_console) | {"Content-Type": kind}
        assert open_console.ask("/api/applications", "POST", b"{}", headers).status == 415


def test_without_a_broker_an_error_is_reported(open_console: ConsoleProcess) -> None:
    """A sound try is not published where its outcome could not be seen, and the answer says what is missing."""
    headers = origin(open_console) | {"Content-Type": "application/json"}
    answer = open_console.ask("/api/applications", "POST", b"{}", headers)
    assert answer.status == 503
    assert "not published" in answer.body
    assert open_console.ask("/api/deployments").status == 503


@pytest.mark.parametrize(
    "path",
    ["/static/../templates/frame.html", "/static/%2e%2e%2fapp.py", "/static/nothing.js", "/static/nothing/", "/login/"],
)
def test_only_the_pages_files_are_served(open_console: ConsoleProcess, path: str) -> None:
    """No path leads out of the folder of files, and none is nearly right: a redirect named http behind a TLS proxy."""
    assert open_console.ask(path).status == 404


def test_methods_are_what_they_are(open_console: ConsoleProcess) -> None:
    """What reads is not written to, and what writes is not read."""
    assert open_console.ask("/", "POST", b"", origin(open_console)).status == 405
    assert open_console.ask("/api/applications").status == 405


def test_without_the_token_nothing_is_shown(closed_console: ConsoleProcess) -> None:
    """Pages lead to the login, data is refused, and what is published is not; only the login and its files are open."""
    for path in (*VIEWS, "/asyncapi.yaml"):
        answer = closed_console.ask(path)
        assert (answer.status, answer.headers["location"]) == (303, "/login")
        assert TOKEN not in answer.body
    for path in ("/api/live", "/api/deployments", "/api/bundles", "/api/challenger", "/api/dead-letters"):
        assert closed_console.ask(path).status == 401
    posted = closed_console.ask("/api/applications", "POST", b"{}", origin(closed_console))
    assert posted.status == 401
    assert closed_console.ask("/login").status == 200
    assert closed_console.ask("/static/console.css").status == 200


def test_the_token_opens_a_session(closed_console: ConsoleProcess) -> None:
    """The right token gives a cookie that no script can read and no other site can send; logging out ends it."""
    form = origin(closed_console) | {"Content-Type": "application/x-www-form-urlencoded"}
    wrong = closed_console.ask("/login", "POST", b"token=wrong-wrong-wrong-wrong", form)
    assert wrong.status == 403
    assert "set-cookie" not in wrong.headers
    assert "Wrong token." in wrong.body
    assert "wrong-wrong" not in closed_console.log()
    assert closed_console.ask("/login", "POST", b"token=" + b"a" * 10_000, form).status == 413
    assert closed_console.ask("/login", "POST", TOKEN.encode(), {"Origin": "http://evil.example"}).status == 403
    opened = closed_console.ask("/login", "POST", b"token=correct+horse+battery+staple", form)
    assert (opened.status, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert "horse" not in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert closed_console.ask("/", headers=session).status == 200
    assert closed_console.ask("/", headers={"Cookie": "console=guessed"}).status == 303
    with closing(http.client.HTTPConnection(closed_console.host, timeout=WAIT_S)) as connection:
        connection.request("GET", "/api/live", headers=session)
        stream = connection.getresponse()
        assert stream.status == 200
        assert closed_console.ask("/logout", "POST", b"", session | origin(closed_console)).status == 303
        stream.read()  # an open page hears nothing more: the stream ends
    assert closed_console.ask("/", headers=session).status == 303


def test_behind_tls_the_cookie_is_for_tls(closed_console: ConsoleProcess) -> None:
    """Where the browser came by https, the cookie never travels without."""
    headers = {"Origin": "https://c.example", "Host": "c.example", "Content-Type": "application/x-www-form-urlencoded"}
    opened = closed_console.ask("/login", "POST", b"token=correct+horse+battery+staple", headers)
    assert "Secure" in opened.headers["set-cookie"]


def refused(*options: str, **settings: str) -> tuple[int, str]:
    """Exit code and message of a console that does not start."""
    ended = run_forked(("scorer", "console", "--port", "0", *options), NOBODY | settings)
    return ended.code, ended.errors


def test_others_may_come_only_with_a_token(tmp_path: Path) -> None:
    """An address that other machines reach is not bound without a token, nor with a short, missing or broken one."""
    short, broken = tmp_path / "short", tmp_path / "broken"
    short.write_text("secret\n", encoding="utf-8")
    broken.write_bytes(b"\xff" * 20)
    for host in ("0.0.0.0", "::"):  # noqa: S104 - it must be refused
        code, errors = refused("--host", host)
        assert code == 2
        assert "needs a token" in errors
    for file, why in ((short, "the minimum is 16"), (broken, "not UTF-8"), (tmp_path / "none", "No such file")):
        code, errors = refused("--host", "0.0.0.0", "--token-file", str(file))  # noqa: S104
        assert code == 2
        assert why in errors
        assert "secret" not in errors
        assert "Traceback" not in errors


def test_a_port_in_use(open_console: ConsoleProcess) -> None:
    """It names the address and what to set."""
    port = open_console.host.rpartition(":")[2]
    code, errors = refused("--port", port)
    assert code == 2
    assert f"127.0.0.1:{port} cannot be used for the console" in errors
    assert "console_port" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    """Being asked to stop is no failure, and an open page does not hold it up."""
    with console_by_command(NOBODY, tmp_path / "console.log") as started:
        with closing(http.client.HTTPConnection(started.host, timeout=WAIT_S)) as connection:
            connection.request("GET", "/api/live")
            assert connection.getresponse().readline().startswith(b"retry")
            started.process.send_signal(number)
            assert started.process.wait(WAIT_S) == 0
        assert "Traceback" not in started.log()
