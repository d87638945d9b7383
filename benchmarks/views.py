"""What an epoch of a two-view task costs beside the same steps on views that are made image by image.

    python -m benchmarks.views [NAME …]

Writes benchmarks/results/views.json. Here views are drawn for a whole batch at once, in the process that
trains. Public suites make them with torchvision's transforms of single pictures, in workers beside training:
`per image` does so with the task's own strengths (as solo-learn, arXiv:2108.01775), `lightly` with that
library's transforms, where it is installed. Loss, networks, optimiser and images are the same, and so is the
number of cores. Epochs take turns, so that what else the machine does falls on all alike; the ratio is the
median over rounds of theirs by ours.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.committed import RESULTS
from benchmarks.steps import seconds
from pretext.atomic import write_json
from pretext.data.loader import EpochLoader
from pretext.task import Progress
from pretextbench import heap, runs, schema
from pretextbench.configurations import CONF
from pretextbench.context import Context

FILE = RESULTS / "views.json"
TASKS = ("simclr", "byol", "barlow_twins", "vicreg")
WANTED = 1.1
SIDE, IMAGES, WORKERS, ROUNDS = 64, 1024, 2, 5
View = Callable[[Image.Image], Tensor]


class Pictures(Dataset[list[Tensor]]):
    """Two views of each picture, one picture at a time."""

    def __init__(self, pixels: NDArray[np.uint8], one: View, two: View) -> None:
        self._pictures = [Image.fromarray(picture) for picture in pixels]
        self._views = (one, two)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> list[Tensor]:
        return [view(self._pictures[index]) for view in self._views]


def per_image(strengths: dict[str, Any]) -> list[View]:
    """Both views by torchvision's transforms, of the strengths that a task's YAML states."""
    jitter = strengths.get("jitter") or [strengths["strength"] * each for each in (0.8, 0.8, 0.8, 0.2)]
    bicubic = transforms.InterpolationMode.BICUBIC

    def view(solarise: float) -> View:
        steps = [
            transforms.RandomResizedCrop(SIDE, scale=tuple(strengths["area"]), interpolation=bicubic),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(*jitter)], p=0.8),
            transforms.RandomGrayscale(strengths["gray"]),
            *([transforms.RandomSolarize(128, solarise)] if solarise else []),
            transforms.ToTensor(),
        ]
        made: View = transforms.Compose(steps)
        return made

    return [view(share) for share in strengths.get("solarise", (0.0, 0.0))]


def of_lightly(name: str, strengths: dict[str, Any]) -> list[View]:
    """Both views by lightly's transforms, of the same strengths."""
    from lightly.transforms import byol_transform, simclr_transform, vicreg_transform

    plain = {"input_size": SIDE, "min_scale": strengths["area"][0], "gaussian_blur": 0.0, "normalize": None}
    if name == "simclr":
        one = simclr_transform.SimCLRViewTransform(**plain, cj_strength=strengths["strength"])
        return [one, one]
    brightness, contrast, saturation, hue = strengths["jitter"]
    jitter = {
        "cj_strength": 1.0,
        "cj_bright": brightness,
        "cj_contrast": contrast,
        "cj_sat": saturation,
        "cj_hue": hue,
    }
    first, second = strengths["solarise"]
    if name == "vicreg":
        one = vicreg_transform.VICRegViewTransform(**plain, **jitter, solarize_prob=first)
        return [one, one]
    return [
        byol_transform.BYOLView1Transform(**plain, **jitter, solarization_prob=first),
        byol_transform.BYOLView2Transform(**plain, **jitter, solarization_prob=second),
    ]


def measure(name: str) -> dict[str, Any]:
    """Images a second of each way, and the ratios."""
    words = [f"pretext={name}", f"data.train={IMAGES}", "data.val=64", "data.test=64", f"data.size={SIDE}"]
    cfg = compose("config", words)
    context = Context(cfg)
    run = runs.one(cfg, cfg.pretext, context.data, "32-true")
    torch.manual_seed(0)
    task, optimisation = runs.build_task(run).train(), runs.build_optimisation(run)
    assert optimisation is not None
    optimizer, generator = optimisation.optimizer(task.param_groups()), torch.Generator().manual_seed(0)
    size = int(run.spec["budget"]["batch_size"])
    loaded = EpochLoader(context.data.train, size, shuffle=True, drop_last=True)
    pixels = np.asarray(context.data.train.pixels[np.arange(IMAGES)])
    strengths = runs.plain(cfg.pretext.task)
    like = task.views(next(iter(loaded)), generator)
    ways: dict[str, Callable[[], Iterable[Any]]] = {
        "here": lambda: (task.views(images, generator) for images in loaded)
    }
    rivals = {"per image": per_image(strengths)}
    try:
        rivals["lightly"] = of_lightly(name, strengths)
    except ImportError:
        print("lightly is not installed, and is left out")
    for rival, pair in rivals.items():
        loader: DataLoader[list[Tensor]] = DataLoader(
            Pictures(pixels, *pair), size, shuffle=True, drop_last=True, num_workers=WORKERS,
            persistent_workers=True,
        )  # fmt: skip
        ways[rival] = functools.partial(_pairs, loader, like)

    def epoch(batches: Callable[[], Iterable[Any]]) -> Callable[[], None]:
        def whole() -> None:
            for batch in batches():
                optimizer.zero_grad()
                torch.autograd.backward(task.loss(batch).loss)
                task.before_step(Progress(1, 100, 0.5))
                optimizer.step()
                task.after_step(Progress(1, 100, 0.5))

        return whole

    epochs = {way: epoch(batches) for way, batches in ways.items()}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):  # the first is not counted: workers start
        for way, whole in epochs.items():
            taken[way].append(seconds(whole))
    seen = size * (IMAGES // size)
    ratios = {
        way: statistics.median(
            own / here for own, here in zip(taken[way][1:], taken["here"][1:], strict=True)
        )
        for way in rivals
    }
    return {
        "batch": size,
        "images/s": {way: round(seen / statistics.median(each[1:]), 1) for way, each in taken.items()},
        "times as fast as": {way: round(ratio, 3) for way, ratio in ratios.items()},
    }


def _pairs(loader: DataLoader[list[Tensor]], like: Any) -> Iterator[Any]:
    """Both views of each batch, laid out as the task's own."""
    for views in loader:
        yield like._replace(pixels=torch.stack(list(views)).reshape(like.pixels.shape))


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=TASKS)
    names = parser.parse_args().names
    heap.keep()  # as the commands do
    schema.register()
    begun = time.perf_counter()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        found = {name: measure(name) for name in names}
    report = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "wanted": WANTED,
        "tasks": found,
    }
    write_json(FILE, report)
    print(json.dumps(found, indent=1), f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
