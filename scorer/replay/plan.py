"""The plan of a replay: its applications, bundle and id, stored in a folder that is never changed afterwards."""

import json
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.decision import BundleReference
from schemas.text import strip_mark
from scorer.errors import MisuseError, ReplayError
from scorer.operate.reading import TopicReader
from scorer.replay.selection import DECIDED, Selection
from scorer.settings import Settings
from scorer.stream.rights import REPLAY_GROUPS

PLAN_FILE: Final = "plan.json"
_DECIDED_FILE: Final = "decided.npy"
_PLAN_VERSION: Final = 2
# Kafka deletes the offsets of an idle group after seven days (offsets.retention.minutes); a run would then start again
# and publish corrections twice.
_AGE_MAX: Final = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a plan came about; the texts are empty in plans of earlier releases."""

    name: str = ""
    """The name of the plan's folder."""
    operator: str = ""
    reason: str = ""
    """Why the decisions are corrected; may be empty."""
    command: str = ""
    """The command that made the plan, without settings, because these may hold secrets."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan that all processes of a replay share."""

    replay_id: str
    created: datetime
    what: str
    """Description of the applications."""
    decisions_topic: str
    dead_letters_topic: str
    results_from: Mapping[str, Mapping[int, int]]
    """By output topic and partition, the offset at which the replay's results begin."""
    bundle: BundleReference
    """The bundle to rescore with."""
    selection: Selection
    expired: int
    """Number of matching applications that retention has deleted."""
    origin: Origin = Origin()

    @property
    def group_id(self) -> str:
        """The consumer group in which the processes share the work."""
        return f"{REPLAY_GROUPS}{self.replay_id}"

    def require_topics(self, settings: Settings) -> None:
        """Checks that the settings name the plan's topics.

        Raises:
            MisuseError: they name other topics.
        """
        plan_topics = (self.selection.topic, self.decisions_topic, self.dead_letters_topic)
        settings_topics = (settings.applications_topic, settings.decisions_topic, settings.dead_letters_topic)
        if plan_topics != settings_topics:
            raise MisuseError(
                f"the replay was planned on the topics {', '.join(plan_topics)}, but the settings name "
                f"{', '.join(settings_topics)}"
            )

    def require_fresh(self, now: datetime) -> None:
        """Checks that Kafka still has the replay's committed offsets.

        Raises:
            ReplayError: the plan is too old.
        """
        if now - self.created > _AGE_MAX:
            raise ReplayError(
                f"the plan is from {self.created:%Y-%m-%d}, and plans expire after {_AGE_MAX.days} days: plan again; "
                "applications already corrected are excluded from a new plan"
            )


def make_plan(settings: Settings, selection: Selection, bundle: BundleReference, what: str, origin: Origin) -> Plan:
    """Makes a plan to rescore the selected applications that still exist.

    Args:
        settings: the topics.
        selection: the applications.
        bundle: the bundle to rescore with.
        what: description of the applications.
        origin: how the plan comes about.

    Raises:
        TopicsError: a topic does not exist any more.
        BrokerError: the broker does not answer.
        ReplayError: there is nothing to rescore.
    """
    if not len(selection):
        raise ReplayError(f"there is nothing to replay: no current decisions on {what}")
    existing = without_expired(settings, selection)
    if not len(existing):
        raise ReplayError(
            f"there is nothing left to replay: retention deleted all {len(selection):,} applications ({what}) "
            f"from topic {selection.topic}"
        )
    now = datetime.now(UTC)
    return Plan(
        replay_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        created=now,
        what=what,
        decisions_topic=settings.decisions_topic,
        dead_letters_topic=settings.dead_letters_topic,
        results_from={
            topic: _end_offsets(settings, topic) for topic in (settings.decisions_topic, settings.dead_letters_topic)
        },
        bundle=bundle,
        selection=existing,
        expired=len(selection) - len(existing),
        origin=origin,
    )


def without_expired(settings: Settings, selection: Selection) -> Selection:
    """Returns the applications that are still on their topic.

    Raises:
        TopicsError: the topic does not exist any more.
        BrokerError: the broker does not answer.
    """
    with closing(TopicReader(settings, selection.topic)) as reader:
        return selection.within(reader.bounds())


def _end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    with closing(TopicReader(settings, topic)) as reader:
        return {p: end for p, (_, end) in reader.bounds().items()}


def write_plan(plan: Plan, folder: Path) -> None:
    """Writes a plan to a new folder.

    Raises:
        MisuseError: the folder exists or cannot be written.
    """
    selection = plan.selection
    content = {
        "plan_version": _PLAN_VERSION,
        "replay_id": plan.replay_id,
        "created": plan.created.isoformat(),
        "what": plan.what,
        "origin": asdict(plan.origin),
        "applications": len(selection),
        "expired": plan.expired,
        "bundle": plan.bundle.model_dump(),
        "decided_by": [bundle.model_dump() for bundle in selection.bundles],
        "applications_topic": selection.topic,
        "decisions_topic": plan.decisions_topic,
        "dead_letters_topic": plan.dead_letters_topic,
        "outcomes_from": plan.results_from,
    }
    try:
        folder.mkdir(parents=True)
        np.save(folder / _DECIDED_FILE, selection.rows, allow_pickle=False)
        # DecisionColumns last: a folder without it is not a plan, even if writing was interrupted.
        (folder / PLAN_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise MisuseError(f"{folder} already exists, and a plan is never overwritten: choose another folder") from None
    except OSError as error:
        raise MisuseError(f"the plan cannot be written to {folder}: {error.strerror}") from error


def read_plan(folder: Path) -> Plan:
    """Reads a plan.

    Raises:
        MisuseError: the folder contains no plan that this release supports.
    """
    try:
        content = json.loads(strip_mark((folder / PLAN_FILE).read_bytes(), PLAN_FILE))
        if content["plan_version"] != _PLAN_VERSION:
            raise MisuseError(f"{folder} contains a plan of another release: plan again with this release")
        return _parse(content, folder)
    except FileNotFoundError:
        raise MisuseError(
            f"{folder} contains no replay plan; create one with `scorer replay plan {folder} …`"
        ) from None
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MisuseError(f"{folder} contains a damaged replay plan: plan again, with another folder") from error


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
        results_from={
            topic: {int(p): offset for p, offset in offsets.items()}
            for topic, offsets in content["outcomes_from"].items()
        },
        bundle=BundleReference.model_validate(content["bundle"]),
        selection=Selection(content["applications_topic"], bundles, rows),
        expired=content["expired"],
        origin=Origin(**content.get("origin", {})),
    )
