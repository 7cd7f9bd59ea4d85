"""`scorer deploy --dry-run`: what a bundle's contract would reject of the newest applications."""

import json
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from schemas.printable import printable
from scorer.cli.announce import champion_of
from scorer.cli.compatibility import breaking_changes, champion_contract, describe_changes
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemas.contract import Contract
    from schemas.decision import BundleReference
    from scorer.core.rejections import RejectionComparison
    from scorer.operate.reading import Skipped
    from scorer.settings import Settings
    from scorer.store.store import BundleStore

_SAMPLE_DEFAULT: Final = 10_000
_SAMPLE_MAX: Final = 1_000_000  # two contracts take some ten seconds of CPU to decode so many
_CAUSES_SHOWN_MAX: Final = 30

DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Deploy nothing: count which of the newest applications would be rejected."),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        min=1,
        max=_SAMPLE_MAX,
        help="Number of applications that --dry-run reads.",
        show_default=str(_SAMPLE_DEFAULT),
    ),
]


class DryRun(NamedTuple):
    """What two bundles reject of the same records."""

    topic: str
    bundle: "BundleReference"
    champion: "BundleReference"
    changes: list[str]
    """The breaking changes of the contract."""
    counts: "RejectionComparison"
    skipped: "Skipped"


def require_no_conflict(
    dry_run: bool, sample: int | None, reason: str | None, excluded: "Mapping[str, object]"
) -> None:
    """Checks the options of a deployment or a dry run.

    Args:
        dry_run: whether nothing is deployed.
        sample: the number of applications to read, for a dry run.
        reason: the reason, which every deployment has.
        excluded: options that a dry run does not take, with values that are true if they are given.

    Raises:
        MisuseError: they contradict each other, or the reason is missing.
    """
    for option, is_given in excluded.items():
        if dry_run and is_given:
            raise MisuseError(f"{option} does not apply to --dry-run, which only counts what a champion would reject")
    if sample is not None and not dry_run:
        raise MisuseError("--sample applies to --dry-run only")
    if reason is None and not dry_run:
        raise MisuseError("--reason is missing: say why, for the history (only --dry-run needs none)")


def print_dry_run(
    settings: "Settings",
    bundles: "BundleStore",
    new: "tuple[BundleReference, Contract]",
    sample: int | None,
    as_json: bool,
) -> None:
    """Decodes the newest applications with a bundle's contract and with the champion's, and prints what each rejects.

    Args:
        settings: the brokers and topics.
        bundles: the store with the bundles.
        new: the bundle and its contract.
        sample: the number of applications.
        as_json: whether to print JSON.

    Raises:
        TopicsError, BrokerError: the history or the applications cannot be read.
    """
    from scorer.operate.deployments import read_history
    from scorer.operate.dry_run import compare_contracts
    from scorer.operate.listening import require_listening
    from scorer.stream.history import fold

    bundle, contract = new
    require_listening(settings)
    state = fold(read_history(settings))
    champion = champion_of(state, settings)
    current = champion_contract(state, bundles, champion)
    changes = breaking_changes(current, contract)
    counts, skipped = compare_contracts(settings, contract, current, sample or _SAMPLE_DEFAULT)
    dry_run = DryRun(settings.applications_topic, bundle, champion, changes, counts, skipped)
    typer.echo(json.dumps(as_report(dry_run), indent=2) if as_json else "\n".join(as_lines(dry_run)))


def as_report(dry_run: DryRun) -> dict[str, object]:
    """Returns the counts for scripts; those of a champion whose contract is unknown are null."""
    counts, current = dry_run.counts, dry_run.counts.current
    causes = [
        {
            "field": cause.field or None,
            "code": cause.code,
            "rejected": counts.new.causes[cause],
            "rejected_by_champion": current and current.causes[cause],
        }
        for cause in counts.causes()
    ]
    return {
        "bundle": dry_run.bundle.model_dump(mode="json"),
        "champion": dry_run.champion.model_dump(mode="json"),
        "topic": dry_run.topic,
        "records": counts.values,
        "rejected": counts.new.rejected,
        "rejected_by_champion": current and current.rejected,
        "newly_rejected": current and counts.newly_rejected,
        "newly_accepted": current and counts.newly_accepted,
        "causes": causes,
        "breaking_changes": dry_run.changes,
        **dry_run.skipped.as_json(),
    }


def as_lines(dry_run: DryRun) -> "Iterator[str]":
    """Yields the counts as lines for people."""
    counts, changes = dry_run.counts, dry_run.changes
    yield f"dry run of {dry_run.bundle.short}: nothing was changed"
    if counts.values:
        yield f"the newest {counts.values:,} applications of topic {dry_run.topic}, rejected by field and code:"
        yield from _table(counts)
        yield from _totals(counts)
    else:
        yield f"topic {dry_run.topic} has no applications to decode"
    if dry_run.skipped.count:
        yield str(dry_run.skipped)
    if changes:
        yield from describe_changes(changes, dry_run.champion, dry_run.bundle)
        yield "To deploy it: --allow-breaking"


def _table(counts: "RejectionComparison") -> "Iterator[str]":
    causes, current = counts.causes(), counts.current
    rows = [("field", "code", "this bundle", "" if current is None else "champion")]
    for cause in causes[:_CAUSES_SHOWN_MAX]:
        today = "" if current is None else _share(current.causes[cause], counts)
        rows.append((cause.field or "(value)", str(cause.code), _share(counts.new.causes[cause], counts), today))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if causes else ():
        yield printable("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if len(causes) > _CAUSES_SHOWN_MAX:
        yield f"  and {len(causes) - _CAUSES_SHOWN_MAX} more; --json lists all"


def _totals(counts: "RejectionComparison") -> "Iterator[str]":
    yield f"{_share(counts.new.rejected, counts)} would become dead letters"
    if counts.current is not None:
        yield f"{_share(counts.current.rejected, counts)} are rejected by the champion"
        yield f"{_share(counts.newly_rejected, counts)} are rejected by this bundle only"
        yield f"{_share(counts.newly_accepted, counts)} are rejected by the champion only"


def _share(count: int, counts: "RejectionComparison") -> str:
    return f"{count:,} ({count / counts.values:.2%})"
