"""How well do the colorizers colour? AuC and balanced AuC on test, beside gray and borrowed colours.

    python -m benchmarks.colour_quality OUTPUT [DATA]

Colours the test images of DATA (tiny_imagenet) with every finished colouring run of OUTPUT that was
pretrained on it, seed by seed; beside them gray, and the colours of a training image drawn at random. Nothing
is chosen here: test is looked at once for each run. Writes benchmarks/results/colour_quality.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from downstream.features.extraction import batches, load_images
from downstream.judge.provenance import provenance
from downstream.metrics.bootstrap import resamples
from pretext.atomic import write_json
from pretext.color import cached_prior, color_errors, lightness, rgb_to_lab
from pretext.color.quality import MAX_ERROR
from pretext.data.dataset import DataSet, Split
from pretext.fit import load_task
from pretext.fit.result import Pretrained
from pretext.tasks.coloring import ColoringTask

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "colour_quality.json"
STRIDE, DRAWS = 4, 1000
GRAY, BORROWED = "gray", "colours of a random image"
PAIRS = (
    ("colorization", "colorization_class"),
    ("colorization", GRAY),
    ("colorization", "colorization_l2"),
    (GRAY, BORROWED),
)

Painter = Callable[[slice, Tensor], Tensor]
"""Maps the rows and pixels (B, 3, H, W) of a batch to ab (B, 2, H, W)."""


@dataclass(frozen=True)
class Areas:
    """Both AuCs as sums over images, of every seed of a row: (seeds, images, 4)."""

    sums: NDArray[np.float64]

    def of(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Plain and balanced AuC in percent of these images, by seed: (seeds, 2)."""
        error, weight, balanced_error, balanced_weight = self.sums[:, index].sum(1).T
        shares = np.stack([error / weight, balanced_error / balanced_weight], 1)
        return np.asarray(100 * (1 - shares / MAX_ERROR))


def gray(rows: slice, pixels: Tensor) -> Tensor:
    """No colour."""
    return torch.zeros_like(pixels[:, :2])


def borrowed(train: Split, count: int) -> Painter:
    """The colours of one training image drawn for each test image."""
    lenders = np.random.default_rng(0).integers(0, len(train), count)

    def paint(rows: slice, pixels: Tensor) -> Tensor:
        return rgb_to_lab(load_images(train, lenders[rows], pixels.device))[:, 1:]

    return paint


def painted(task: ColoringTask) -> Painter:
    """What a trained task makes of the lightness."""
    return lambda rows, pixels: task.colorize(lightness(pixels))


@torch.no_grad()
def measure(painter: Painter, test: Split, weights: Tensor) -> NDArray[np.float64]:
    """Error and weight, plain and balanced, of each image: (N, 4)."""
    parts = []
    for rows, pixels in batches(test, torch.device("cpu")):
        truth = rgb_to_lab(pixels)[:, 1:]
        parts.append(torch.stack(color_errors(painter(rows, pixels), truth, weights), 1))
    return torch.cat(parts).double().numpy()


def runs(output: Path, data: DataSet) -> Iterator[tuple[str, int, ColoringTask]]:
    """Name, seed and task of the finished colouring runs that were pretrained on this data."""
    for folder in sorted((output / "runs").iterdir()):
        done = Pretrained.read(folder)
        if done is None or done.identity["train"] != data.train.digest:
            continue
        task = load_task(folder)
        if isinstance(task, ColoringTask):
            yield str(done.identity["name"]), int(done.identity["seed"]), task


def bin_weights(train: Split, cache: Path) -> Tensor:
    """Weights (313,) that make all bins of the training colours count alike."""
    pixels = (images for _, images in batches(train, torch.device("cpu")))
    return cached_prior(cache, train.digest, pixels, stride=STRIDE).weights(0)


def summary(rows: dict[str, Areas], seeds: dict[str, list[int]], test: Split) -> dict[str, Any]:
    """Means over seeds with 95 % intervals over test images, and the paired differences."""
    index = resamples(test.digest, len(test), DRAWS)
    whole = np.arange(len(test))
    drawn = {name: np.stack([areas.of(i).mean(0) for i in index]) for name, areas in rows.items()}  # (D, 2)
    scores = [
        {
            "name": name,
            "seeds": seeds[name],
            "auc": [round(float(v), 3) for v in areas.of(whole)[:, 0]],
            "auc_balanced": [round(float(v), 3) for v in areas.of(whole)[:, 1]],
            "interval": _interval(drawn[name]),
        }
        for name, areas in rows.items()
    ]
    pairs = [
        {
            "pair": [first, second],
            "difference": [
                round(float(v), 3) for v in rows[first].of(whole).mean(0) - rows[second].of(whole).mean(0)
            ],
            "interval": _interval(drawn[first] - drawn[second]),
        }
        for first, second in PAIRS
        if first in rows and second in rows
    ]
    return {"images": len(test), "rows": scores, "pairs": pairs}


def _interval(values: NDArray[np.float64]) -> dict[str, list[float]]:
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    return {
        name: [round(float(low[k]), 3), round(float(high[k]), 3)]
        for k, name in enumerate(("auc", "auc_balanced"))
    }


def main() -> None:
    """Measure every row and write the result."""
    output, name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "tiny_imagenet"
    config = OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")
    data: DataSet = instantiate(config, cache=str(output / "cache" / "data"), _convert_="all")
    weights = bin_weights(data.train, output / "cache" / "pretext")
    found: dict[str, list[NDArray[np.float64]]] = {}
    seeds: dict[str, list[int]] = {}
    for row, seed, painter in (
        (GRAY, 0, gray),
        (BORROWED, 0, borrowed(data.train, len(data.test))),
        *((row, seed, painted(task)) for row, seed, task in runs(output, data)),
    ):
        found.setdefault(row, []).append(measure(painter, data.test, weights))
        seeds.setdefault(row, []).append(seed)
        print(row, seed, Areas(found[row][-1][None]).of(np.arange(len(data.test)))[0].round(2), flush=True)
    areas = {row: Areas(np.stack(parts)) for row, parts in found.items()}
    made = provenance({}, "")
    about = {"commit": made.commit, "dirty": made.dirty, "versions": made.versions, "utc": made.utc}
    write_json(RESULT, {"data": data.name, **summary(areas, seeds, data.test), **about})


if __name__ == "__main__":
    main()
