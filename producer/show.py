"""Formats results as text for a terminal, and as JSON for scripts."""

import json
import textwrap
from datetime import UTC, datetime
from typing import Any, Final

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.decision import COLOURS, Decision
from schemas.printable import printable
from schemas.records import DeadLetter

_REJECTED_COLOUR: Final = "magenta"
# The column of the id, below which long details continue.
_INDENT: Final = 10
# Times that exist in every time zone.
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def decision_panel(decision: Decision, waited_s: float) -> Panel:
    """A panel with all details of one decision."""
    source, bundle = decision.source, decision.bundle
    table = Table.grid(padding=(0, 2))
    for label, text in (
        ("probability of default", f"{decision.probability_of_default:.1%}"),
        *([("reasons", ", ".join(decision.reasons))] if decision.reasons else []),
        ("application", decision.application_id),
        ("record", f"{source.topic}, partition {source.partition}, offset {source.offset}"),
        ("bundle", f"{bundle.name}:{bundle.version}, digest {bundle.digest[:12]}…"),
        ("decision id", decision.decision_id),
        ("answered after", f"{waited_s * 1_000:,.0f} ms"),
    ):
        table.add_row(Text(label, style="dim"), Text(printable(text)))
    colour = COLOURS[decision.decision]
    return Panel(table, title=Text(decision.decision, style=f"bold {colour}"), border_style=colour, expand=False)


def result_line(result: Decision | DeadLetter, written_at: datetime | None, columns: int | None = None) -> Text:
    """A decision or a dead letter as one line: time, id, label or REJECTED, and details.

    Args:
        result: the decision or dead letter.
        written_at: the timestamp of its record; None if no calendar has it.
        columns: width of the terminal. If the line is longer, the date and milliseconds are left out; if it still is,
            reasons continue below. None is a pipe.
    """
    # A publisher with a wrong clock or unit can produce timestamps that cannot be shown.
    is_shown = written_at is not None and _FIRST <= written_at < _LAST
    time = written_at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if written_at and is_shown else "(no time)"
    if isinstance(result, Decision):
        key, kind, colour = result.application_id, str(result.decision), COLOURS[result.decision]
        details = f"{result.probability_of_default:7.2%}  {result.bundle.name}:{result.bundle.version}"
        more = f"  {' '.join(result.reasons)}" if result.reasons else ""
    else:
        key, kind, colour = result.id or "(no key)", "REJECTED", _REJECTED_COLOUR
        details, more = f"{result.code}:", f" {result.reason}"
    name, details, more = f"  {printable(key):28}  ", printable(details), printable(more)
    line = Text.assemble((f"{time:23}", "dim"), name, (f"{kind:10}", colour), f"  {details}{more}")
    if columns is None or len(line) <= columns:
        return line
    head = Text.assemble((f"{time[11:19] if is_shown else time:8}", "dim"), name, (f"{kind:10}", colour))
    if len(head) + 2 + len(details) + len(more) <= columns:
        return head.append(f"  {details}{more}")
    indent = " " * _INDENT
    below = textwrap.fill(more.strip(), max(columns, 2 * _INDENT), initial_indent=indent, subsequent_indent=indent)
    return head.append(f"  {details}\n{below}" if below else f"  {details}")


def result_json(result: Decision | DeadLetter, written_at: datetime | None) -> str:
    """A decision or a dead letter as one line of JSON."""
    timestamp: dict[str, Any] = {"at": written_at and written_at.isoformat(timespec="milliseconds")}
    if isinstance(result, Decision):
        return json.dumps({"kind": "decision", **timestamp, **result.model_dump()})
    source = {"topic": result.topic, "partition": result.partition, "offset": result.offset}
    rejection = {"code": result.code, "reason": result.reason}
    return json.dumps({"kind": "dead_letter", **timestamp, "application_id": result.id, **rejection, "source": source})
