"""The job that a peer is given as its one argument, and the policy that turns a probability into a decision."""

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import NoReturn

_USAGE_ERROR = 64


@dataclass(frozen=True)
class Job:
    """The topics, the model, and the delivery mode."""

    bootstrap_servers: str
    group_id: str
    applications_topic: str
    decisions_topic: str
    delivery: str
    variant: str
    model_ubj: str
    columns: list[str]
    maybe_above: float
    declined_above: float

    @property
    def exactly_once(self) -> bool:
        """Whether decisions and offsets are to be committed in one transaction."""
        return self.delivery == "exactly-once"

    def decide(self, probability: float) -> str:
        """The label of a probability of default."""
        if probability > self.declined_above:
            return "DECLINED"
        return "MAYBE" if probability > self.maybe_above else "APPROVED"


def read_job(variants: Collection[str], deliveries: Collection[str] = ("at-least-once",)) -> Job:
    """Reads the job from the command line; ends the process with status 64 if this peer cannot do it."""
    if len(sys.argv) != 2:
        _fail("give the job, one JSON object, as the only argument")
    values = json.loads(sys.argv[1])
    missing = [field.name for field in fields(Job) if field.name not in values]
    if missing:
        _fail(f"the job lacks {', '.join(missing)}")
    job = Job(**{field.name: values[field.name] for field in fields(Job)})
    if job.delivery not in deliveries:
        _fail(f"this peer delivers {' or '.join(deliveries)}, not {job.delivery}")
    if job.variant not in variants:
        _fail(f"this peer's variants are {' and '.join(variants)}, not {job.variant}")
    return job


def _fail(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise SystemExit(_USAGE_ERROR)
