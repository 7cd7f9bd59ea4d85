"""The console's token: reads its file within limits and rejects tokens that are easy to guess."""

import stat
from itertools import pairwise
from typing import Final

from schemas.text import TextFileError, expand_home, read_text
from scorer.errors import MisuseError
from scorer.logs import TOKEN_FILE_EXPOSED, log

_CHARACTERS_MIN: Final = 16
_BYTES_MAX: Final = 4_096
"""Much more than any token: a device such as /dev/zero never ends."""
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
    path = expand_home(file)
    try:
        token = read_text(path, _BYTES_MAX).strip()
        mode = path.stat().st_mode
    except TextFileError as error:
        raise MisuseError(f"console_token_file {error}") from None
    except OSError as error:
        raise MisuseError(f"console_token_file cannot be read: {error.strerror}") from None
    fault = _weakness(token)
    if fault:
        raise MisuseError(f"console_token_file contains {fault}: {_ADVICE}")
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        log(TOKEN_FILE_EXPOSED, path=str(path), mode=f"{stat.S_IMODE(mode):04o}")
    return token


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
