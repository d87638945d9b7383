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
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir

from benchmarks.committed import RESULTS
from benchmarks.steps import on_a_network
from pretext.atomic import write_json
from pretext.data.loader import EpochLoader
from pretext.encoder import Encoder, load
from pretext.fit import Pretrained
from pretext.fit.effort import passes, views
from pretext.fit.monitor import features, probes
from pretext.spacing import evenly_spaced
from pretextbench import runs, schema, trial
from pretextbench.configurations import CONF
from pretextbench.context import Context
from pretextbench.running import train
from pretextbench.runs import Run

FILE = RESULTS / "tuning.json"
RATES, DECAYS = (0.25, 1.0, 4.0), (1.0, 10.0)
QUARTER = 36_000
"""Views of a trial; the suite's rows saw four times as many."""
TAUGHT, NEIGHBOURS = 6000, 20
"""Images that the probes learn from, and neighbours that vote."""


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
    for setting in settings(name):
        more = []
        if setting.lr:
            epochs, batches = epochs_of(name, output)
            more += [f"trainer.epoch_batches={batches}", f"pretext.epochs={epochs}"]
            more += [f"pretext.optimizer.lr={setting.lr:.6g}"]
        if setting.weight_decay:
            more += [f"pretext.optimizer.weight_decay={setting.weight_decay:.6g}"]
        context, run = asked(name, output, more)
        result = train(context, run, None)
        took = {"views": result.views, "flops": result.flops}  # seconds hang on what runs beside
        read = {**scores(load(run.folder), context), "of chance": of_chance(result)}
        found.append({"task": name, **setting._asdict(), **took, **read})
        print(found[-1], flush=True)
    return found


def asked(name: str, output: Path, more: list[str]) -> tuple[Context, Run]:
    """A pretraining on the suite's images, on the smallest network that the task takes."""
    line = ["suite=tiny64/cifar10", *on_a_network(name), "trainer.epochs=1", "seed=0", f"output={output}"]
    cfg = compose("config", [*line, "logger.enabled=false", *more])
    context = Context(cfg)
    return context, runs.one(cfg, cfg.pretext, context.data, context.precision)


def epochs_of(name: str, output: Path) -> tuple[int, int]:
    """Epochs, and batches of each, in which a task sees about `QUARTER` views.

    What it passes before its epochs is not counted.
    """
    context, run = asked(name, output, [])
    task, size = runs.build_task(run), int(run.spec["budget"]["batch_size"])
    trial.prepare(task, context.data.train, size, context.device)
    images = next(iter(EpochLoader(context.data.train, size, shuffle=False)))
    with passes(task) as seen:
        task.loss(task.views(images, torch.Generator().manual_seed(0)))
    batches = max(1, round(QUARTER / views(seen, images.pixels)))
    epochs = math.ceil(batches / (len(context.data.train) // size))
    return epochs, round(batches / epochs)


def scores(encoder: Encoder, context: Context) -> dict[str, float]:
    """Accuracy in [0, 1] of both probes on the target's val."""
    train, val = context.target.train, context.target.val
    few = evenly_spaced(len(train), TAUGHT)
    taught = EpochLoader(train, 250, shuffle=False, drop_last=False, indices=few)
    asked_of = EpochLoader(val, 250, shuffle=False, drop_last=False)
    return probes(features(encoder, taught), features(encoder, asked_of), NEIGHBOURS)


def of_chance(result: Pretrained) -> float | None:
    """The loss on val as a share of what it is without learning, where the task has such."""
    loss, chance = (result.measures.get(f"val/{name}") for name in ("loss", "loss_chance"))
    return None if loss is None or not chance else loss / chance


def main() -> None:
    """Make trials, task by task, and keep each task's when all of them are there."""
    output, *names = sys.argv[1:]
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        every = sorted(path.stem for path in (CONF / "pretext").glob("*.yaml"))
        alone = [name for name in every if not compose("config", [f"pretext={name}"]).pretext.parent]
        for name in names or alone:
            made = trials(name, Path(output))
            kept = json.loads(FILE.read_text())["trials"] if FILE.is_file() else []
            kept = [one for one in kept if one["task"] != name] + made
            ordered = sorted(kept, key=lambda one: (one["task"], one["rate"], one["decay"]))
            write_json(FILE, {"rates": RATES, "decays": DECAYS, "trials": ordered})


if __name__ == "__main__":
    main()
