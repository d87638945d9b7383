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
        result = json.loads((folder / "result.json").read_bytes())
        with (folder / "history.csv").open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if any(row.get(name) for name in MEASURES)]
        each = result["images_seen"] / max(1, result["epochs"])
        images = [float(row["epoch"]) * each for row in rows]
        values = {name: [float(row.get(name) or math.nan) for row in rows] for name in MEASURES}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Curve(images, values) if rows else None


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
