"""At which budget the order of tasks settles: a quarter of the suite's, half, all of it, four times as much.

    python -m benchmarks.budgets OUTPUT NAME …            these tasks; goes on where it was stopped
    python -m benchmarks.budgets OUTPUT NAME … --times 4  at these budgets alone

Each task is pretrained anew at each budget, with a schedule of that length, seed 0, and read by a linear
probe and a vote of neighbours on val of Tiny ImageNet and CIFAR-10; one that takes no step is read once. Test
is touched by nothing here. What is kept of a trial in benchmarks/results/budgets.json is which val images it
got right, so that the agreement of two orders has an interval over images: both orders come from the same
resampled ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

from benchmarks.agreement import accuracies, agreements, packed
from benchmarks.committed import RESULTS
from benchmarks.trials import BUDGET, NEIGHBOURS, asked, kept, length, read
from pretext.atomic import write_json
from pretext.encoder import load
from pretext.fit.monitor import Features, answers
from pretextbench import heap, schema
from pretextbench.configurations import CONF
from pretextbench.running import train

FILE = RESULTS / "budgets.json"
TIMES = (0.25, 0.5, 1.0)


def trial(name: str, times: float, output: Path) -> dict[str, Any]:
    """Pretrain a task at so many times the suite's budget; tell which val images its encoder gets right."""
    context, run = asked(name, output, length(name, output, times * BUDGET))
    result = train(context, run, None)
    encoder = load(run.folder)
    hits = {}
    for data in (context.data, context.target):
        for probe, right in right_ones(*read(encoder, data)).items():
            hits[f"{data.name} · {probe}"] = packed(right)
    return {"task": name, "times": times, "views": result.views, "flops": result.flops, "right": hits}


def right_ones(bank: Features, val: Features) -> dict[str, NDArray[np.bool_]]:
    """Which val images a linear probe and a vote of neighbours get right (N,), of one class an image."""
    assert bank.labels is not None
    assert val.labels is not None
    known = F.one_hot(bank.labels, int(max(bank.labels.max(), val.labels.max())) + 1).float()
    said = answers(val.vectors, bank.vectors, known, NEIGHBOURS)
    return {probe: (each.argmax(dim=1) == val.labels).numpy() for probe, each in said.items()}


def main() -> None:
    """Make what is missing of trials, and keep each as it is made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--times", nargs="+", type=float, default=list(TIMES))
    given = parser.parse_args()
    torch.manual_seed(0)
    heap.keep()  # as the commands do
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        for name in given.names:
            takes_no_step = compose("config", [f"pretext={name}"]).pretext.epochs == 0
            for times in [0.0] if takes_no_step else given.times:
                if (name, times) in {(one["task"], one["times"]) for one in kept(FILE)}:
                    continue
                made = trial(name, times, given.output)
                ordered = sorted([*kept(FILE), made], key=lambda one: (one["task"], one["times"]))
                write_json(FILE, {"trials": ordered})
                print(name, times, accuracies([made]), flush=True)
    for found in agreements(kept(FILE)):
        value, low, high = found.tau
        print(
            f"×{found.few:g} and ×{found.many:g}: τ {value:.2f} [{low:.2f}, {high:.2f}] of "
            f"{len(found.tasks)} tasks; {found.turned} of {found.apart} pairs turned round"
        )


if __name__ == "__main__":
    main()
