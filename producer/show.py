"""Formats results as text for a terminal, and as JSON for scripts."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.decision import COLOURS, Decision
from schemas.printable import printable
from schemas.records import DeadLetter

_REJECTED_COLOUR: Final = "magenta"
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


def result_line(result: Decision | DeadLetter, written_at: datetime | None) -> Text:
    """A decision or a dead letter as one line: time, id, label or REJECTED, and details."""
    # A publisher with a wrong clock or unit can produce timestamps that cannot be shown.
    time = (
        written_at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        if written_at and _FIRST <= written_at < _LAST
        else f"{'(no time)':23}"
    )
    if isinstance(result, Decision):
        key, kind, colour = result.application_id, str(result.decision), COLOURS[result.decision]
        reasons = f"  {' '.join(result.reasons)}" if result.reasons else ""
        details = f"{result.probability_of_default:7.2%}  {result.bundle.name}:{result.bundle.version}{reasons}"
    else:
        key, kind, colour = result.id or "(no key)", "REJECTED", _REJECTED_COLOUR
        details = f"{result.code}: {result.reason}"
    return Text.assemble((time, "dim"), f"  {printable(key):28}  ", (f"{kind:10}", colour), f"  {printable(details)}")


def result_json(result: Decision | DeadLetter, written_at: datetime | None) -> str:
    """A decision or a dead letter as one line of JSON."""
    timestamp: dict[str, Any] = {"at": written_at and written_at.isoformat(timespec="milliseconds")}
    if isinstance(result, Decision):
        return json.dumps({"kind": "decision", **timestamp, **result.model_dump()})
    source = {"topic": result.topic, "partition": result.partition, "offset": result.offset}
    rejection = {"code": result.code, "reason": result.reason}
    return json.dumps({"kind": "dead_letter", **timestamp, "application_id": result.id, **rejection, "source": source})
