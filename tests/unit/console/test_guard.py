"""Sessions and wrong tokens: who is let in, under which cookie, and who waits."""

import asyncio

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from scorer.console.guard import WrongTokens, delete_session, session_of, set_session


@pytest.mark.parametrize(
    ("cookie", "session"),
    [
        ("", ""),
        ("console=a", "a"),
        ("other=b; console=a", "a"),
        (" console=a ;other=b", "a"),
        ("__Host-console=a", "a"),
        ("console=tossed; __Host-console=a", "a"),
        ("__Host-console=a; console=tossed", "a"),
        ("__host-console=a", ""),
        ("xconsole=a; consolex=b; console", ""),
        ('console="a"', '"a"'),
        ("console=a; console=b", "a"),
        ("=; ;;=a", ""),
    ],
)
def test_the_session_that_a_cookie_names(cookie: str, session: str) -> None:
    """The cookie that only this host can have set over TLS goes before the other one."""
    assert session_of(Headers({"Cookie": cookie})) == session


def test_cookies() -> None:
    """Over TLS the name says that no other host and no plain HTTP can have set it; logging out deletes both."""
    plain, secure, out = Response(), Response(), Response()
    set_session(plain, "name", over_tls=False)
    set_session(secure, "name", over_tls=True)
    delete_session(out)
    assert plain.headers["set-cookie"].startswith("console=name; HttpOnly;")
    assert "Secure" not in plain.headers["set-cookie"]
    cookies = secure.headers["set-cookie"]
    assert cookies.startswith("__Host-console=name; HttpOnly;")
    assert cookies.endswith("Path=/; SameSite=strict; Secure")
    assert "Domain" not in cookies
    deleted = out.headers.getlist("set-cookie")
    assert [cookie.partition("=")[0] for cookie in deleted] == ["console", "__Host-console"]
    assert all("Max-Age=0" in cookie for cookie in deleted)


def test_wrong_tokens_wait_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time has its pause; beyond a number nobody waits, and as those before are answered others may."""
    pausing, paused_most = 0, 0

    async def sleep(_: float) -> None:
        nonlocal pausing, paused_most
        pausing += 1
        paused_most = max(paused_most, pausing)
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        pausing -= 1

    async def scene() -> tuple[list[bool], bool]:
        wrong = WrongTokens()
        answered = await asyncio.gather(*(wrong.pause() for _ in range(60)))
        return answered, await wrong.pause()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answered, afterwards = asyncio.run(scene())
    assert (answered.count(True), answered.count(False)) == (20, 40)
    assert afterwards
    assert paused_most == 1
