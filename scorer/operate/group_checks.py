"""Checks a group's workers: every partition has an owner, applications are decided, and by the deployed bundle."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.decision import shorten
from scorer.operate.finding import Finding
from scorer.operate.group import Group, describe_group
from scorer.operate.reading import TopicReader
from scorer.operate.rollout import Rollout, ask_group, compare, load_failures
from scorer.settings import Settings
from scorer.stream.group_offsets import CommittedOffsets

_ANSWER_S: Final = 10.0
# A commit takes milliseconds, a large batch a second or two; a stalled worker commits nothing.
_STALLED_S: Final = 5.0
# Time for a rebalance or a recent deployment to finish.
_SETTLE_S: Final = 8.0
_POLL_INTERVAL_S: Final = 0.5


class Workers:
    """Observes the group without joining it."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: the applications topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._admin = admin
        with ExitStack() as opened:
            self._offsets = opened.enter_context(closing(CommittedOffsets(settings)))
            self._applications = opened.enter_context(closing(TopicReader(settings, settings.applications_topic)))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Closes the consumers."""
        self._opened.close()

    def check(self) -> Iterator[Finding]:
        """Checks that there are workers, that each partition has an owner, and that waiting applications are decided.

        Raises:
            BrokerError: the group or its offsets cannot be read.
        """
        group = self._settled(lambda group: not group.rebalancing)
        waiting = self._waiting()
        yield from check_assignment(self._settings.group_id, group, len(self._applications.partitions), waiting)
        stalled = self._stalled(waiting) if group.members and not group.rebalancing else {}
        for member in group.members:
            of_member = {partition: stalled[partition] for partition in sorted(member.partitions & stalled.keys())}
            if of_member:
                yield Finding("group", "wrong", _stalled_worker(member.name, of_member))

    def compare(self, bundle: str, *, is_deployed: bool, challenger: str | None) -> Iterator[Finding]:
        """Checks that the workers decide with a bundle.

        Args:
            bundle: the expected champion, as `name:version@digest`.
            is_deployed: whether it is deployed or pinned; if neither, the workers may be pinned to another bundle.
            challenger: the expected challenger; None if there is no challenger.

        Raises:
            BrokerError: the group or its offsets cannot be read.
        """
        rollout = Rollout(0, (), rebalancing=True)
        ends_at = time.monotonic() + _SETTLE_S
        while not rollout.done:
            group, committed = ask_group(self._settings, self._admin, self._offsets)
            rollout = compare(group, committed, bundle)
            if rollout.failed or time.monotonic() > ends_at:
                break
            time.sleep(_POLL_INTERVAL_S)
        if not rollout.workers:
            return
        yield check_rollout(rollout, bundle, is_deployed=is_deployed)
        failures = load_failures(group, committed, "challenger", challenger) if challenger is not None else []
        for name, reason in failures:
            text = f"{name} has not loaded the challenger {_name(challenger or '')}: {reason}"
            yield Finding("deployment", "wrong", text)

    def _settled(self, is_settled: Callable[[Group], bool]) -> Group:
        ends_at = time.monotonic() + _SETTLE_S
        while True:
            group = describe_group(self._admin, self._settings, _ANSWER_S)
            if is_settled(group) or time.monotonic() > ends_at:
                return group
            time.sleep(_POLL_INTERVAL_S)

    def _committed(self, partitions: Collection[int]) -> dict[int, int]:
        requested = [TopicPartition(self._settings.applications_topic, partition) for partition in partitions]
        return {tp.partition: tp.offset for tp in self._offsets.read(requested, _ANSWER_S)}

    def _waiting(self) -> dict[int, tuple[int, int]]:
        """Returns, by partition with waiting applications, their number and the committed offset."""
        offsets = self._committed(self._applications.partitions)
        waiting = {}
        for partition, (first, end) in self._applications.bounds().items():
            begin = max(offsets[partition], first)  # without a commit it is below 0
            if end > begin:
                waiting[partition] = end - begin, offsets[partition]
        return waiting

    def _stalled(self, waiting: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Returns the number of waiting applications by partition whose committed offset does not advance."""
        ends_at = time.monotonic() + _STALLED_S
        stalled = dict(waiting)
        while stalled and time.monotonic() < ends_at:
            time.sleep(_POLL_INTERVAL_S)
            now = self._committed(stalled)
            stalled = {partition: before for partition, before in stalled.items() if now[partition] == before[1]}
        return {partition: count for partition, (count, _) in stalled.items()}


