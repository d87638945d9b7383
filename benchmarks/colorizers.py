"""How long each system takes for one photograph of 256 pixels, and how much memory; and one of 20 megapixels.

    python -m benchmarks.colorizers [NAME …]

Writes benchmarks/results/colorizers.json. Systems learn from Tiny ImageNet; tasks stand with the weights
that they start from, which cost what trained ones do. Each colours scikit-image's astronaut, in a process of
its own where it is no network, with all hints that it reads taken from the answer. The large photograph is
that one, enlarged: colours come from a small copy, lightness at full size. Of NAMEs only these are measured.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from datetime import UTC, datetime
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from skimage.data import astronaut
from torch import Tensor
from torch.nn import functional as F

from benchmarks.committed import RESULTS
from pretext.atomic import write_json
from pretext.color import lightness
from pretext.colorizers.contract import Hints
from pretext.colorizers.photograph import colour
from pretext.tasks.coloring import ColoringTask
from pretextbench import hints, runs, schema
from pretextbench.configurations import CONF
from pretextbench.context import Context
from pretextbench.league import beside
from pretextbench.league.entrants import Entrant, Ready, coloring_tasks, entrant
from pretextbench.league.workers import Question, answers, peak_mib

FILE = RESULTS / "colorizers.json"
SIDE, LARGE = 256, (3652, 5478)
DATA = "data=tiny_imagenet"


def photograph() -> Tensor:
    """RGB (1, 3, 256, 256) in [0, 1]."""
    whole = torch.from_numpy(astronaut().copy()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(whole, (SIDE, SIDE), mode="bilinear", antialias=True).clamp(0, 1)


def given(reads: frozenset[str], rgb: Tensor) -> tuple[Hints, ...]:
    """What a system reads, from the answer; of references two more of the scene, under other lights."""
    if not reads:
        return ()
    lights = [torch.tensor(light).view(3, 1, 1) for light in ((1, 0.8, 0.7), (0.7, 0.9, 1))]
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[60:200, 60:200] = True
    every: dict[str, Any] = {
        "references": (rgb[0], *(rgb[0] * light for light in lights)),
        "scribbles": beside.scribbles(rgb[0], 0),
        "label": 0,
        "mask": mask,
    }
    return (Hints(**{name: every[name] for name in reads}),)


def ready(context: Context, one: Entrant) -> Ready:
    """A system fitted; a task as it starts."""
    if one.run is None:
        return one.make()
    task = runs.build_task(one.run).eval()
    assert isinstance(task, ColoringTask)
    return Ready(task, here=True)


def measure(context: Context, name: str) -> dict[str, float]:
    """Seconds of fitting, and seconds and memory for the photograph."""
    one = entrant(context, name)
    begun = time.perf_counter()
    made = ready(context, one)
    fitted, rgb = time.perf_counter() - begun, photograph()
    question = Question(lightness(rgb), given(one.reads, rgb))
    (answer,) = answers(made.colorizer, [question], 0 if made.here else 1)
    if isinstance(answer.found[0], str):
        raise ValueError(f"{name}: {answer.found[0]}")
    found = {"seconds": round(answer.seconds, 3), "memory MiB": round(answer.memory)}
    return found if made.here else {"fit seconds": round(fitted, 1)} | found


def large(context: Context) -> dict[str, float]:
    """Seconds and memory of `job=colorize` for a photograph of 20 megapixels, by full colorization."""
    rgb = F.interpolate(photograph(), LARGE, mode="nearest")
    task = ready(context, entrant(context, "colorization")).colorizer
    begun = time.perf_counter()
    colour(task, rgb, 64)
    return {"seconds": round(time.perf_counter() - begun, 1), "memory MiB": round(peak_mib())}


def main() -> None:
    """Measure and write."""
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        context = Context(compose("config", [DATA, "trainer.device=cpu"]))
        names = sys.argv[1:] or [*coloring_tasks(), *hints.options("colorizer")]
        kept = json.loads(FILE.read_text())["systems"] if FILE.is_file() and sys.argv[1:] else {}
        for name in names:
            try:
                kept[name] = measure(context, name)
            except ValueError as error:  # a task of another network
                print(f"left out: {error}")
                continue
            print(name, kept[name], flush=True)
        report = {
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "systems": dict(sorted(kept.items())),
            "20 megapixels": large(context),
        }
    write_json(FILE, report)


if __name__ == "__main__":
    main()
