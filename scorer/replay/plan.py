"""A replay as it was planned: what is decided again, by what, under which id; in a folder that is never changed."""

import json
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.decision import BundleReference
from schemas.text import strip_mark
from scorer.errors import MisuseError, ReplayError
from scorer.replay.selection import DECIDED, Selection
from scorer.settings import Settings
from scorer.stream.reading import TopicReader
from scorer.stream.rights import REPLAY_GROUPS

PLAN_FILE: Final = "plan.json"
_DECIDED_FILE: Final = "decided.npy"
_PLAN_VERSION: Final = 2
# Kafka forgets after seven days (offsets.retention.minutes) how far an idle group has come; a run would begin anew then
# and publish corrections twice.
_AGE_MAX: Final = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every process of a replay goes by."""

    replay_id: str
    created: datetime
    what: str
    """Which applications, in words."""
    decisions_topic: str
    dead_letters_topic: str
    outcomes_from: Mapping[str, Mapping[int, int]]
    """By output topic and partition, the offset behind which the replay's outcomes come."""
    bundle: BundleReference
    """What decides now."""
    selection: Selection
    expired: int
    """Applications that would be in it, and that retention has taken."""

    @property
    def group_id(self) -> str:
        """The group in which its processes share the work."""
        return f"{REPLAY_GROUPS}{self.replay_id}"

    def require_topics(self, settings: Settings) -> None:
        """Makes sure that these settings name the plan's topics.

        Raises:
            MisuseError: they name others.
        """
        planned = (self.selection.topic, self.decisions_topic, self.dead_letters_topic)
        given = (settings.applications_topic, settings.decisions_topic, settings.dead_letters_topic)
        if planned != given:
            raise MisuseError(
                f"the replay was planned on the topics {', '.join(planned)}, and the settings name {', '.join(given)}"
            )

    def require_fresh(self, now: datetime) -> None:
        """Makes sure that Kafka still knows how far the replay has come.

        Raises:
            ReplayError: the plan is too old.
        """
        if now - self.created > _AGE_MAX:
            raise ReplayError(
                f"the plan is of {self.created:%Y-%m-%d}, and one is good for {_AGE_MAX.days} days: plan again; what "
                "this one has set right already will not be in the new one"
            )


def make_plan(settings: Settings, selection: Selection, bundle: BundleReference, what: str) -> Plan:
    """Plans to decide what is selected again, as far as it is still there.

    Args:
        settings: the topics.
        selection: the applications.
        bundle: what is to decide.
        what: which applications they are, in words.

    Raises:
        TopicsError: a topic is gone.
        BrokerError: the broker does not answer.
        ReplayError: there is nothing to decide again.
    """
    if not len(selection):
        raise ReplayError(f"there is nothing to replay: no current decisions on {what}")
    existing = without_expired(settings, selection)
    if not len(existing):
        raise ReplayError(
            f"there is nothing left to replay: retention has taken all {len(selection):,} applications ({what}) "
            f"from topic {selection.topic}"
        )
    now = datetime.now(UTC)
    return Plan(
        replay_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        created=now,
        what=what,
        decisions_topic=settings.decisions_topic,
        dead_letters_topic=settings.dead_letters_topic,
        outcomes_from={
            topic: _ends(settings, topic) for topic in (settings.decisions_topic, settings.dead_letters_topic)
        },
        bundle=bundle,
        selection=existing,
        expired=len(selection) - len(existing),
    )


def without_expired(settings: Settings, selection: Selection) -> Selection:
    """The applications that are still on their topic.

    Raises:
        TopicsError: the topic is gone.
        BrokerError: the broker does not answer.
    """
    with closing(TopicReader(settings, selection.topic)) as reader:
        return selection.within(reader.bounds())


def _ends(settings: Settings, topic: str) -> dict[int, int]:
    with closing(TopicReader(settings, topic)) as reader:
        return {p: end for p, (_, end) in reader.bounds().items()}


def write_plan(plan: Plan, folder: Path) -> None:
    """Keeps a plan in a new folder.

    Raises:
        MisuseError: there is something already, or it cannot be written.
    """
    selection = plan.selection
    content = {
        "plan_version": _PLAN_VERSION,
        "replay_id": plan.replay_id,
        "created": plan.created.isoformat(),
        "what": plan.what,
        "applications": len(selection),
        "expired": plan.expired,
        "bundle": plan.bundle.model_dump(),
        "decided_by": [bundle.model_dump() for bundle in selection.bundles],
        "applications_topic": selection.topic,
        "decisions_topic": plan.decisions_topic,
        "dead_letters_topic": plan.dead_letters_topic,
        "outcomes_from": plan.outcomes_from,
    }
    try:
        folder.mkdir(parents=True)
        np.save(folder / _DECIDED_FILE, selection.rows, allow_pickle=False)
        # Last of all: a folder without it is no plan, however far the writing came.
        (folder / PLAN_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise MisuseError(f"{folder} is there already, and a plan is never written over: choose another") from None
    except OSError as error:
        raise MisuseError(f"the plan cannot be written into {folder}: {error.strerror}") from error


def read_plan(folder: Path) -> Plan:
    """Reads a plan.

    Raises:
        MisuseError: the folder holds none that this release reads.
    """
    try:
        content = json.loads(strip_mark((folder / PLAN_FILE).read_bytes(), PLAN_FILE))
        if content["plan_version"] != _PLAN_VERSION:
            raise MisuseError(f"{folder} holds a plan of another release: plan again with this one")
        return _parse(content, folder)
    except FileNotFoundError:
        raise MisuseError(
            f"{folder} holds no plan of a replay; `scorer replay plan {folder} …` would make one"
        ) from None
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MisuseError(f"{folder} holds a damaged plan of a replay: plan again, into another folder") from error


def _parse(content: Mapping[str, Any], folder: Path) -> Plan:
    rows = np.load(folder / _DECIDED_FILE, allow_pickle=False)
    if rows.dtype != DECIDED or rows.shape != (content["applications"],):
        raise ValueError("not the plan's rows")
    bundles = tuple(BundleReference.model_validate(bundle) for bundle in content["decided_by"])
    return Plan(
        replay_id=content["replay_id"],
        created=datetime.fromisoformat(content["created"]),
        what=content["what"],
        decisions_topic=content["decisions_topic"],
        dead_letters_topic=content["dead_letters_topic"],
        outcomes_from={
            topic: {int(p): offset for p, offset in offsets.items()}
            for topic, offsets in content["outcomes_from"].items()
        },
        bundle=BundleReference.model_validate(content["bundle"]),
        selection=Selection(content["applications_topic"], bundles, rows),
        expired=content["expired"],
    )
