"""What the HTML pages of replays and simulations share: templates with their filters, and figures as SVG."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schemas.decision import shorten
from schemas.printable import printable
from scorer.core.policy import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MILDER: Final = "#1b7f79"
STRICTER: Final = "#c2571a"
GUIDE: Final = "#888888"


def make_environment() -> Environment:
    """Returns the environment of the templates."""
    environment = Environment(
        loader=PackageLoader("scorer.replay"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(name=name_bundle, number="{:,}".format, share=share, shorten=shorten)
    return environment


def kind_of(before: str, after: str) -> str:
    """Whether a label is milder than, stricter than or the same as the one before: the class of a table's cell."""
    if after == before or after not in LABELS:
        return "same"
    return "stricter" if LABELS.index(after) > LABELS.index(before) else "milder"


def share(part: int, whole: int) -> str:
    """A share in percent; few are not zero."""
    if not whole:
        return "–"
    return f"{part / whole:.1%}" if not part or part / whole >= 0.0005 else "<0.1%"


def name_bundle(bundle: str) -> str:
    """The name and version of a bundle."""
    return printable(bundle.partition("@")[0])


def draw_figure(draw: Callable[["Axes"], None]) -> Markup:
    """Returns a figure as SVG; the same content has the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text as text, so that it can be searched and read aloud; and a fixed salt, so that the bytes are reproducible.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "replay", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        draw(figure.add_subplot())
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    svg = target.getvalue()
    return Markup(svg[svg.index("<svg") :])  # noqa: S704  # matplotlib escapes its texts
