"""The tokens of the console and its users: reads their files within limits, and rejects tokens that are weak."""

import stat
from itertools import pairwise
from typing import Final

from schemas.review import REVIEWER_CHARACTERS_MAX
from schemas.text import TextFileError, expand_home, read_text
from scorer.errors import MisuseError
from scorer.logs import TOKEN_FILE_EXPOSED, log

_CHARACTERS_MIN: Final = 16
_BYTES_MAX: Final = 4_096
"""Much more than any token: a device such as /dev/zero never ends."""
_USERS_BYTES_MAX: Final = 262_144
"""A thousand users."""
_DISTINCT_MIN: Final = 6
"""One in a hundred random tokens of 16 decimal digits has fewer; random hexadecimal ones practically never do."""
_REPEATED_SHARE: Final = 0.75
"""Share of characters that equal the one a period earlier; about a tenth in random tokens."""
_ADVICE: Final = "`openssl rand -hex 16` generates one"


def read_token(file: str) -> str:
    """Reads the token; spaces and line breaks around it are ignored. Logs a warning if every user can read the file.

    Raises:
        MisuseError: the file cannot be read, or its token is too short or easy to guess.
    """
    setting = "console_token_file"
    token = _read(file, setting).strip()
    _require_strong(token, setting)
    return token


def read_names(file: str, setting: str, token: str | None) -> dict[str, str]:
    """Reads the tokens of users: a line per user with a name, spaces, and the token; `#` begins a comment line.

    Args:
        file: the path of the file.
        setting: the setting that has the path, for messages.
        token: the console's token, which no user may have.

    Returns:
        The users' names by token.

    Raises:
        MisuseError: the file cannot be read, a line is malformed, or a token is weak or used twice.
    """
    names: dict[str, str] = {}
    lines = _read(file, setting, _USERS_BYTES_MAX).splitlines()
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        name, user_token = [*line.split(maxsplit=1), ""][:2]
        at = f"{setting}, line {number}"
        if not user_token or len(name) > REVIEWER_CHARACTERS_MAX or not name.isprintable():
            raise MisuseError(f"{at}: write a user's name without spaces, a space, and the user's token")
        _require_strong(user_token, at)
        if user_token in names or user_token == token or name in names.values():
            raise MisuseError(f"{at}: each user needs one line, with a token that nobody else has: {_ADVICE}")
        names[user_token] = name
    if not names:
        raise MisuseError(f"{setting} names no user: write a name, a space and a token per line")
    return names


def _read(file: str, setting: str, bytes_max: int = _BYTES_MAX) -> str:
    path = expand_home(file)
    try:
        text = read_text(path, bytes_max)
        mode = path.stat().st_mode
    except TextFileError as error:
        raise MisuseError(f"{setting} {error}") from None
    except OSError as error:
        raise MisuseError(f"{setting} cannot be read: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        log(TOKEN_FILE_EXPOSED, path=str(path), mode=f"{stat.S_IMODE(mode):04o}")
    return text


def _require_strong(token: str, origin: str) -> None:
    fault = _weakness(token)
    if fault:
        raise MisuseError(f"{origin} contains {fault}: {_ADVICE}")


def _weakness(token: str) -> str:
    """Returns why a token is too weak; empty if it is not."""
    if len(token) < _CHARACTERS_MIN:
        return f"a token of {len(token)} characters; the minimum is {_CHARACTERS_MIN}"
    if not token.isprintable():
        return "several lines or control characters; a token is one line"
    steps = [ord(after) - ord(before) for before, after in pairwise(token)]
    runs = sum(step in {-1, 0, 1} for step in steps)
    repeated = any(_repeats(token, period) for period in range(1, len(token) // 2 + 1))
    if len(set(token)) < _DISTINCT_MIN or repeated or runs > len(steps) / 2:
        return "a token that is easy to guess: few different characters, a repetition or a sequence"
    return ""


def _repeats(token: str, period: int) -> bool:
    """Whether the token mostly repeats a part of this length."""
    return sum(a == b for a, b in zip(token, token[period:], strict=False)) > _REPEATED_SHARE * (len(token) - period)
