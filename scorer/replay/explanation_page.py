"""Renders the explanation of one decision as one self-contained HTML page, for light and dark screens of any width."""

import math

from scorer.replay.explained import Explained, show
from scorer.replay.rendering import make_environment


def render(explained: Explained) -> str:
    """Renders the page.

    Returns:
        Self-contained HTML, which loads nothing. It contains the application's values.
    """
    environment = make_environment()
    environment.filters.update(show=show)
    largest = max((abs(one.log_odds) for one in explained.explanation.contributions or ()), default=0) or 1
    start = (1 + math.tanh((explained.explanation.start_log_odds or 0) / 2)) / 2  # the probability of these log-odds
    return environment.get_template("explanation.html").render(explained=explained, largest=largest, start=start)
