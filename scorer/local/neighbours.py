"""Finds live workers that already read the applications topic, before `scorer up` adds its own."""

import os
import re
import socket
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from scorer.errors import BrokerError, MisuseError
from scorer.settings import Settings
from scorer.stream.group import Member, describe_group
from scorer.stream.rights import REPLAY_GROUPS
from scorer.stream.topics import admin_client

_ANSWER_S: Final = 10.0
_NAMED_MAX: Final = 4


def instance_id(number: int) -> str:
    """The instance id of one of this run's workers: no other run has it, on any machine."""
    return f"up-{_host()}-{os.getpid()}-{number}"


def refuse_live_workers(settings: Settings) -> None:
    """Refuses to join workers that are at work.

    Two runs of one group would share its partitions, so each would measure the other one's workers; and two groups on
    one applications topic decide every application twice. Static members of a run that has ended stay in the group
    until their session ends; they are recognized by their process, which is gone, and do not count.

    Raises:
        MisuseError: there are live workers; it names the group, the broker and how many, and says what to do.
        BrokerError: the group cannot be described.
    """
    admin = admin_client(settings)
    live = [member for member in describe_group(admin, settings, _ANSWER_S).members if _is_live(member)]
    if live:
        raise MisuseError(_refusal(settings, settings.group_id, live))
    for group_id in _other_groups(admin, settings):
        with suppress(BrokerError):  # a group of somebody else's, which this user may not see
            group = describe_group(admin, settings.model_copy(update={"group_id": group_id}), _ANSWER_S)
            live = [member for member in group.members if _is_live(member) and _decides(member, group_id)]
            if live:
                raise MisuseError(_refusal(settings, group_id, live))


def _other_groups(admin: AdminClient, settings: Settings) -> list[str]:
    """The other groups of the broker that could be workers'; none where this user may not list them."""
    try:
        listed = admin.list_consumer_groups(request_timeout=_ANSWER_S).result().valid
    except KafkaException:
        return []
    ids = [group.group_id for group in listed]
    return sorted(id_ for id_ in ids if id_ != settings.group_id and not id_.startswith(REPLAY_GROUPS))


def _decides(member: Member, group_id: str) -> bool:
    """Whether a member of another group is a worker on this applications topic: its client is named as ours are."""
    return bool(member.partitions) and member.client_id in {group_id, member.instance_id}


def _is_live(member: Member) -> bool:
    """False for a worker of a run on this machine whose process is gone."""
    own = re.fullmatch(rf"up-{re.escape(_host())}-(\d+)-\d+", member.instance_id or "")
    if own is None:
        return True
    process = int(own.group(1))
    if process == os.getpid():  # as in a container that is started again: nothing of this run has joined yet
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _refusal(settings: Settings, group_id: str, live: list[Member]) -> str:
    names = ", ".join(sorted(member.name for member in live)[:_NAMED_MAX])
    more = ", …" if len(live) > _NAMED_MAX else ""
    workers = f"{len(live)} live worker{'s' * (len(live) != 1)}"
    harm = (
        "a second run would take partitions from them, and they would decide its applications"
        if group_id == settings.group_id
        else f"they read {settings.applications_topic} too, so every application would be decided twice"
    )
    return (
        f"group {group_id} at {settings.bootstrap_servers} already has {workers} ({names}{more}): {harm}. "
        "Stop them first; or choose another group, which gets its own topics: scorer up --group-id NAME; "
        "or start another broker: scorer up --broker java"
    )


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
