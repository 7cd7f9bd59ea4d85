"""The picture of the architecture: processes, topics and what flows between them, as SVG for light and dark pages."""

from collections.abc import Iterator
from html import escape
from typing import Final, Literal, NamedTuple

Side = Literal["left", "right", "top", "bottom"]
Point = tuple[int, int]


class Theme(NamedTuple):
    """The colours of a page."""

    page: str
    text: str
    line: str
    process: tuple[str, str]
    topic: tuple[str, str]
    worker: tuple[str, str]


class Box(NamedTuple):
    """A process or a topic, at a place in the picture; fill and frame are those of its kind."""

    kind: Literal["process", "topic", "worker"]
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]

    def side(self, side: Side, offset: int = 0) -> Point:
        """The middle of a side, or a point on it at an offset from the middle."""
        middle_x, middle_y = self.x + self.width // 2, self.y + self.height // 2
        return {
            "left": (self.x, middle_y + offset),
            "right": (self.x + self.width, middle_y + offset),
            "top": (middle_x + offset, self.y),
            "bottom": (middle_x + offset, self.y + self.height),
        }[side]


THEMES: Final = {
    "light": Theme(
        "#ffffff", "#1f2328", "#6e7781", ("#f6f8fa", "#d0d7de"), ("#ddf4ff", "#54aeff"), ("#fff1e5", "#d95f0e")
    ),
    "dark": Theme(
        "#0d1117", "#e6edf3", "#8b949e", ("#161b22", "#444c56"), ("#0f2440", "#388bfd"), ("#2b1a0e", "#f0883e")
    ),
}
_WIDTH: Final = 1_040
_HEIGHT: Final = 440
_LINE: Final = 19
_FONT: Final = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
_TITLE: Final = (
    "Publishers send applications to a topic. Workers decide them with the deployed bundle and publish decisions and "
    "dead letters, with the offsets, in one transaction."
)
_PUBLISHERS: Final = Box("process", 20, 70, 140, 60, ("Publishers", "any Kafka client"))
_OPERATORS: Final = Box("process", 20, 210, 140, 60, ("Operators", "scorer deploy"))
_STORE: Final = Box("process", 20, 340, 140, 60, ("Bundle store", "folder or bucket"))
_APPLICATIONS: Final = Box("topic", 205, 78, 185, 44, ("credit.applications",))
_DEPLOYMENTS: Final = Box("topic", 205, 218, 185, 44, ("scorer.deployments",))
_WORKER: Final = Box(
    "worker",
    440,
    40,
    170,
    370,
    (
        "Workers",
        "one consumer group",
        "",
        "poll",
        "decode",
        "features",
        "predict",
        "decide",
        "explain",
        "encode",
        "",
        "decisions, dead letters",
        "and offsets: one",
        "transaction per batch",
    ),
)
_DECISIONS: Final = Box("topic", 660, 78, 200, 44, ("credit.decisions",))
_DEAD_LETTERS: Final = Box("topic", 660, 178, 200, 44, ("credit.applications.dlq",))
_REVIEWS: Final = Box("topic", 660, 278, 200, 44, ("credit.reviews",))
_MONITORING: Final = Box("process", 660, 350, 200, 50, ("Prometheus, Grafana", "/metrics"))
_READERS: Final = Box("process", 900, 70, 120, 60, ("Readers", "your systems"))
_CONSOLE: Final = Box("process", 900, 170, 120, 152, ("Console", "", "reviewers", "and operators"))
_BOXES: Final = (
    _PUBLISHERS, _OPERATORS, _STORE, _APPLICATIONS, _DEPLOYMENTS, _WORKER, _DECISIONS, _DEAD_LETTERS, _REVIEWS,
    _MONITORING, _READERS, _CONSOLE,
)  # fmt: skip


def _level(box: Box, side: Side, other: Box) -> Point:
    """The point on a side of a tall box that is level with the middle of another one."""
    return (box.side(side)[0], other.side(side)[1])


_ARROWS: Final[tuple[tuple[Point, ...], ...]] = (
    (_PUBLISHERS.side("right"), _APPLICATIONS.side("left")),
    (_APPLICATIONS.side("right"), _level(_WORKER, "left", _APPLICATIONS)),
    (_OPERATORS.side("right"), _DEPLOYMENTS.side("left")),
    (_DEPLOYMENTS.side("right"), _level(_WORKER, "left", _DEPLOYMENTS)),
    (_STORE.side("right"), _level(_WORKER, "left", _STORE)),
    (_level(_WORKER, "right", _DECISIONS), _DECISIONS.side("left")),
    (_level(_WORKER, "right", _DEAD_LETTERS), _DEAD_LETTERS.side("left")),
    (_level(_WORKER, "right", _MONITORING), _MONITORING.side("left")),
    (_DECISIONS.side("right"), _READERS.side("left")),
    (_DECISIONS.side("bottom", 60), (820, 150), (960, 150), _CONSOLE.side("top")),
    (_DEAD_LETTERS.side("right"), _level(_CONSOLE, "left", _DEAD_LETTERS)),
    (_level(_CONSOLE, "left", _REVIEWS), _REVIEWS.side("right")),
)


def architecture_picture(theme: Theme) -> str:
    """Returns the picture as SVG, in the colours of a page."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="14"',
            f'font-family="{_FONT}" text-anchor="middle" fill="{theme.text}">',
            f"<title>{escape(_TITLE)}</title>",
            "<defs>",
            '<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
            f'<path d="M0 0 8 4 0 8z" fill="{theme.line}"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{theme.page}"/>',
            *(_arrow(points, theme) for points in _ARROWS),
            *(line for box in _BOXES for line in _box(box, theme)),
            "</svg>",
        ]
    )


def _arrow(points: tuple[Point, ...], theme: Theme) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{theme.line}" stroke-width="1.5" marker-end="url(#end)"/>'


def _box(box: Box, theme: Theme) -> Iterator[str]:
    fill, frame = {"process": theme.process, "topic": theme.topic, "worker": theme.worker}[box.kind]
    radius = box.height // 2 if box.kind == "topic" else 8
    yield (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="{radius}" fill="{fill}" '
        f'stroke="{frame}" stroke-width="1.5"/>'
    )
    x, middle_y = box.side("left")[0] + box.width // 2, box.side("left")[1]
    first_y = middle_y - _LINE * (len(box.lines) - 1) // 2 + 5
    for number, line in enumerate(box.lines):
        if line:
            yield f'<text x="{x}" y="{first_y + number * _LINE}"{_style(box, number)}>{escape(line)}</text>'


def _style(box: Box, number: int) -> str:
    if box.kind == "topic":
        return ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13"'
    return ' font-weight="600"' if number == 0 else ' font-size="13"'
