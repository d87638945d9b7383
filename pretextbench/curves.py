"""How encoders came along while they were pretrained: what the monitor measured, against images seen."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MEASURES = {"val/linear": "linear probe", "val/knn": "kNN", "val/rankme": "RankMe"}
"""What is drawn, by its column in a history."""


class Curve(NamedTuple):
    """images: seen at each validation, rising. values: by measure, NaN where it was not taken."""

    images: list[float]
    values: Mapping[str, list[float]]


def read(folder: Path) -> Curve | None:
    """The validations of a finished run; None where it has none, or its files cannot be read."""
    try:
        rows, images = _history(folder)
        kept = [
            (row, x) for row, x in zip(rows, images, strict=True) if any(row.get(name) for name in MEASURES)
        ]
        values = {name: [float(row.get(name) or math.nan) for row, _ in kept] for name in MEASURES}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Curve([x for _, x in kept], values) if kept else None


def every(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """All that a finished run measured on train and val: (images seen, value), finite, by its column.

    Nothing where its files cannot be read.
    """
    try:
        rows, images = _history(folder)
        names = [name for name in (rows[0] if rows else ()) if name.startswith(("train/", "val/"))]
        points = {
            name: [(x, float(row[name])) for row, x in zip(rows, images, strict=True) if row[name]]
            for name in names
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    finite = {name: [(x, y) for x, y in own if math.isfinite(y)] for name, own in points.items()}
    return {name: own for name, own in finite.items() if own}


def _history(folder: Path) -> tuple[list[dict[str, str]], list[float]]:
    """The epochs of a finished run, and how many images it had seen by the end of each."""
    result = json.loads((folder / "result.json").read_bytes())
    with (folder / "history.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    each = result["images_seen"] / max(1, result["epochs"])
    return rows, [float(row["epoch"]) * each for row in rows]


def picture(curves: Sequence[tuple[str, Curve]]) -> bytes:
    """Draw curves, one panel a measure, as PNG: rows of one name share a colour; untrained ones are levels.

    Args:
        curves: of runs, each under the name of its row.
    """
    from matplotlib.figure import Figure  # a slow import, which a table without runs at hand does not need

    figure = Figure(figsize=(4 * len(MEASURES), 3.6), layout="constrained")
    panels = figure.subplots(1, len(MEASURES))
    colors = {name: f"C{i % 10}" for i, name in enumerate(dict.fromkeys(name for name, _ in curves))}
    for panel, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for name, curve in curves:
            if curve.images[-1] == 0:
                panel.axhline(curve.values[measure][-1], color=colors[name], linestyle=":")
            else:
                panel.plot(curve.images, curve.values[measure], color=colors[name], marker=".")
        panel.set_title(title)
        panel.set_xlabel("training images seen")
        panel.set_xlim(left=0)
    handles = [panels[0].plot([], [], color=color, label=name)[0] for name, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
    figure.suptitle("On val, while pretraining; dotted: no training", fontsize="medium")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