def check_assignment(
    group_id: str, group: Group, partitions: int, waiting: Mapping[int, tuple[int, int]]
) -> Iterator[Finding]:
    """Checks that there are workers, and that each partition has an owner.

    Args:
        group_id: the id of the group.
        group: its members.
        partitions: number of partitions of the applications topic.
        waiting: by partition with waiting applications, their number and the committed offset.
    """
    members = len(group.members)
    count = sum(number for number, _ in waiting.values())
    if not members:
        if count:
            text = f"group {group_id}: no workers, and {_applications(count)}; start one (scorer worker)"
            yield Finding("group", "warning", text)
        else:
            yield Finding("group", "ok", f"group {group_id}: no workers, and no applications are waiting")
        return
    if group.rebalancing:
        text = f"group {group_id} is rebalancing ({members} workers); try again in a moment"
        yield Finding("group", "warning", text)
        return
    unowned = sorted(set(range(partitions)) - group.assigned)
    if unowned:
        text = (
            f"{list_partitions(unowned)} of {partitions} {'has' if len(unowned) == 1 else 'have'} no owner, with "
            f"{members} worker{'s' * (members != 1)} in group {group_id}: their applications are not processed. New "
            "partitions are discovered within topic.metadata.refresh.interval.ms; otherwise restart the workers"
        )
        yield Finding("group", "wrong", text)
    if members > partitions > 0:
        text = (
            f"group {group_id} has {members} workers for {partitions} partitions; idle workers: {members - partitions}"
        )
        yield Finding("group", "warning", text)
    elif not unowned:
        yield Finding(
            "group",
            "ok",
            f"group {group_id}: {members} worker{'s' * (members != 1)}, all {partitions} partitions have an owner",
        )


def check_rollout(rollout: Rollout, bundle: str, *, is_deployed: bool) -> Finding:
    """Checks that all workers decide with a bundle; see `Workers.compare`."""
    if rollout.done:
        return Finding(
            "deployment", "ok", f"{rollout.workers} of {rollout.workers} workers decide with {_name(bundle)}"
        )
    if not rollout.unswitched:
        return Finding("deployment", "warning", "the group is rebalancing; try again in a moment")
    others = " and ".join(sorted({_name(other) for worker in rollout.unswitched for other in worker.bundles}))
    reasons = dict.fromkeys(worker.reason for worker in rollout.unswitched if worker.reason)
    if reasons:
        advice = f"{'; '.join(reasons)}. Add the bundle to their store, or roll back: scorer rollback"
    else:
        advice = "if they are pinned to it, run this with --bundle; otherwise see their log and /readyz"
    text = (
        f"{len(rollout.unswitched)} of {rollout.workers} workers do not decide with {_name(bundle)} (current: "
        f"{others or 'none'}): {advice}"
    )
    return Finding("deployment", "wrong" if is_deployed else "warning", text)


def _stalled_worker(name: str, waiting: Mapping[int, int]) -> str:
    return (
        f"{name}: {_applications(sum(waiting.values()))} in {list_partitions(waiting)}, and none was decided for "
        f"{_STALLED_S:g} s. Is that worker alive? See its /healthz and log, and `scorer offsets show`"
    )


def _applications(count: int) -> str:
    return "1 application is waiting" if count == 1 else f"{count:,} applications are waiting"


def list_partitions(numbers: Iterable[int]) -> str:
    """Returns the numbers of partitions, in words."""
    listed = sorted(numbers)
    return f"partition{'s' * (len(listed) != 1)} {', '.join(map(str, listed))}"


def _name(bundle: str) -> str:
    """Returns the name and version of a bundle's full reference."""
    return shorten(bundle).partition("@")[0]
