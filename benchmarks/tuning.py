"""How much each task's learning rate and decay matter: the same few trials for every task, read on val.

    python -m benchmarks.tuning OUTPUT NAME …      trials of these tasks; goes on where it was stopped
    python -m benchmarks.tuning OUTPUT             of all tasks but those that start from another

The rate and the decay that the task's YAML states are multiplied by each of RATES and DECAYS. A trial is a
pretraining on Tiny ImageNet at a quarter of the views of `suite=tiny64`, seed 0, its encoder read by a linear
probe and a vote of neighbours on CIFAR-10's val: the images that `suite=tiny64/cifar10` selects on. Test is
touched by nothing here. Every trial is kept in benchmarks/results/tuning.json. The gap between two tasks is
to be read against the gap between two recipes of one of them.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir

from benchmarks.committed import RESULTS
from benchmarks.trials import BUDGET, NEIGHBOURS, asked, kept, length, read
from pretext.atomic import write_json
from pretext.encoder import load
from pretext.fit import Pretrained
from pretext.fit.monitor import probes
from pretextbench import heap, schema
from pretextbench.configurations import CONF
from pretextbench.running import train

FILE = RESULTS / "tuning.json"
RATES, DECAYS = (0.25, 1.0, 4.0), (1.0, 10.0)


class Setting(NamedTuple):
    """Factors of what a task's YAML states, and what they come to; decay is 0 where it states none."""

    rate: float
    decay: float
    lr: float
    weight_decay: float


def settings(name: str) -> list[Setting]:
    """What a task is tried with; one empty setting for a task that takes no step."""
    stated = compose("config", [f"pretext={name}"]).pretext.optimizer
    lr, weight_decay = stated.get("lr") or 0.0, stated.get("weight_decay") or 0.0
    factors = sorted(
        itertools.product(RATES, DECAYS), key=lambda pair: pair != (1, 1)
    )  # as stated comes first
    every = [Setting(rate, decay, rate * lr, decay * weight_decay) for rate, decay in factors]
    return list({(one.lr, one.weight_decay): one for one in reversed(every)}.values())[::-1]


def trials(name: str, output: Path) -> list[dict[str, Any]]:
    """Make all trials of a task, and return what is kept of them."""
    found = []
    budget = length(name, output, BUDGET / 4)
    for setting in settings(name):
        more = [*budget]
        if setting.lr:
            more += [f"pretext.optimizer.lr={setting.lr:.6g}"]
        if setting.weight_decay:
            more += [f"pretext.optimizer.weight_decay={setting.weight_decay:.6g}"]
        context, run = asked(name, output, more)
        result = train(context, run, None)
        took = {"views": result.views, "flops": result.flops}  # seconds hang on what runs beside
        scores = probes(*read(load(run.folder), context.target), NEIGHBOURS)
        found.append({"task": name, **setting._asdict(), **took, **scores, "of chance": of_chance(result)})
        print(found[-1], flush=True)
    return found


def of_chance(result: Pretrained) -> float | None:
    """The loss on val as a share of what it is without learning, where the task has such."""
    loss, chance = (result.measures.get(f"val/{name}") for name in ("loss", "loss_chance"))
    return None if loss is None or not chance else loss / chance


def main() -> None:
    """Make trials, task by task, and keep each task's when all of them are there."""
    output, *names = sys.argv[1:]
    heap.keep()  # as the commands do
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        every = sorted(path.stem for path in (CONF / "pretext").glob("*.yaml"))
        alone = [name for name in every if not compose("config", [f"pretext={name}"]).pretext.parent]
        for name in names or alone:
            made = trials(name, Path(output))
            every_one = [one for one in kept(FILE) if one["task"] != name] + made
            ordered = sorted(every_one, key=lambda one: (one["task"], one["rate"], one["decay"]))
            write_json(FILE, {"rates": RATES, "decays": DECAYS, "trials": ordered})


if __name__ == "__main__":
    main()
