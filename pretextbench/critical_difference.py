"""Mean ranks over data sets on a line, with bars over what cannot be told apart (Demšar 2006, JMLR 7)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from downstream.leaderboard import Board
from downstream.leaderboard.captions import group_title
from downstream.leaderboard.friedman import MeanRanks, bars

STEP = 0.24
"""Inches from one name, or bar, to the next."""


class Diagram(NamedTuple):
    """The rows of a section with their mean ranks; labels in the order of `ranks.means`."""

    title: str
    labels: tuple[str, ...]
    ranks: MeanRanks


def diagrams(board: Board) -> list[Diagram]:
    """One a section that has data sets enough; none below."""
    return [
        Diagram(
            group_title(group, board.groups),
            tuple(row.label for row in group.rows if row.rank is not None),
            group.over_sets,
        )
        for group in board.groups
        if group.over_sets is not None
    ]


def picture(found: Sequence[Diagram]) -> bytes:
    """Draw diagrams below each other as PNG: the best rank to the left, half of the names on each side."""
    from matplotlib.figure import Figure  # a slow import, which a table of few data sets does not need

    depths = [len(each.labels) // 2 + 4 + len(bars(each.ranks)) for each in found]
    figure = Figure(figsize=(9, STEP * sum(depths) + 1.0 * len(found)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(found), 1, height_ratios=depths))
    for axes, each, depth in zip(panels, found, depths, strict=True):
        means, count = each.ranks.means.tolist(), len(each.labels)
        spans = bars(each.ranks)
        axes.set(xlim=(1 - 0.02 * count, 1.02 * count), ylim=(depth, -2.0), title=each.title)
        axes.title.set_fontsize("medium")
        axes.spines[["left", "right", "bottom"]].set_visible(False)
        axes.xaxis.tick_top()
        axes.set(yticks=[], xticks=range(1, count + 1))
        low = 1 + each.ranks.difference
        axes.plot([1, low], [-1.2, -1.2], color="black", marker="|", linewidth=1)
        axes.annotate(f" {each.ranks.difference:.2f}", (low, -1.2), va="center", fontsize="small")
        for place, (best, worst) in enumerate(spans):
            height = -0.2 + 0.7 * (place + 1)
            axes.plot([best, worst], [height, height], color="black", linewidth=3, solid_capstyle="butt")
        order = each.ranks.means.argsort(kind="stable").tolist()
        for place, i in enumerate(order):
            left = place < (count + 1) // 2
            at = len(spans) + 1.0 + (place if left else count - 1 - place)
            end = 1.0 if left else float(count)
            axes.plot([means[i], means[i], end], [-2.0, at, at], color="0.5", linewidth=0.7)
            axes.annotate(
                each.labels[i], (end, at), (-3 if left else 3, 0), textcoords="offset points", va="center",
                ha="right" if left else "left", fontsize="small", annotation_clip=False,
            )  # fmt: skip
    figure.suptitle("Mean ranks over data sets; bars: not told apart (Nemenyi, 5 %)", fontsize="medium")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
