"""Scores against what pretraining took: two tasks of one budget in images may differ fivefold in work."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from downstream.judge.records import Record
from downstream.leaderboard import Board
from downstream.leaderboard.board import RowKey
from downstream.leaderboard.tables import row_of

LINE = 0.2
"""Inches from one name to the next."""


class Point(NamedTuple):
    """A ranked row: its mean share of the gap from random to supervised, and FLOPs, the mean over seeds."""

    label: str
    group: str
    gain: float
    flops: float


def points(board: Board, records: Sequence[Record]) -> list[Point]:
    """The rows of a board that have a mean gain, and whose pretraining took FLOPs that were counted."""
    flops: dict[RowKey, dict[int, int]] = defaultdict(dict)
    for record in records:
        effort = record.cost.pretraining
        if effort is not None and effort.flops and not record.subject.blind:
            flops[row_of(record.subject)][record.subject.seed] = effort.flops
    found = []
    for group in board.groups:
        name = f"{group.match.backbone}, {group.match.input}"
        for row in group.pretext:
            known = flops[row.key].values()
            if row.gain is not None and known:
                found.append(Point(row.label, name, row.gain, sum(known) / len(known)))
    return found


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights, moved up and then down from 1 until neighbours are `gap` apart, in their own order."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = list(heights)
    for below, i in zip([None, *order], order, strict=False):
        moved[i] = heights[i] if below is None else max(heights[i], moved[below] + gap)
    for above, i in zip([None, *reversed(order)], reversed(order), strict=False):
        moved[i] = min(moved[i], 1.0) if above is None else min(moved[i], moved[above] - gap)
    return moved


def picture(rows: Sequence[Point]) -> bytes:
    """Draw gains against FLOPs, a marker a group, as PNG; names stand beside, lines lead to them."""
    from matplotlib.figure import Figure  # a slow import, which a table without runs at hand does not need

    height = max(4.0, LINE * (len(rows) + 6))
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    markers = dict(zip(dict.fromkeys(row.group for row in rows), "osD^v<>PX*" * 10, strict=False))
    for group, marker in markers.items():
        own = [row for row in rows if row.group == group]
        axes.plot([r.flops for r in own], [100 * r.gain for r in own], marker, linestyle="", label=group)
    axes.margins(x=0.1, y=0.1)
    low, high = axes.get_ylim()
    heights = spread([(100 * row.gain - low) / (high - low) for row in rows], LINE / (height - 1))
    to_label = {"arrowstyle": "-", "color": "0.8", "linewidth": 0.6, "relpos": (0, 0.5)}
    for row, at in zip(rows, heights, strict=True):
        axes.annotate(
            row.label, (row.flops, 100 * row.gain), (1.02, at), textcoords="axes fraction", va="center",
            fontsize="small", arrowprops=to_label,
        )  # fmt: skip
    axes.set_xlabel("FLOPs of pretraining")
    axes.set_ylabel("% of the gap from random to supervised")
    figure.legend(loc="outside lower left", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
