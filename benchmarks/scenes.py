"""Speed of `scenes` and its contact sheet.

`python benchmarks/scenes.py` writes benchmarks/results/scenes.json; `--sheet` writes docs/scenes.png instead.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pretext.data.scenes import CLASSES, Colour, SceneBatch, generate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "scenes.json"
SHEET = ROOT / "docs" / "scenes.png"


def images_per_second(count: int, workers: int, size: int) -> float:
    """Wall-clock rate of one call, starting of processes included."""
    begin = time.perf_counter()
    generate(0, count, seed=0, size=size, workers=workers)
    return count / (time.perf_counter() - begin)


def measure(count: int, rounds: int, size: int = 64) -> dict[str, object]:
    """Rates with 1 and 2 workers, measured in turns; the best of each, as other work only slows."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, found in rates.items():
            found.append(images_per_second(count, workers, size))
    return {
        "what": "pretext.data.scenes.generate",
        "size_px": size,
        "images": count,
        "rounds": rounds,
        "images_per_second": {str(workers): round(max(found)) for workers, found in rates.items()},
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def write_json(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


# Drawing libraries are imported where they are used: spawned workers import this file and need none of them.


def class_colours() -> np.ndarray:
    """Colours for masks and boxes, (1 + C, 3) in [0, 1]; ground is dark."""
    from matplotlib import colormaps

    wheel = colormaps["tab20"](np.linspace(0, 1, len(CLASSES)))[:, :3]
    return np.concatenate([[[0.12, 0.12, 0.12]], wheel])


def draw_boxes(axes: Axes, batch: SceneBatch, image: int, colours: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    rows = slice(int(batch.box_offsets[image]), int(batch.box_offsets[image + 1]))
    for (x1, y1, x2, y2), label in zip(batch.boxes[rows], batch.box_labels[rows], strict=True):
        corner = (x1 - 0.5, y1 - 0.5)
        for colour, width in (("black", 2.6), (colours[1 + label], 1.5)):
            axes.add_patch(Rectangle(corner, x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def contact_sheet(path: Path = SHEET, columns: int = 8, size: int = 128, seed: int = 0) -> None:
    """A column a scene: as it is, its boxes, its mask, its lightness, and its colour controls."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch
    from skimage.color import rgb2lab

    views = {colour: generate(0, columns, seed=seed, size=size, colour=colour) for colour in Colour}
    own, colours = views[Colour.SEMANTIC], class_colours()
    small = generate(0, columns, seed=seed)
    rows: list[tuple[str, np.ndarray]] = [
        (f"{size} px", own.pixels),
        ("64 px, boxes", small.pixels),
        ("masks", colours[own.masks]),
        ("lightness", np.repeat(rgb2lab(own.pixels)[..., :1] / 100, 3, axis=-1)),
        ("object_random", views[Colour.OBJECT_RANDOM].pixels),
        ("image_permuted", views[Colour.IMAGE_PERMUTED].pixels),
    ]
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(1.25 * columns, 1.25 * len(rows) + 0.7), facecolor="white"
    )
    for line, (title, images) in zip(grid, rows, strict=True):
        line[0].set_ylabel(title, fontsize=9)
        for image, axes in enumerate(line):
            axes.imshow(images[image], interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if "boxes" in title:
                draw_boxes(axes, small, image, colours)
    handles = [
        Patch(color=colour, label=name.replace("_", " "))
        for name, colour in zip(CLASSES, colours[1:], strict=True)
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=(len(CLASSES) + 1) // 2, fontsize=8, frameon=False
    )
    figure.subplots_adjust(
        left=0.03, right=0.997, top=0.995, bottom=0.6 / (1.25 * len(rows) + 0.7), wspace=0.04, hspace=0.04
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=96)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sheet", action="store_true", help=f"draw {SHEET.relative_to(ROOT)} and stop")
    parser.add_argument("--count", type=int, default=4096, help="images a call")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.sheet:
        contact_sheet()
        return
    found = measure(arguments.count, arguments.rounds)
    write_json(RESULTS, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
