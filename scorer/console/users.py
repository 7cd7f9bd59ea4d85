"""Users with their own tokens: their names and permissions."""

from typing import NamedTuple

from scorer.console.token import read_names
from scorer.errors import MisuseError
from scorer.settings import Settings


class User(NamedTuple):
    """A user with a token of their own.

    Attributes:
        name: the name, which reviews and marks of requeued dead letters have.
        may_review: whether the user may review MAYBE decisions.
        may_requeue: whether the user may requeue dead letters.
    """

    name: str
    may_review: bool = False
    may_requeue: bool = False


def read_users(settings: Settings, token: str | None) -> dict[str, User]:
    """Reads the reviewers and the operators.

    Args:
        settings: the paths of their files; without a file, nobody has that permission.
        token: the console's token, which no user may have.

    Returns:
        The users by token.

    Raises:
        MisuseError: a file cannot be used, or someone has different names or tokens in the two files.
    """
    reviewers = _read(settings.console_reviewers_file, "console_reviewers_file", token)
    operators = _read(settings.console_operators_file, "console_operators_file", token)
    tokens = {name: own for own, name in reviewers.items()}
    for own, name in operators.items():
        if reviewers.get(own, name) != name or tokens.get(name, own) != own:
            raise MisuseError(
                f"console_operators_file: {name} has another name or token in console_reviewers_file: someone who is "
                "in both files needs the same name and the same token in both"
            )
    return {own: User(name, own in reviewers, own in operators) for own, name in (reviewers | operators).items()}


def _read(file: str | None, setting: str, token: str | None) -> dict[str, str]:
    return {} if file is None else read_names(file, setting, token)
