"""The guard of `scorer deploy`: reviews a bundle, compares its decisions with the champion's, and may stop it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.printable import printable
from scorer.cli.options import require_reason
from scorer.cli.rows import FileRecord
from scorer.errors import BrokerError, BundleError, BundleUnusableError, DeploymentError, TopicsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.decision import BundleReference
    from schemas.deployment import Slot
    from scorer.author.finding import Finding
    from scorer.author.guard import LabelShift
    from scorer.core.score import Bundle
    from scorer.settings import Settings
    from scorer.store.entry import Located
    from scorer.store.store import BundleStore

_SAMPLE: Final = 1_000  # a tenth of a second; enough for a shift of one percentage point


def _require_why(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise typer.BadParameter("is empty: say why")
    return require_reason(value)


DespiteOption = Annotated[
    str | None,
    typer.Option(
        "--despite",
        metavar="WHY",
        callback=_require_why,
        help="Deploy despite errors of the review or a large shift of decisions: why; recorded in the history.",
    ),
]


@dataclass(frozen=True, slots=True)
class Guard:
    """Reviews what is deployed, and stops it if that finds something.

    Attributes:
        settings: the brokers and the topic.
        bundles: the store with the champion.
        slot: the slot to deploy to.
        despite: why to deploy nevertheless; None stops.
        quiet: print to standard error, because standard output has JSON.
    """

    settings: "Settings"
    bundles: "BundleStore"
    slot: "Slot"
    despite: str | None
    quiet: bool

    def review(self, champion: "BundleReference", new: "Located") -> str | None:
        """Reviews a bundle, compares its decisions with the champion's, and prints both.

        Args:
            champion: the champion.
            new: the bundle to deploy, which was opened in a separate process before.

        Returns:
            Why it is deployed despite the result; None if nothing stops it.

        Raises:
            BundleError: the bundle was replaced in the meantime.
            DeploymentError: something stops it, and no reason to deploy it nevertheless is given.
        """
        from scorer.author.guard import find_obstacles
        from scorer.author.lint import lint_bundle
        from scorer.bundle.libraries import hide_scikit_learn

        if new.reference == champion:  # deployed again with another signature
            return None
        hide_scikit_learn()  # saves a second; this process opens bundles, and trains none
        opened = new.open()
        findings = lint_bundle(new.folder, opened=opened)
        self._print_warnings(findings, new.reference)
        shifts: list[LabelShift] = []
        unusable: list[str] = []
        try:
            shifts = self._compare(champion, opened)
        except BundleUnusableError as error:
            unusable.append(str(error))
        obstacles = [*find_obstacles(findings, shifts, self.slot), *unusable]
        return self._require_none(obstacles, new.reference)

    def _require_none(self, obstacles: list[str], bundle: "BundleReference") -> str | None:
        if not obstacles:
            if self.despite is not None:
                self._print("--despite was not needed: nothing stops this deployment, and the history does not have it")
            return None
        lines = [printable(f"  {obstacle}") for obstacle in obstacles]
        if self.despite is None:
            head = printable(f"{bundle.short} is not deployed:")
            advice = 'Nothing was changed. To deploy it nevertheless: --despite "why", which the history records'
            raise DeploymentError("\n".join([head, *lines, advice]))
        self._print("\n".join(["--despite overrides:", *lines]))
        return self.despite

    def _print_warnings(self, findings: "Sequence[Finding]", bundle: "BundleReference") -> None:
        warnings = [finding.where for finding in findings if finding.severity == "warning"]
        if warnings:
            count = f"{len(warnings)} warning{'s' * (len(warnings) != 1)}"
            command = f"scorer bundle lint {bundle.name}:{bundle.version}"
            self._print(printable(f"{count} of the review ({', '.join(dict.fromkeys(warnings))}): see {command}"))

    def _compare(self, champion: "BundleReference", new: "Bundle") -> "list[LabelShift]":
        """Compares the labels of the newest applications; if there are too few, prints those of the golden examples.

        Golden examples stop nothing: they are at the contract's limits, where good models differ. A model that differs
        from the champion by 10 points on applications can differ by 60 on them.

        Returns:
            The shifts on applications; none if they are not compared.

        Raises:
            BundleUnusableError: one of the bundles cannot score any application.
        """
        try:
            current = self.bundles.locate(champion).open()
        except BundleError as error:
            self._print(printable(f"the decisions are not compared with the champion's: {error}"))
            return []
        shifts, what = self._compare_applications((current, new))
        if shifts:
            self._print_shifts(shifts, champion, what)
            return shifts
        golden, why = _compare_golden((current, new)), what
        what = f"the {len(new.golden_values)} golden examples of this bundle"
        if golden:
            self._print(printable(f"golden examples, which are synthetic, are compared instead of applications: {why}"))
            self._print_shifts(golden, champion, what)
        else:
            self._print(printable(f"decisions are not compared: {why}; and the champion rejects {what}"))
        return []

    def _print_shifts(self, shifts: "list[LabelShift]", champion: "BundleReference", what: str) -> None:
        labels = ", ".join(map(str, shifts))
        self._print(printable(f"labels of {what}, by the champion {champion.short} → by this bundle: {labels}"))

    def _compare_applications(self, opened: "tuple[Bundle, Bundle]") -> "tuple[list[LabelShift], str]":
        """Compares the labels of the newest applications.

        Returns:
            The shifts, and what was compared; or no shifts, and why they are not compared.
        """
        from scorer.author.diff import compare_decisions
        from scorer.author.guard import COMPARED_MIN, count_shifts
        from scorer.operate.newest import read_newest
        from scorer.operate.reading import Skipped

        topic = self.settings.applications_topic
        batches = read_newest(self.settings, _SAMPLE, Skipped())
        try:
            newest = compare_decisions(batches, opened, self.settings.record_bytes_max, keep_flips=False)
        except (BrokerError, TopicsError) as error:
            return [], str(error)
        valid = newest.compared + newest.failed.total()
        if valid < COMPARED_MIN:
            count = f"{newest.compared:,} of the newest {newest.rows:,} applications of topic {topic}"
            return [], f"both bundles can decide {count}, and a comparison needs {COMPARED_MIN}"
        return count_shifts(newest.decided, newest.failed), f"the newest {valid:,} applications of topic {topic}"

    def _print(self, line: str) -> None:
        typer.echo(line, err=self.quiet)


def _compare_golden(opened: "tuple[Bundle, Bundle]") -> "list[LabelShift]":
    """Compares the labels of the second bundle's golden examples."""
    from scorer.author.diff import compare_decisions
    from scorer.author.guard import count_shifts
    from scorer.bundle.golden import EXAMPLE_BYTES_MAX

    records = [FileRecord("golden", line, value) for line, value in enumerate(opened[1].golden_values, 1)]
    return count_shifts(compare_decisions([records], opened, EXAMPLE_BYTES_MAX, keep_flips=False).decided)
