"""Published recipes, what they are to give and what they cost: writes docs/recipes.md.

    python -m benchmarks.recipes

What a recipe is, is read from the head of its YAML in conf/experiment; FLOPs are counted in steps of the
network and the task that it builds, on few images, and carried to its batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from benchmarks.measured import table
from benchmarks.steps import flops, stepping
from benchmarks.zhang16 import MACHINES, ROOT, Machine
from pretext.backbones.cost import parameter_count
from pretext.data.dataset import DataSet, Split
from pretext.fit.effort import passes, views
from pretext.task import Images
from pretextbench import runs, schema
from pretextbench.configurations import CONF
from pretextbench.runs import Run

PAGE = ROOT / "docs" / "recipes.md"
KEYS = ("Paper", "Constants", "Expected", "Differs")
TRAINED_ON = 50_000
"""Images of train of CIFAR-10 and of CIFAR-100."""
SIDE, CLASSES = 32, 10
SHOWN = ("V100, fp32", "A100, TF32", "two CPU cores")


class Recipe(NamedTuple):
    """The head of an experiment's YAML. about: its first line; said: what follows each of KEYS."""

    name: str
    about: str
    said: dict[str, str]


class Cost(NamedTuple):
    """What a run takes.

    images: in its steps. views: times that networks see each of them. parameters: of the encoder. flops: of
    all steps, forward, backward and optimiser, as torch's counter finds them.
    """

    images: int
    steps: int
    views: float
    parameters: int
    flops: int


def read(path: Path) -> Recipe | None:
    """What the head of a YAML says; None where it names no paper and nothing that is expected."""
    head = re.match(r"(?:#.*\n)+", path.read_text())
    lines = [line.removeprefix("#").strip() for line in (head[0] if head else "").splitlines()]
    about, *rest = [line for line in lines if not line.startswith("@package")]
    said: dict[str, str] = {}
    for line in rest:
        key, colon, text = line.partition(": ")
        if colon and key in KEYS:
            said[key] = text
        elif said:
            last = next(reversed(said))
            said[last] = f"{said[last]} {line}"
    return Recipe(path.stem, about, said) if "Paper" in said and "Expected" in said else None


def recipes() -> list[Recipe]:
    """Those of conf/experiment, by name."""
    found = [read(path) for path in sorted((CONF / "experiment").glob("*.yaml"))]
    return [each for each in found if each is not None]


