"""Outcomes for people at a terminal, and as JSON for scripts."""

import json
from typing import Any, Final

from confluent_kafka import Message
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from producer.outcomes import DeadLetter, Place, place_of, read_outcome, written_at
from schemas.decision import Decision

_COLOURS: Final = {"APPROVED": "green", "MAYBE": "yellow", "DECLINED": "red"}
_DEAD_COLOUR: Final = "magenta"


def printable(text: str) -> str:
    """Text from a record without what would command the terminal: anybody may publish an id."""
    return "".join(character if character.isprintable() else "�" for character in text)


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


def outcome_line(message: Message) -> Text:
    """A record of the decisions or of the dead-letter topic as one line: time, id, outcome."""
    at = written_at(message).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    who: str
    outcome: str
    match read_outcome(message):
        case Decision() as decision:
            who, outcome, colour = decision.application_id, decision.decision, _COLOURS[decision.decision]
            rest = f"{decision.probability_of_default:7.2%}  {decision.bundle.name}:{decision.bundle.version}"
        case DeadLetter() as letter:
            who, outcome, colour = letter.application_id or "(no key)", "REJECTED", _DEAD_COLOUR
            rest = f"{letter.code}: {letter.reason}"
        case None:
            who, outcome, colour = ":".join(map(str, place_of(message))), "UNREADABLE", _DEAD_COLOUR
            rest = "this record is neither a decision nor a dead letter"
    return Text.assemble((at, "dim"), f"  {printable(who):28}  ", (f"{outcome:10}", colour), f"  {printable(rest)}")


def outcome_json(message: Message) -> str:
    """The same as one line of JSON."""
    shown: dict[str, Any] = {"at": written_at(message).isoformat(timespec="milliseconds")}
    match read_outcome(message):
        case Decision() as decision:
            shown = {"kind": "decision", **shown, **decision.model_dump()}
        case DeadLetter() as letter:
            shown = {"kind": "dead_letter", **shown, **letter._asdict(), "source": _named(letter.source)}
        case None:
            shown = {"kind": "unreadable", **shown, "record": _named(place_of(message))}
    return json.dumps(shown)


def _named(place: Place) -> dict[str, str | int]:
    return dict(zip(("topic", "partition", "offset"), place, strict=True))
