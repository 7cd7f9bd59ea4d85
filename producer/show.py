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
        ("application", decision.application_id),
        ("record", f"{source.topic}, partition {source.partition}, offset {source.offset}"),
        ("bundle", f"{bundle.name}:{bundle.version}, digest {bundle.digest[:12]}…"),
        ("decision id", decision.decision_id),
        ("answered after", f"{waited_s * 1_000:,.0f} ms"),
    ):
        table.add_row(Text(label, style="dim"), Text(printable(text)))
    colour = COLOURS[decision.decision]
    return Panel(table, title=Text(decision.decision, style=f"bold {colour}"), border_style=colour, expand=False)


def result_line(outcome: Decision | DeadLetter, at: datetime | None) -> Text:
    """A decision or a dead letter as one line: time, id, label or REJECTED, and details."""
    # A publisher with a wrong clock or unit can produce timestamps that cannot be shown.
    time = at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at and _FIRST <= at < _LAST else f"{'(no time)':23}"
    if isinstance(outcome, Decision):
        key, kind, colour = outcome.application_id, str(outcome.decision), COLOURS[outcome.decision]
        details = f"{outcome.probability_of_default:7.2%}  {outcome.bundle.name}:{outcome.bundle.version}"
    else:
        key, kind, colour = outcome.id or "(no key)", "REJECTED", _REJECTED_COLOUR
        details = f"{outcome.code}: {outcome.reason}"
    return Text.assemble((time, "dim"), f"  {printable(key):28}  ", (f"{kind:10}", colour), f"  {printable(details)}")


def result_json(outcome: Decision | DeadLetter, at: datetime | None) -> str:
    """A decision or a dead letter as one line of JSON."""
    timestamp: dict[str, Any] = {"at": at and at.isoformat(timespec="milliseconds")}
    if isinstance(outcome, Decision):
        return json.dumps({"kind": "decision", **timestamp, **outcome.model_dump()})
    source = {"topic": outcome.topic, "partition": outcome.partition, "offset": outcome.offset}
    rejection = {"code": outcome.code, "reason": outcome.reason}
    return json.dumps({"kind": "dead_letter", **timestamp, "application_id": outcome.id, **rejection, "source": source})
