"""The progress of a replay over all of its processes: the offsets committed by its group, compared with the plan."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException

from schemas.rights import Operation
from scorer.operate.reading import ask_committed, offsets_refused
from scorer.replay.plan import Plan
from scorer.settings import Settings
from scorer.stream.reaching import connect_beside

_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """The progress of a replay."""

    offsets: dict[int, int]
    """Committed offset per partition; partitions without a committed offset are missing."""
    done: int
    """Number of rescored applications."""
    total: int

    @property
    def complete(self) -> bool:
        """Whether all applications are rescored."""
        return self.done == self.total


class ProgressReader:
    """Reads the committed offsets of the replay's group, without joining it."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._plan = plan
        self._settings = settings.model_copy(update={"group_id": plan.group_id})
        # With read_committed, the request would wait for a moment without open transactions, which is rare in a replay.
        # Offsets of open transactions are not returned in either mode.
        options = {"group.id": plan.group_id, "isolation.level": "read_uncommitted"}
        self._consumer, _ = connect_beside(settings, plan.selection.topic, options, _ANSWER_S)

    def look(self) -> Standing:
        """Returns the current progress.

        Raises:
            BrokerError: the committed offsets cannot be read.
        """
        selection = self._plan.selection
        try:
            committed = ask_committed(self._consumer, selection.topic, selection.bounds(), _ANSWER_S)
        except KafkaException as failure:
            raise offsets_refused(failure.args[0], self._settings, Operation.READ) from failure
        offsets = {tp.partition: tp.offset for tp in committed if tp.offset >= 0}
        return Standing(offsets, int(selection.before(offsets).sum()), len(selection))

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()