def cost(name: str) -> Cost:
    """What a run of an experiment takes, by its configuration, its network and its task."""
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("config", [f"experiment={name}"])
        run = runs.one(cfg, cfg.pretext, stand_in(), "32-true")
    budget, batch = run.spec["budget"], run.spec["budget"]["batch_size"]
    least = 2 * int(run.spec["task"].get("splits") or 1)
    sizes = [least, 2 * least, 3 * least]
    counts = [count(run, size) for size in sizes]
    seen, work = (carried(sizes, [each[i] for each in counts], batch) for i in (0, 1))
    steps = budget["epochs"] * ((TRAINED_ON - cfg.data.val) // batch)
    parameters = parameter_count(runs.build_encoder(run))
    return Cost(steps * batch, steps, seen / batch, parameters, work * steps)


def stand_in() -> DataSet:
    """A few images of CIFAR's size, in CIFAR-10's number of classes."""
    draw, splits = np.random.default_rng(0), []
    for part in ("train", "val", "test"):
        pixels = draw.integers(0, 256, (CLASSES, SIDE, SIDE, 3), dtype=np.uint8)
        splits.append(Split(part, pixels, f"noise-{part}", np.arange(CLASSES)))
    return DataSet("noise", *splits, label_names=tuple(map(str, range(CLASSES))))


def count(run: Run, size: int) -> tuple[int, int]:
    """Images through networks, and flops, of one step on so many."""
    task, optimisation = runs.build_task(run).train(), runs.build_optimisation(run)
    assert optimisation is not None
    images = Images(torch.rand(size, 3, SIDE, SIDE), torch.arange(size), torch.arange(size) % CLASSES)
    step = stepping(task, optimisation, images)
    with passes(task) as seen:
        made = flops(step)
    return round(views(seen, images.pixels)), made


def carried(sizes: Sequence[int], counts: Sequence[int], size: int) -> int:
    """The value at `size` of the parabola through three counts: what is compared grows by the square."""
    total = Fraction(0)
    for i, own in enumerate(sizes):
        others = [other for j, other in enumerate(sizes) if j != i]
        total += counts[i] * Fraction(math.prod(size - o for o in others), math.prod(own - o for o in others))
    return int(total)


def page(costs: Mapping[str, Cost]) -> str:
    """The text of docs/recipes.md."""
    known = recipes()
    machines = [machine for machine in MACHINES if machine.name in SHOWN]
    head = ["`experiment=`", "views", "images", "GFLOP an image", "FLOP", *(m.name for m in machines)]
    rows = [row(each.name, costs[each.name], machines) for each in known]
    assumed = "\n".join(f"- {m.name}: {m.share:.0%} of {m.peak:g} TFLOP/s" for m in machines)
    sections = "\n".join(_section(each, costs[each.name]) for each in known)
    return f"""# Published recipes

Written by `python -m benchmarks.recipes` from `conf/experiment/` and the networks themselves. **Computed, not
run**: nobody has trained one of these here. What is expected is what others report, by their protocol; what
differs is said of each. `experiment=zhang16`, the colorization paper's, has [a page of its own](zhang16.md).

```sh
python run.py experiment=solo_simclr data.root=/where/cifar/is
python run.py experiment=solo_simclr data=cifar100 data.root=/where/cifar/is
python run.py experiment=lightly_simclr job=pretrain data.root=/where/cifar/is
```

The first two train the supervised twin as long as well, judge by the protocols that each names, and print the
table; `job=pretrain` stops behind the encoder.

{table(head, rows)}

views: times that networks, a teacher's among them, see an image. images: that a run takes, each as often as
there are epochs. FLOP: of all steps, forward, backward and heads, as torch's counter finds them in steps on
few images; twins and judging come on top. Times follow from throughput that is assumed, not known: the
maker's peak, and a guess at the share of it that such a network reaches. Networks for 32 pixels reach less of
a large device, and drawing views is not in it. Assumed:

{assumed}

## In colour

Rows of a suite see lightness, so that tasks differ in what they teach and not in what they see. Tasks that
are published with colour augmentation draw the same views either way; of what is done to hue and saturation,
lightness shows little. As a control, the same tasks see RGB:

```sh
python run.py -m experiment=rgb_control suite=tiny64
```

A table has these rows in sections of their own, headed `input rgb`, beside twins that see RGB too. Marks,
ranks and gains are within a section: no row of one is ranked among rows of the other.

{sections}"""


def row(name: str, own: Cost, machines: Sequence[Machine]) -> list[str]:
    """The line of the table that says what a recipe costs."""
    times = [_time(own.flops / (machine.peak * 1e12 * machine.share)) for machine in machines]
    an_image = own.flops / own.images / 1e9
    return [f"`{name}`", f"{own.views:g}", f"{own.images:,}", f"{an_image:.2f}", f"{own.flops:.3g}", *times]


def _section(recipe: Recipe, own: Cost) -> str:
    said = "\n".join(f"- **{key}:** {text}" for key, text in recipe.said.items())
    return f"""## `{recipe.name}`

{recipe.about} {own.steps:,} steps; an encoder of {own.parameters:,} parameters.

{said}
"""


def _time(seconds: float) -> str:
    hours = seconds / 3600
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 96 else f"{hours / 24:,.0f} days"


def main() -> None:
    """Count, and write the page."""
    costs = {}
    for recipe in recipes():
        costs[recipe.name] = cost(recipe.name)
        print(recipe.name, costs[recipe.name], flush=True)
    PAGE.write_text(page(costs))


if __name__ == "__main__":
    main()
