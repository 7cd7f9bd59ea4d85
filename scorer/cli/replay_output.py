"""What `scorer replay` prints and writes: plans, progress, verifications, and the report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from schemas.printable import printable
from scorer.cli.progress_bar import progress_bar
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.core.policy import Policy
    from scorer.core.score import Bundle
    from scorer.replay.findings import Findings
    from scorer.replay.plan import Plan
    from scorer.replay.progress import Progress
    from scorer.replay.rescore import Verification
    from scorer.replay.results import Results
    from scorer.settings import Settings

RATE: Final = 10_000.0
"""Default of --rate, in records per second."""


def write_report(of: tuple["Settings", "Plan", "Bundle"], results: "Results", folder: Path, as_json: bool) -> None:
    """Writes the report and flips.csv to a folder, and prints a summary.

    Raises:
        MisuseError: the folder cannot be written.
    """
    from scorer.replay.findings import compute_findings
    from scorer.replay.page import render

    settings, planned, opened = of
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar("reading the applications", quiet=as_json) as update:
            findings = compute_findings(settings, planned, results, opened.decoder, folder / "flips.csv", update)
        (folder / "report.json").write_text(json.dumps(findings.as_json(), indent=2) + "\n", encoding="utf-8")
        page = render(findings, planned, results, opened.policy.policy, _read_policy_before(settings, planned))
        (folder / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise MisuseError(f"{folder}: the report cannot be written: {error.strerror}") from error
    if as_json:
        typer.echo(json.dumps(findings.as_json(), indent=2))
        return
    typer.echo(_summarize(findings, opened))
    if results.skipped.count:
        typer.echo(str(results.skipped))
    typer.echo(f"wrote the report to {folder / 'report.html'}, with report.json and flips.csv in the same folder")


def _read_policy_before(settings: "Settings", planned: "Plan") -> "Policy | None":
    """Returns the policy by which the previous decisions were made; None if the store lacks it, or if there are two."""
    from scorer.bundle.load import read_manifest
    from scorer.errors import BundleError
    from scorer.store.store import BundleStore

    bundles = BundleStore(settings.store)
    try:
        policies = [
            read_manifest(bundles.locate(bundle).folder).policy for bundle in planned.selection.count_by_bundle()
        ]
    except BundleError:
        return None
    return policies[0] if all(policy == policies[0] for policy in policies) else None


def _summarize(findings: "Findings", opened: "Bundle") -> str:
    name, same_label = f"{opened.reference.name}:{opened.reference.version}", f"{findings.same_label:,}"
    of_all = f"{findings.flipped:,} of {findings.rescored:,} decisions"
    if not findings.published:
        return f"{of_all} would change, {same_label} would keep their label and name {name}; nothing was published"
    corrections = f"{findings.corrections:,} corrections were published"
    return f"{of_all} changed, {same_label} keep their label and now name {name}; {corrections}"


def plan_as_json(new_plan: "Plan", rate: float) -> dict[str, object]:
    """Returns a plan as JSON for scripts; `rate` in records per second."""
    return {
        "replay_id": new_plan.replay_id,
        "what": new_plan.what,
        "applications": len(new_plan.selection),
        "expired": new_plan.expired,
        "decided_by": {str(bundle): n for bundle, n in new_plan.selection.count_by_bundle().items()},
        "with": str(new_plan.bundle),
        "partitions": {p: list(bounds) for p, bounds in new_plan.selection.bounds().items()},
        "records_per_s": round(rate),
    }


def print_plan(new_plan: "Plan", rate: float, folder: Path) -> None:
    """Prints a plan; `rate` in records per second."""
    applications = len(new_plan.selection)
    for bundle, n in new_plan.selection.count_by_bundle().items():
        typer.echo(printable(f"{n:,} applications decided by {bundle.short}"))
    offsets = ", ".join(f"{p}: {first}–{end - 1}" for p, (first, end) in sorted(new_plan.selection.bounds().items()))
    typer.echo(f"topic {new_plan.selection.topic}, offsets by partition: {offsets}")
    if new_plan.expired:
        typer.echo(f"{new_plan.expired:,} more were deleted by retention; their decisions cannot be corrected")
    typer.echo(f"to be rescored with {new_plan.bundle.short}")
    typer.echo(
        f"estimated duration: {_duration(applications / min(rate, RATE))} at {min(rate, RATE):,.0f} per second, "
        f"without --rate; one process on this machine rescores at most {rate:,.0f} per second"
    )
    typer.echo(f"saved the plan to {folder}; next: scorer replay run {folder} (or with --dry-run first)")


def verified_as_json(verified: "Verification", expired: int, read_s: float) -> dict[str, object]:
    """Returns the result of a verification for scripts."""
    return {
        "decisions": verified.decisions,
        "different": verified.different,
        "expired": expired,
        "examples": verified.first_different,
        "records_per_s": round(verified.decisions / (read_s + verified.seconds)),
    }


def print_verified(verified: "Verification", expired: int, read_s: float) -> None:
    """Prints the result of a verification."""
    skipped = f"; {expired:,} were skipped, as retention has deleted their applications" if expired else ""
    typer.echo(
        f"{verified.decisions:,} decisions read in {read_s:,.1f} s and rescored in {verified.seconds:,.1f} s "
        f"({verified.decisions / (read_s + verified.seconds):,.0f} per second): {verified.different:,} differ{skipped}"
    )


def print_progress(planned: "Plan", progress: "Progress") -> None:
    """Prints how far a replay has come."""
    share = progress.done / progress.total
    typer.echo(
        f"replay {planned.replay_id}: {progress.done:,} of {progress.total:,} applications rescored "
        f"({share:.1%}){', complete' if progress.complete else '; `scorer replay run` continues'}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
