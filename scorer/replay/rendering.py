"""What all self-contained HTML pages share: templates with their filters, and figures as SVG."""

import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schemas.decision import shorten
from schemas.printable import printable
from scorer.core.policy import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MILDER: Final = "#1b7f79"
STRICTER: Final = "#b04a10"
GUIDE: Final = "#767676"
DOTS: Final = "#1f4e79"
_INK: Final = "#1c2733"
_VARIABLES: Final = {
    MILDER: "var(--milder)",
    STRICTER: "var(--stricter)",
    GUIDE: "var(--guide)",
    DOTS: "var(--dots)",
    _INK: "currentColor",
}
"""The variables of style.css that replace a figure's colours, so that they suit a light and a dark screen."""
_Z: Final = 1.959964  # of a 95 % interval


def make_environment() -> Environment:
    """Returns the environment of the templates."""
    environment = Environment(
        loader=PackageLoader("scorer.replay"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        name=name_bundle,
        number="{:,}".format,
        printable=printable,
        share=share,
        interval=interval,
        shorten=shorten,
        total=_total,
        utc=_utc,
    )
    environment.globals.update(kind=kind_of)
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


def interval(part: int, whole: int) -> str:
    """The 95 % confidence interval of a share (Wilson's), in percent; `whole` is not 0.

    Wilson's interval holds for few applications and for shares near 0 and 1, too.
    """
    share_, weight = part / whole, _Z**2 / whole
    middle = (share_ + weight / 2) / (1 + weight)
    half = _Z * math.sqrt((share_ * (1 - share_) + weight / 4) / whole) / (1 + weight)
    return f"{100 * max(middle - half, 0):.1f}–{100 * min(middle + half, 1):.1f}%"


def _utc(time: str) -> str:
    """A time in UTC in ISO 8601, as people write it."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def name_bundle(bundle: str) -> str:
    """The name and version of a bundle."""
    return printable(bundle.partition("@")[0])


def draw_figure(draw: Callable[["Axes"], None]) -> Markup:
    """Returns a figure as SVG; the same content has the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "svg.fonttype": "none",  # text as text, so that it can be searched and read aloud
            "svg.hashsalt": "replay",  # fixed, so that the bytes are reproducible
            "savefig.transparent": True,
            "legend.frameon": False,
            "font.family": "sans-serif",
            "font.size": 11,  # with the figure's size: can be read on a screen of 360 px
            **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
        }
    ):
        figure = Figure(figsize=(6, 4.2), layout="constrained")
        draw(figure.add_subplot())
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    svg = target.getvalue()
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg[svg.index("<svg") :])  # noqa: S704  # matplotlib escapes its texts
