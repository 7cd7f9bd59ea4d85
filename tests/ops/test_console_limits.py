"""The console under clients that mean no good: it answers the others all the while. It needs no broker."""

import http.client
import json
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from scorer.console.streams import CLIENT_STREAMS_MAX, STREAMS_MAX
from tests.integration.worker_process import WAIT_S
from tests.ops.console_process import Answer, ConsoleProcess, console, console_by_command
from tests.ops.test_console_guard import NOBODY, TOKEN, VIEWS, origin
from tests.sockets import HALF_A_REQUEST, ask, half_open

FLOOD = 1_500
DESCRIPTORS = 1_024  # what a process has by default in most places
RIGHT = b"token=correct+horse+battery+staple"
WRONG = b"token=wrong-wrong-wrong-wrong"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    """A console with a token and few file descriptors."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    (folder / "token").chmod(0o600)
    with console(NOBODY | {"SCORER_CONSOLE_TOKEN_FILE": str(folder / "token")}, folder / "console.log") as started:
        resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        yield started


def log_in(served: ConsoleProcess, body: bytes = RIGHT) -> Answer:
    """The answer to a token."""
    return served.ask("/login", "POST", body, origin(served))


def session(served: ConsoleProcess) -> dict[str, str]:
    """What a browser sends that has logged in."""
    return {"Cookie": log_in(served).headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize(
    "sent",
    [
        HALF_A_REQUEST,
        b"",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Length: 9\r\n\r\na",
    ],
)
def test_idle_connections_lock_nobody_out(served: ConsoleProcess, sent: bytes) -> None:
    """1,500 connections that ask for half a page, nothing, or half a login do not keep anybody from logging in.

    They used to stay open permanently, and took every descriptor that the console has for its brokers.
    """
    with half_open(served.host, FLOOD, sent):
        for _ in range(3):
            cookie = session(served)
            for path in VIEWS:
                assert served.ask(path, headers=cookie).status == 200
        threads = len(list(Path(f"/proc/{served.process.pid}/task").iterdir()))
        assert threads < 100
    assert served.ask("/login").status == 200
    assert "http_" not in served.log()
    assert "Traceback" not in served.log()


def test_streams_of_one_user_lock_nobody_out(served: ConsoleProcess) -> None:
    """However many pages one user has open, another one's pages open and are kept up to date, and the login works.

    Sixty-four streams of one user used to get everybody else a 503.
    """
    greedy, other = session(served), session(served)
    with ExitStack() as opened:

        def stream(cookie: dict[str, str]) -> http.client.HTTPResponse:
            connection = opened.enter_context(closing(http.client.HTTPConnection(served.host, timeout=WAIT_S)))
            connection.request("GET", "/api/live", headers=cookie)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.readline().startswith(b"retry")
            return answer

        theirs = stream(other)
        streams = [stream(greedy) for _ in range(2 * STREAMS_MAX)]
        ours = stream(other)
        for answer in (theirs, ours, streams[-1]):
            while not answer.readline().startswith(b"event: tick"):
                pass
        for answer in streams[:-CLIENT_STREAMS_MAX]:
            answer.read()  # these have ended
        assert served.ask("/", headers=session(served)).status == 200


def test_streams_that_are_not_read_lock_nobody_out(served: ConsoleProcess) -> None:
    """Nor does it matter whether the pages hear what they are told."""
    cookie = session(served)["Cookie"].encode()
    request = b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + cookie + b"\r\n\r\n"
    with half_open(served.host, 500, request):
        fresh = session(served)
        assert served.ask("/", headers=fresh).status == 200
        with closing(http.client.HTTPConnection(served.host, timeout=WAIT_S)) as connection:
            connection.request("GET", "/api/live", headers=fresh)
            assert connection.getresponse().readline().startswith(b"retry")


def test_guesses_are_bounded_and_the_owner_gets_in(served: ConsoleProcess) -> None:
    """Sixty clients that guess get an answer one after the other or none; the right token is taken all the while.

    Each used to wait for itself alone: sixty of them made 120 guesses per second and as many lines of the log.
    """
    lines_before = served.log().count("wrong_token")
    with ThreadPoolExecutor(60) as guessers:
        guesses = [guessers.submit(log_in, served, WRONG) for _ in range(300)]
        for _ in range(5):
            assert log_in(served).status == 303
        answers = [guess.result() for guess in guesses]
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {403, 429}
    assert statuses.count(429) > 200
    assert all("wait a moment" in answer.body for answer in answers if answer.status == 429)
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 429)
    assert log_in(served, WRONG).status == 403
    assert served.log().count("wrong_token") - lines_before < 100
    refused = [json.loads(line) for line in served.log().splitlines() if '"wrong_token"' in line]
    assert sum(line["suppressed"] for line in refused) > 100


@pytest.mark.parametrize(
    "theirs",
    [
        "http://[bad",
        "http://]",
        "http://[::1",
        "http://a:b",
        "//",
        "\xff",
        "http://[v1.x]",
        "http://a@",
        "null",
        "file://",
    ],
)
def test_an_origin_that_makes_no_sense(served: ConsoleProcess, theirs: str) -> None:
    """It is another page than ours; some used to be an unhandled 500 with a traceback in the log."""
    answer = served.ask("/login", "POST", RIGHT, {"Origin": theirs})
    assert answer.status == 403
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=1&b=2&c=3&d=4&e=5", 400),  # used to be an unhandled 500
        (b"&" * 4_000, 400),
        (b"token=" + b"%ff" * 500, 403),
        (b"token=%", 403),
        (b"\xff\x00=\xff", 403),
        (b"", 403),
        (b"token=" + RIGHT.partition(b"=")[2] + b"&token=", 303),
        (b"a" * 5_000, 413),
    ],
)
def test_a_login_that_makes_no_sense(served: ConsoleProcess, body: bytes, status: int) -> None:
    """It is refused like a wrong one, with the headers of every answer."""
    answer = log_in(served, body)
    assert answer.status == status
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        f"/api/dead-letters/{'9' * 5_000}/0/value",
        f"/api/dead-letters/0/{'9' * 5_000}/value",
        "/api/dead-letters/a/0/value",
        "/api/dead-letters/-1/0/value",
        "/api/dead-letters/1_0/0/value",
        "/api/dead-letters/%D9%A3/0/value",
        "/api/dead-letters//0/value",
    ],
)
def test_a_dead_letter_that_cannot_be(served: ConsoleProcess, path: str) -> None:
    """It is not found; numbers of thousands of digits used to be an unhandled 500."""
    answer = served.ask(path, "POST", b"", session(served) | origin(served))
    assert answer.status == 404
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"a" * 17_000,
        b"POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_requests_have_the_headers_too(served: ConsoleProcess, sent: bytes) -> None:
    """What does not even reach the application is answered as strictly."""
    answer = ask(served.host, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert b"content-security-policy: default-src 'none'" in answer


def test_a_cookie_that_takes_long_to_read(served: ConsoleProcess) -> None:
    """Quotes and backslashes are no session; reading them used to take time with the square of their number."""
    for value in ('"' + '\\"' * 7_000 + '"', "\\" * 14_000, ";" * 14_000, "console", "=console", "console=" * 1_000):
        assert served.ask("/", headers={"Cookie": f"console={value}"}).status == 303
        assert served.ask("/", headers={"Cookie": value}).status == 303


def test_the_log_stays_quiet(served: ConsoleProcess) -> None:
    """After all that the log has no traceback and no failure."""
    assert "Traceback" not in served.log()
    assert '"event": "http_failed"' not in served.log()
    assert '"event": "library"' not in served.log()


def test_unexpected_errors(tmp_path: Path) -> None:
    """A fault in the program is a 500 with the headers of every answer, and one line of the log that says where."""
    (tmp_path / "sitecustomize.py").write_text(
        "import scorer.console.pages as pages\n"
        "def fails(*_, **__):\n"
        "    raise RuntimeError('somebody-s-secret')\n"
        "pages.render_page = fails\n"
        "import scorer.console.dead_letters as letters\n"
        "letters.newest_letters = fails\n",
        encoding="utf-8",
    )
    with console_by_command(NOBODY | {"PYTHONPATH": str(tmp_path)}, tmp_path / "console.log") as started:
        for _ in range(10):
            page, data = started.ask("/"), started.ask("/api/dead-letters")
            assert (page.status, data.status) == (500, 500)
            assert "content-security-policy" in page.headers
            assert "no-store" in page.headers["cache-control"]
            assert "error" in json.loads(data.body)
        lines = [json.loads(line) for line in started.log().splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["event"] in {"http_failed", "library"}]
        assert line["error"] == "RuntimeError"
        assert "secret" not in started.log()


def test_a_token_file_that_everybody_can_read(tmp_path: Path) -> None:
    """It is warned of; one for its owner or its group alone is not."""
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    for mode, warned in ((0o644, True), (0o604, True), (0o600, False), (0o440, False)):
        token.chmod(mode)
        with console(NOBODY, tmp_path / f"{mode}.log", "--token-file", str(token)) as started:
            assert ("token_file_exposed" in started.log()) == warned
            assert TOKEN not in started.log()
            assert started.ask("/login").status == 200


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost", "127.0.0.1"])
def test_it_is_served_over_ipv6_too(tmp_path: Path, host: str) -> None:
    """The address that it prints is one that a browser takes."""
    with console(NOBODY, tmp_path / "console.log", "--host", host) as started:
        assert ("[::1]" in started.address) == ("::1" in host)
        assert started.ask("/").status == 200


def test_it_ends_with_a_client_that_does_not(tmp_path: Path) -> None:
    """Neither idle connections nor pages that are not read hold up the end."""
    with console(NOBODY, tmp_path / "console.log") as started:
        live = b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with half_open(started.host, 20), half_open(started.host, 20, live):
            assert started.ask("/").status == 200
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(WAIT_S) == 0
        assert "Traceback" not in started.log()
