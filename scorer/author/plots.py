"""Plots the metrics of a trained model."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorer.author.train import Trained
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAID, _DEFAULTED, _GUIDE = "#2c7fb8", "#d95f0e", "#888888"


def draw_figures(trained: Trained, folder: Path) -> None:
    """Writes `roc.png`, `calibration.png` and `probabilities.png`; existing files are overwritten.

    Args:
        trained: the trained model.
        folder: the output folder; it is created if it does not exist.

    Raises:
        MisuseError: the folder cannot be written.
    """
    from matplotlib.figure import Figure

    drawers: dict[str, Callable[[Axes, Trained], None]] = {
        "roc": _draw_roc,
        "calibration": _draw_calibration,
        "probabilities": _draw_probabilities,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawers.items():
            figure = Figure(figsize=(6, 5), layout="constrained")  # no pyplot: no global state, no display
            draw(figure.add_subplot(), trained)
            figure.savefig(folder / f"{name}.png", dpi=120)
    except OSError as error:
        raise MisuseError(f"--plots {folder}: cannot be written: {error.strerror}") from error


def _draw_roc(axes: "Axes", trained: Trained) -> None:
    from sklearn.metrics import roc_curve

    false_positive_rate, true_positive_rate, _ = roc_curve(trained.holdout_defaulted, trained.holdout_probabilities)
    axes.plot([0, 1], [0, 1], color=_GUIDE, linestyle=":", label="chance")
    axes.plot(false_positive_rate, true_positive_rate, color=_DEFAULTED, label=f"AUC {trained.metrics.holdout.auc:.4f}")
    axes.set(
        title=_title(trained, "ROC"), xlabel="false positive rate", ylabel="true positive rate (defaults detected)"
    )
    axes.legend(loc="lower right")


def _draw_calibration(axes: "Axes", trained: Trained) -> None:
    points = [
        (bin_.predicted_mean, bin_.observed_share, bin_.rows)
        for bin_ in trained.metrics.calibration.bins
        if bin_.predicted_mean is not None and bin_.observed_share is not None
    ]
    axes.plot([0, 1], [0, 1], color=_GUIDE, linestyle=":", label="predicted = observed")
    axes.plot(
        [x for x, _, _ in points], [y for _, y, _ in points], color=_DEFAULTED, marker="o", label="bins of width 0.1"
    )
    for x, y, rows in points:
        axes.annotate(f"{rows}", (x, y), textcoords="offset points", xytext=(6, -12))
    axes.set(
        title=_title(trained, "calibration"),
        xlabel="mean prediction (with the number of rows)",
        ylabel="share that defaulted",
    )
    axes.legend(loc="upper left")


def _draw_probabilities(axes: "Axes", trained: Trained) -> None:
    edges = np.linspace(0, 1, 41).tolist()
    for name, outcome, colour in (("paid", 0, _PAID), ("defaulted", 1, _DEFAULTED)):
        chosen = trained.holdout_probabilities[trained.holdout_defaulted == outcome]
        axes.hist(chosen, bins=edges, color=colour, alpha=0.6, label=f"{name} ({len(chosen)})")
    for name, threshold in (
        ("MAYBE", trained.draft.policy.maybe_above),
        ("DECLINED", trained.draft.policy.declined_above),
    ):
        axes.axvline(threshold, color=_GUIDE, linestyle="--")
        axes.annotate(f" {name}", (threshold, 0.97), xycoords=("data", "axes fraction"), va="top")
    axes.set(title=_title(trained, "held-out rows"), xlabel="probability of default", ylabel="rows")
    axes.legend(loc="upper right")


def _title(trained: Trained, what: str) -> str:
    return f"{trained.draft.name}:{trained.draft.version}, {what}"
