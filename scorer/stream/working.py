"""Whether a group's workers work: every partition has an owner, what waits is decided, and by what is deployed."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.decision import shorten
from scorer.settings import Settings
from scorer.stream.finding import Finding
from scorer.stream.group import Group, describe_group
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from scorer.stream.reading import TopicReader, ask_committed, connect_to_offsets, offsets_refused
from scorer.stream.rollout import Rollout, compare, refusals

_ANSWER_S: Final = 10.0
# A commit takes milliseconds, a large batch a second or two; a worker that has stopped commits nothing at all.
_STILL_S: Final = 5.0
# For a rebalance, or a deployment a moment ago, to come to an end.
_SETTLE_S: Final = 8.0
_LOOK_S: Final = 0.5


class Workers:
    """The group, observed without joining it."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the applications topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._admin = admin
        with ExitStack() as opened:
            self._asking: Consumer = opened.enter_context(closing(connect_to_offsets(settings)))
            self._applications = opened.enter_context(closing(TopicReader(settings, settings.applications_topic)))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Leaves nothing behind."""
        self._opened.close()

    def look(self) -> Iterator[Finding]:
        """Whether there are workers, whether each partition has one, and whether what waits is being decided.

        Raises:
            BrokerError: the group cannot be asked.
        """
        group = self._settled(lambda group: not group.rebalancing)
        waiting = self._waiting()
        yield from judge_assignment(self._settings.group_id, group, len(self._applications.partitions), waiting)
        still = self._still(waiting) if group.members and not group.rebalancing else {}
        for member in group.members:
            theirs = {partition: still[partition] for partition in sorted(member.partitions & still.keys())}
            if theirs:
                yield Finding("group", "wrong", _standing_still(member.name, theirs))

    def compare(self, bundle: str, *, is_deployed: bool, challenger: str | None) -> Iterator[Finding]:
        """Whether the workers decide with a bundle.

        Args:
            bundle: what they should decide with, as `name:version@digest`.
            is_deployed: whether the history or a pin says so; without either they may be pinned to another.
            challenger: what they should score with, too; None if there is no challenger.

        Raises:
            BrokerError: the group cannot be asked.
        """
        rollout = Rollout(0, (), moving=True)
        ends_at = time.monotonic() + _SETTLE_S
        while not rollout.done:
            group = describe_group(self._admin, self._settings, _ANSWER_S)
            committed = self._committed(group.assigned)
            rollout = compare(group, committed, bundle)
            if rollout.failed or time.monotonic() > ends_at:
                break
            time.sleep(_LOOK_S)
        if not rollout.workers:
            return
        yield judge_rollout(rollout, bundle, is_deployed=is_deployed)
        said = refusals(group, committed, "challenger", challenger) if challenger is not None else []
        for name, reason in said:
            text = f"{name} has not loaded the challenger {_name(challenger or '')}: {reason}"
            yield Finding("deployment", "wrong", text)

    def _settled(self, holds: Callable[[Group], bool]) -> Group:
        ends_at = time.monotonic() + _SETTLE_S
        while True:
            group = describe_group(self._admin, self._settings, _ANSWER_S)
            if holds(group) or time.monotonic() > ends_at:
                return group
            time.sleep(_LOOK_S)

    def _committed(self, partitions: Collection[int]) -> dict[int, CommittedMetadata]:
        return {tp.partition: decode_metadata(tp.metadata) for tp in self._offsets(partitions)}

    def _offsets(self, partitions: Collection[int]) -> list[TopicPartition]:
        try:
            return ask_committed(self._asking, self._settings.applications_topic, partitions, _ANSWER_S)
        except KafkaException as failure:
            raise offsets_refused(failure.args[0], self._settings) from failure

    def _waiting(self) -> dict[int, tuple[int, int]]:
        """By partition in which applications wait, how many and the offset from which on they do."""
        offsets = {tp.partition: tp.offset for tp in self._offsets(self._applications.partitions)}
        waiting = {}
        for partition, (first, end) in self._applications.bounds().items():
            begin = max(offsets[partition], first)  # without a commit it is below 0
            if end > begin:
                waiting[partition] = end - begin, offsets[partition]
        return waiting

    def _still(self, waiting: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """By partition whose committed offset does not move although applications wait, how many do."""
        ends_at = time.monotonic() + _STILL_S
        still = dict(waiting)
        while still and time.monotonic() < ends_at:
            time.sleep(_LOOK_S)
            now = {tp.partition: tp.offset for tp in self._offsets(still)}
            still = {partition: was for partition, was in still.items() if now[partition] == was[1]}
        return {partition: count for partition, (count, _) in still.items()}


def judge_assignment(
    group_id: str, group: Group, partitions: int, waiting: Mapping[int, tuple[int, int]]
) -> Iterator[Finding]:
    """Whether there are workers, and whether each partition has one.

    Args:
        group_id: the group's.
        group: its members.
        partitions: how many the applications topic has.
        waiting: by partition in which applications wait, how many do, and the committed offset.
    """
    members = len(group.members)
    count = sum(number for number, _ in waiting.values())
    if not members:
        if count:
            text = f"no worker is in group {group_id}, and {_applications(count)}: start one (scorer worker)"
            yield Finding("group", "warning", text)
        else:
            yield Finding("group", "ok", f"group {group_id}: 0 workers, and no application waits")
        return
    if group.rebalancing:
        text = f"group {group_id}: partitions are moving between {members} workers; ask again in a moment"
        yield Finding("group", "warning", text)
        return
    unowned = sorted(set(range(partitions)) - group.assigned)
    if unowned:
        text = (
            f"{_partitions(unowned)} of {partitions} {'has' if len(unowned) == 1 else 'have'} no owner, with {members} "
            f"worker{'s' * (members != 1)} in group {group_id}: their applications wait. A topic that has just "
            "grown is noticed after topic.metadata.refresh.interval.ms; otherwise restart the workers"
        )
        yield Finding("group", "wrong", text)
    if members > partitions > 0:
        text = f"group {group_id} has {members} workers for {partitions} partitions: {members - partitions} stand idle"
        yield Finding("group", "warning", text)
    elif not unowned:
        yield Finding(
            "group",
            "ok",
            f"group {group_id}: {members} worker{'s' * (members != 1)}, all {partitions} partitions have an owner",
        )


def judge_rollout(rollout: Rollout, bundle: str, *, is_deployed: bool) -> Finding:
    """Whether all workers decide with a bundle; see `Workers.compare`."""
    if rollout.done:
        return Finding(
            "deployment", "ok", f"{rollout.workers} of {rollout.workers} workers decide with {_name(bundle)}"
        )
    if not rollout.behind:
        return Finding("deployment", "warning", "partitions are moving between workers; ask again in a moment")
    still = " and ".join(sorted({_name(other) for worker in rollout.behind for other in worker.deciding}))
    reasons = dict.fromkeys(worker.reason for worker in rollout.behind if worker.reason)
    if reasons:
        advice = f"{'; '.join(reasons)}. Give their store the bundle, or take it back: scorer rollback"
    else:
        advice = "if they are pinned to it, ask with --bundle; otherwise their log and /readyz say why"
    text = (
        f"{len(rollout.behind)} of {rollout.workers} workers do not decide with {_name(bundle)}; still "
        f"{still or 'deciding nothing'}: {advice}"
    )
    return Finding("deployment", "wrong" if is_deployed else "warning", text)


def _standing_still(name: str, waiting: Mapping[int, int]) -> str:
    return (
        f"{name}: {_applications(sum(waiting.values()))} in {_partitions(waiting)}, and none was decided for "
        f"{_STILL_S:g} s. Is that worker alive? Its /healthz and log, and `scorer offsets show`, say more"
    )


def _applications(count: int) -> str:
    return "1 application waits" if count == 1 else f"{count:,} applications wait"


def _partitions(numbers: Iterable[int]) -> str:
    listed = sorted(numbers)
    return f"partition{'s' * (len(listed) != 1)} {', '.join(map(str, listed))}"


def _name(bundle: str) -> str:
    """A bundle that is spelt in full, by name and version."""
    return shorten(bundle).partition("@")[0]
