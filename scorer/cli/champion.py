"""The champion, as the bundle that a command uses if none is given."""

from typing import TYPE_CHECKING

from scorer.cli.options import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from scorer.settings import Settings


def read_champion(settings: "Settings") -> str:
    """Returns the reference of the current champion; before the first deployment, the default bundle's.

    Raises:
        TopicsError, BrokerError: the history cannot be read.
    """
    from scorer.operate.deployments import read_history
    from scorer.stream.history import fold

    champion = fold(read_history(settings)).current("champion")
    return DEFAULT_BUNDLE if champion is None else str(champion)
