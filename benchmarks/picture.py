"""The picture of the delay under load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def draw(picture: Path, found: Mapping[int, Mapping[str, float]]) -> None:
    """Draw the mean delay over the trainings in flight, and the best possible one.

    :param picture: the file, whose ending tells the format.
    :param found: the delay and its bound by the number of trainings.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "akkio"  # the same numbers give the same file
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    counts = list(found)
    axes.loglog(counts, [found[count]["mean"] for count in counts], marker="o", label="this package")
    bound = [found[count]["bound"] for count in counts]
    axes.loglog(counts, bound, linestyle="--", marker=".", label="best possible at 5 requests per second")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("trainings in flight on one account, of which nothing is known (mean length 900 s)")
    axes.set_ylabel("mean seconds from end to event")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)
