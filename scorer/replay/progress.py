"""The progress of a replay over all of its processes: the offsets committed by its group, compared with the plan."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka import TopicPartition

from schemas.rights import Operation
from scorer.errors import ScorerError
from scorer.replay.plan import Plan
from scorer.settings import Settings
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.requests import find_partitions

_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
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
        self._offsets = CommittedOffsets(settings.model_copy(update={"group_id": plan.group_id}), Operation.READ)
        try:
            find_partitions(self._offsets.consumer, settings, plan.selection.topic, _ANSWER_S)
        except ScorerError:
            self._offsets.close()
            raise

    def read(self) -> Progress:
        """Returns the current progress.

        Raises:
            BrokerError: the committed offsets cannot be read.
        """
        selection = self._plan.selection
        wanted = [TopicPartition(selection.topic, partition) for partition in selection.bounds()]
        offsets = {tp.partition: tp.offset for tp in self._offsets.read(wanted, _ANSWER_S) if tp.offset >= 0}
        return Progress(offsets, int(selection.before(offsets).sum()), len(selection))

    def close(self) -> None:
        """Closes the consumer."""
        self._offsets.close()
