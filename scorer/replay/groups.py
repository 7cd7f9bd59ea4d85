"""Figures of groups of applications: by previous probability, by category, by bands of a number, and by period."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BANDS: Final = 10
_QUANTILES: Final = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of a group of applications."""

    applications: int
    flipped: int
    """Applications whose label changed."""
    stricter: int
    """Applications whose label became stricter."""
    shift_mean: float
    """Mean change of the probability of default, after minus before."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Distribution of the change of the probability of default, after minus before."""

    mean: float
    p05: float
    median: float
    p95: float
    largest: float
    """The largest absolute change."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Of n applications: whether the label changed, became stricter, and the change of the probability.

    Attributes:
        flipped, stricter: shape (n,).
        shifts: shape (n,); NaN where the application was not rescored.
    """

    flipped: NDArray[np.bool_]
    stricter: NDArray[np.bool_]
    shifts: NDArray[np.float64]

    def group(self, members: NDArray[np.bool_]) -> Group:
        """Returns the figures of some applications; `members` has shape (n,)."""
        shifts = self.shifts[members]
        shifts = shifts[~np.isnan(shifts)]
        return Group(
            int(members.sum()),
            int(self.flipped[members].sum()),
            int(self.stricter[members].sum()),
            float(shifts.mean()) if len(shifts) else 0.0,
        )

    def shift(self) -> Shift | None:
        """Returns the distribution of the changes; None if no application was rescored."""
        shifts = self.shifts[~np.isnan(self.shifts)]
        if not len(shifts):
            return None
        p05, median, p95 = np.quantile(shifts, (0.05, 0.5, 0.95)).tolist()
        return Shift(float(shifts.mean()), p05, median, p95, float(np.abs(shifts).max()))

    def by_probability(self, probabilities: NDArray[np.float32]) -> Iterator[tuple[str, Group]]:
        """Yields the groups by intervals of 0.1 of the previous probability, shape (n,)."""
        bands = np.minimum((probabilities * _BANDS).astype(np.intp), _BANDS - 1)
        for band in range(_BANDS):
            yield f"{band / _BANDS:.1f}–{(band + 1) / _BANDS:.1f}", self.group(bands == band)

    def by_band(self, numbers: NDArray[np.float32]) -> Iterator[tuple[str, Group]]:
        """Yields the groups by bands of a number, with about the same number of applications each.

        Args:
            numbers: shape (n,); applications with NaN belong to no band.
        """
        # Three significant digits, so that a band has limits that people can read.
        edges = sorted({float(f"{edge:.3g}") for edge in _quantiles(numbers)})
        yield from self._by_edges(numbers, edges, [f"{edge:,}".removesuffix(".0") for edge in edges], "over")

    def by_period(self, days: NDArray[np.float32]) -> Iterator[tuple[str, Group]]:
        """Yields the groups by periods of a date, with about the same number of applications each.

        Args:
            days: whole days since 1970-01-01, shape (n,); applications with NaN belong to no period.
        """
        edges = sorted({math.floor(edge) for edge in _quantiles(days)})
        yield from self._by_edges(days, edges, [str(np.datetime64(edge, "D")) for edge in edges], "after")

    def _by_edges(
        self, numbers: NDArray[np.float32], edges: Sequence[float], texts: Sequence[str], above: str
    ) -> Iterator[tuple[str, Group]]:
        """Yields the groups between edges, without empty ones, by the edges' texts; nothing without edges."""
        if not edges:
            return
        bands = np.searchsorted(np.array(edges, dtype=np.float32), numbers)
        between = (f"{above} {low} to {high}" for low, high in pairwise(texts))
        for band, name in enumerate((f"up to {texts[0]}", *between, f"{above} {texts[-1]}")):
            members = ~np.isnan(numbers) & (bands == band)
            if members.any():
                yield name, self.group(members)


def _quantiles(numbers: NDArray[np.float32]) -> list[float]:
    """The quantiles that separate the groups; none if no number is known."""
    known = numbers[~np.isnan(numbers)]
    edges: list[float] = np.quantile(known, _QUANTILES).tolist() if len(known) else []
    return edges
