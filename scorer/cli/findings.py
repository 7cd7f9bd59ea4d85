"""Prints the findings of a review, and ends the command with the exit code that they give."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from schemas.printable import printable

if TYPE_CHECKING:
    from scorer.author.finding import Finding


def report_findings(findings: "Sequence[Finding]", *, strict: bool, as_json: bool) -> None:
    """Prints findings in their order.

    Args:
        findings: what a review has found.
        strict: whether warnings count as errors.
        as_json: whether to print JSON.

    Raises:
        typer.Exit: there are errors; the exit code is 1.
    """
    from scorer.author.finding import SEVERITIES

    counts = Counter(finding.severity for finding in findings)
    failed = bool(counts["error"] or (strict and counts["warning"]))
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            typer.echo(printable(f"{finding.severity:<9}{finding.where}: {finding.what}"))
            typer.echo(printable(f"{'':<9}→ {finding.fix}"))
        typer.echo(", ".join(f"{severity}s: {counts[severity]}" for severity in SEVERITIES))
    if failed:
        raise typer.Exit(1)
