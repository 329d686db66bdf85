"""The diagram of the detection delay under load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def draw(picture: Path, found: Mapping[int, Mapping[str, float]]) -> None:
    """Draw the mean delay and its lower bound over the number of trainings.

    :param picture: file, whose extension sets the format.
    :param found: mean delay and lower bound by the number of trainings.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "akkio"  # reproducible IDs
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    counts = list(found)
    axes.loglog(counts, [found[count]["mean"] for count in counts], marker="o", label="this package")
    bound = [found[count]["bound"] for count in counts]
    axes.loglog(counts, bound, linestyle="--", marker=".", label="best possible at 5 requests per second")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("trainings in flight per account, without an estimate (mean duration 900 s)")
    axes.set_ylabel("mean detection delay in seconds")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)
