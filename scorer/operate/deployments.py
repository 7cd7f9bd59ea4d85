"""Appends events to the deployment history, one operator at a time."""

from collections.abc import Callable, Iterable
from contextlib import closing

from schemas.deployment import DeploymentEvent
from schemas.rights import Operation, to_topic
from scorer.bundle.signing import Signature, event_statement
from scorer.errors import DeploymentError
from scorer.operate.operators import WRITE_S, explain_errors, open_writer
from scorer.settings import Settings
from scorer.stream.approvals import SIGNATURE_HEADER
from scorer.stream.history import HistoryReader, State, fold, parse_line
from scorer.stream.history_record import Line
from scorer.stream.rights import deployments_writer, to_transactions


def read_history(settings: Settings) -> list[Line]:
    """Reads the whole history, oldest record first.

    Raises:
        SettingsError, TopicsError, BrokerError: the history cannot be read.
    """
    with closing(HistoryReader(settings)) as reader:
        return reader.read_to_end()


def append_event(
    settings: Settings,
    decide: Callable[[State], DeploymentEvent],
    sign: Callable[[bytes], Iterable[str | Signature]] = lambda _: (),
) -> DeploymentEvent:
    """Appends an event to the history, which is made with knowledge of all earlier events.

    All operators write with one transactional id: a later one fences an earlier one that has not finished, so no event
    of another operator can come between reading and writing.

    Args:
        settings: the brokers and the topic.
        decide: given the current state, returns the event; if it raises, nothing is written.
        sign: given the statement to sign, returns its signatures.

    Returns:
        The event.

    Raises:
        DeploymentError: another operator was faster, or workers would ignore this event; nothing was written.
        SettingsError, TopicsError, BrokerError: the history cannot be read or written.
    """
    topic, transactional_id = settings.deployments_topic, deployments_writer(settings)
    producer = open_writer(settings, transactional_id)
    needed = to_topic(Operation.WRITE, topic), to_transactions(transactional_id)
    conflict = DeploymentError(
        "another operator changed the deployments at the same time, and your change was not written: see "
        "`scorer history`, and try again if it is still needed"
    )

    def describe(why: str) -> str:
        return f"the history in topic {topic} could not be written: {why}"

    with explain_errors(settings, conflict, describe, needed):
        producer.init_transactions(WRITE_S)
        event, value, signatures, fault = _draft(settings, decide, sign)
        if fault:
            raise DeploymentError(f"workers would ignore this event ({fault}): nothing was written")
        headers: list[tuple[str, str | bytes | None]] = [(SIGNATURE_HEADER, signature) for signature in signatures]
        producer.begin_transaction()
        producer.produce(topic, value=value, key=event.slot.encode(), partition=0, headers=headers)
        producer.commit_transaction(WRITE_S)
    return event


def draft_event(
    settings: Settings, decide: Callable[[State], DeploymentEvent], sign: Callable[[bytes], Iterable[str | Signature]]
) -> tuple[DeploymentEvent, list[str]]:
    """Returns the event that `append_event` would append now, and its signatures, without appending it.

    Raises:
        SettingsError, TopicsError, BrokerError: the history cannot be read.
    """
    event, _, signatures, _ = _draft(settings, decide, sign)
    return event, signatures


def _draft(
    settings: Settings, decide: Callable[[State], DeploymentEvent], sign: Callable[[bytes], Iterable[str | Signature]]
) -> tuple[DeploymentEvent, bytes, list[str], str]:
    """Returns an event, its bytes, its signatures, and why workers would ignore it; empty if they would not."""
    with closing(HistoryReader(settings)) as reader:
        lines = reader.read_to_end()
        event = decide(fold(lines))
        value = event.model_dump_json().encode()
        signatures = [str(s) for s in sign(event_statement(reader.cluster_id, settings.deployments_topic, value))]
        end = lines[-1].offset + 1 if lines else 0
        judged = reader.approvals.judge(parse_line(end, value), value, signatures)
    return event, value, signatures, judged.fault
