"""Outcomes for people at a terminal, and as JSON for scripts."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.decision import Decision
from schemas.printable import printable
from schemas.records import DeadLetter

_COLOURS: Final = {"APPROVED": "green", "MAYBE": "yellow", "DECLINED": "red"}
_DEAD_COLOUR: Final = "magenta"
# Moments that every time zone's calendar has.
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def decision_panel(decision: Decision, waited_s: float) -> Panel:
    """One decision with all that is known of it."""
    source, bundle = decision.source, decision.bundle
    table = Table.grid(padding=(0, 2))
    for label, text in (
        ("probability of default", f"{decision.probability_of_default:.1%}"),
        ("application", decision.application_id),
        ("record", f"{source.topic}, partition {source.partition}, offset {source.offset}"),
        ("bundle", f"{bundle.name}:{bundle.version}, digest {bundle.digest[:12]}…"),
        ("decision", decision.decision_id),
        ("answered after", f"{waited_s * 1_000:,.0f} ms"),
    ):
        table.add_row(Text(label, style="dim"), Text(printable(text)))
    colour = _COLOURS[decision.decision]
    return Panel(table, title=Text(decision.decision, style=f"bold {colour}"), border_style=colour, expand=False)


def outcome_line(outcome: Decision | DeadLetter, at: datetime | None) -> Text:
    """A decision or a dead letter as one line: time, id, outcome."""
    # Where a publisher's clock or unit is wrong, there is no time to show.
    when = at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at and _FIRST <= at < _LAST else f"{'(no time)':23}"
    if isinstance(outcome, Decision):
        who, kind, colour = outcome.application_id, str(outcome.decision), _COLOURS[outcome.decision]
        rest = f"{outcome.probability_of_default:7.2%}  {outcome.bundle.name}:{outcome.bundle.version}"
    else:
        who, kind, colour = outcome.id or "(no key)", "REJECTED", _DEAD_COLOUR
        rest = f"{outcome.code}: {outcome.reason}"
    return Text.assemble((when, "dim"), f"  {printable(who):28}  ", (f"{kind:10}", colour), f"  {printable(rest)}")


def outcome_json(outcome: Decision | DeadLetter, at: datetime | None) -> str:
    """The same as one line of JSON."""
    shown: dict[str, Any] = {"at": at and at.isoformat(timespec="milliseconds")}
    if isinstance(outcome, Decision):
        return json.dumps({"kind": "decision", **shown, **outcome.model_dump()})
    source = {"topic": outcome.topic, "partition": outcome.partition, "offset": outcome.offset}
    why = {"code": outcome.code, "reason": outcome.reason}
    return json.dumps({"kind": "dead_letter", **shown, "application_id": outcome.id, **why, "source": source})
