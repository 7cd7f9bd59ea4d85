"""How far a replay has come, whoever works on it: what its group has committed, against the plan."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException

from schemas.rights import Operation
from scorer.replay.plan import Plan
from scorer.settings import Settings
from scorer.stream.reading import ask_committed, connect_beside, offsets_refused

_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far it has come."""

    offsets: dict[int, int]
    """By partition, where the group goes on; partitions in which it has not begun are not there."""
    done: int
    """Applications that have been decided again."""
    total: int

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return self.done == self.total


class ProgressReader:
    """Asks the group; it is not in it."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._plan = plan
        self._settings = settings.model_copy(update={"group_id": plan.group_id})
        # Read committed would wait for a moment without an open transaction, and in a replay there is hardly any. What
        # an open transaction would commit is not told either way.
        options = {"group.id": plan.group_id, "isolation.level": "read_uncommitted"}
        self._consumer, _ = connect_beside(settings, plan.selection.topic, options, _ANSWER_S)

    def look(self) -> Standing:
        """How far it has come now.

        Raises:
            BrokerError: the group cannot be asked.
        """
        selection = self._plan.selection
        try:
            committed = ask_committed(self._consumer, selection.topic, selection.bounds(), _ANSWER_S)
        except KafkaException as failure:
            raise offsets_refused(failure.args[0], self._settings, Operation.READ) from failure
        offsets = {tp.partition: tp.offset for tp in committed if tp.offset >= 0}
        return Standing(offsets, int(selection.before(offsets).sum()), len(selection))

    def close(self) -> None:
        """Leaves nothing behind."""
        self._consumer.close()
