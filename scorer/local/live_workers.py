"""Checks for live workers on the applications topic before `scorer up` starts its own."""

import os
import re
import socket
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from scorer.errors import BrokerError, MisuseError
from scorer.operate.group import Member, describe_group
from scorer.settings import Settings
from scorer.stream.admin import admin_client
from scorer.stream.rights import REPLAY_GROUPS

_ANSWER_S: Final = 10.0
_NAMED_MAX: Final = 4


def instance_id(number: int) -> str:
    """The instance id of one of this run's workers, unique across runs and machines."""
    return f"up-{_host()}-{os.getpid()}-{number}"


def require_no_live_workers(settings: Settings) -> None:
    """Fails if live workers already read the applications topic.

    Two runs of one group would share its partitions, so each would measure the other one's workers; and two groups on
    one applications topic decide every application twice. Static members of a run that has ended stay in the group
    until their session times out; they are recognized by their process, which no longer exists, and are ignored.

    Raises:
        MisuseError: there are live workers; the message names group, broker and number, and what to do.
        BrokerError: the group cannot be described.
    """
    admin = admin_client(settings)
    live = [member for member in describe_group(admin, settings, _ANSWER_S).members if _is_live(member)]
    if live:
        raise MisuseError(_message(settings, settings.group_id, live))
    for group_id in _other_groups(admin, settings):
        with suppress(BrokerError):  # a foreign group, which this user may not describe
            group = describe_group(admin, settings.model_copy(update={"group_id": group_id}), _ANSWER_S)
            live = [member for member in group.members if _is_live(member) and _is_worker(member, group_id)]
            if live:
                raise MisuseError(_message(settings, group_id, live))


def _other_groups(admin: AdminClient, settings: Settings) -> list[str]:
    """The other groups that may be workers' groups; empty if this user may not list groups."""
    try:
        listed = admin.list_consumer_groups(request_timeout=_ANSWER_S).result().valid
    except KafkaException:
        return []
    ids = [group.group_id for group in listed]
    return sorted(id_ for id_ in ids if id_ != settings.group_id and not id_.startswith(REPLAY_GROUPS))


def _is_worker(member: Member, group_id: str) -> bool:
    """Whether a member of another group is a worker on this applications topic, judged by its client id."""
    return bool(member.partitions) and member.client_id in {group_id, member.instance_id}


def _is_live(member: Member) -> bool:
    """False for a worker of a run on this machine whose process no longer exists."""
    instance = re.fullmatch(rf"up-{re.escape(_host())}-(\d+)-\d+", member.instance_id or "")
    if instance is None:
        return True
    process = int(instance.group(1))
    if process == os.getpid():  # in a restarted container: no worker of this run has joined yet
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def _message(settings: Settings, group_id: str, live: list[Member]) -> str:
    names = ", ".join(sorted(member.name for member in live)[:_NAMED_MAX])
    more = ", …" if len(live) > _NAMED_MAX else ""
    workers = f"{len(live)} live worker{'s' * (len(live) != 1)}"
    consequence = (
        "a second run would share their partitions, and they would decide its applications"
        if group_id == settings.group_id
        else f"they also read {settings.applications_topic}, so every application would be decided twice"
    )
    return (
        f"group {group_id} at {settings.bootstrap_servers} already has {workers} ({names}{more}): {consequence}. "
        "Stop them first; or choose another group, which gets its own topics: scorer up --group-id NAME; "
        "or start another broker: scorer up --broker java"
    )


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
