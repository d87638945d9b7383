"""The VOC07 SVM grid, classes × C × folds at once, beside a loop over scikit-learn's LinearSVC.

Run ``python -m benchmarks.svm --encoder ENCODER``, where ENCODER is a saved encoder (without one a random
network is taken, whose features are easier to solve); writes benchmarks/results/svm.json. Scenes are encoded,
pooled and scaled as `goyal19_voc07_svm` does. The loop would take hours, so it solves every C for some pairs
of class and fold, evenly spaced among all, and its seconds are multiplied by how many times more pairs there
are. A loop can use further cores as well as a matrix product can: CPU seconds are what is compared. Limits:
ours at least 10 times faster; objectives at most 2e-4 above the loop's, relative; average precision on the
fold held out within 3e-3, where the loop converged.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor

from downstream.classification.goyal19_svm import stratified_folds
from downstream.classification.one_vs_rest import GOYAL19_COSTS, signs_of, unit_rows
from downstream.classification.voc_ap import average_precisions
from downstream.features.extraction import load_images
from downstream.features.pooling import WindowPool
from downstream.heads.svm import Coordinates, SquaredHinge, with_bias
from pretext import load
from pretext.backbones import SmallNet
from pretext.data.dataset import Split
from pretext.data.embedded import scenes
from pretext.encoder import Encoder
from pretext.inputs import RGB

RESULTS = Path(__file__).parent / "results" / "svm.json"
CPU = torch.device("cpu")
FOLDS = 3
LIMITS = {"times faster": 10.0, "objective": 2e-4, "average precision": 3e-3}


class Task(NamedTuple):
    """One class and fold: 1, −1 and 0 (held out) by image, and the class's presence."""

    signs: NDArray[np.int8]
    positive: NDArray[np.bool_]


class Seconds(NamedTuple):
    """CPU and wall seconds."""

    cpu: float
    wall: float


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self) -> Seconds:
        """CPU and wall seconds until now."""
        return Seconds(time.process_time() - self.cpu, time.perf_counter() - self.wall)


class Solution(NamedTuple):
    """Of one task and C: the objective, and the average precision on the fold held out."""

    objective: float
    precision: float
    converged: bool


def random_encoder(split: Split) -> Encoder:
    """A SmallNet with random weights and these images' BatchNorm statistics."""
    torch.manual_seed(0)
    encoder = Encoder(RGB(), SmallNet(3))
    encoder.train()(load_images(split, slice(0, 256), CPU))
    return encoder.eval()


@torch.no_grad()
def features(split: Split, encoder: Encoder, dimension: int, stage: str) -> tuple[Tensor, NDArray[Any]]:
    """Unit rows (N, D) and labels (N, C) of a split."""
    pool = WindowPool(dimension)
    rows = [
        pool(encoder(load_images(split, slice(i, i + 250), CPU)).maps[stage], torch.arange(1)).numpy()
        for i in range(0, len(split), 250)
    ]
    return unit_rows(np.concatenate(rows), CPU), np.asarray(split.labels)


def tasks_of(labels: NDArray[Any]) -> list[Task]:
    signs = signs_of(labels, labels.shape[1])
    fold = stratified_folds(signs, FOLDS, "the benchmark")
    return [
        Task(np.where(fold[:, c] == k, 0, signs[:, c].numpy()).astype(np.int8), signs[:, c].numpy() > 0)
        for c in range(labels.shape[1])
        for k in range(FOLDS)
    ]


def objective(x: Tensor, task: Task, w: Tensor, cost: float) -> float:
    """In float64, of features with bias (N, D + 1)."""
    y = torch.from_numpy(task.signs).double()
    slack = (1 - y * (x @ w.double())).clamp(min=0).square()
    return float(0.5 * w.double().square().sum() + cost * ((1 + (y > 0)) * y.abs() * slack).sum())


def batched(
    rows: Tensor, tasks: list[Task], kept: list[int]
) -> tuple[dict[str, Seconds], list[list[Solution]]]:
    """All tasks and C; solutions of the tasks `kept`, by C."""
    clock = Clock()
    coordinates = Coordinates.of(rows)
    seconds = {"coordinates": clock.read()}
    signs = torch.from_numpy(np.stack([task.signs for task in tasks], 1))
    positive = np.stack([task.positive for task in tasks], 1)
    number = torch.arange(len(tasks)).repeat_interleave(len(GOYAL19_COSTS))
    costs = torch.tensor(GOYAL19_COSTS).repeat(len(tasks))
    precision, weights = np.empty(len(number)), torch.empty(len(coordinates.spectrum), len(number))
    for part in SquaredHinge().solve(coordinates, signs, number, costs):
        own = number[part.problems].numpy()
        precision[part.problems] = average_precisions(
            part.scores.numpy(), positive[:, own], (signs.numpy() == 0)[:, own]
        )
        weights[:, part.problems] = part.weights
    seconds["all"] = clock.read()
    x, found = with_bias(rows).double(), []
    for t in kept:
        columns = range(t * len(GOYAL19_COSTS), (t + 1) * len(GOYAL19_COSTS))
        w = coordinates.axes @ weights[:, columns.start : columns.stop]
        found.append(
            [
                Solution(objective(x, tasks[t], w[:, i], cost), float(precision[p]), True)
                for i, (p, cost) in enumerate(zip(columns, GOYAL19_COSTS, strict=True))
            ]
        )
    return seconds, found


def loop(rows: Tensor, tasks: list[Task], kept: list[int]) -> tuple[Seconds, list[list[Solution]]]:
    """LinearSVC, one problem after the other, with the settings that were published."""
    x, exact = rows.double().numpy(), with_bias(rows).double()
    total, found = Seconds(0.0, 0.0), []
    for t in kept:
        signs, solutions = tasks[t].signs, []
        train, held = x[signs != 0], x[signs == 0]
        for cost in GOYAL19_COSTS:
            model = LinearSVC(
                C=cost, class_weight={1: 2, -1: 1}, tol=1e-4, dual=True, max_iter=2000, random_state=0
            )
            clock = Clock()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                model.fit(train, signs[signs != 0])
            scores = model.decision_function(held)[:, None]
            everyone = np.ones(scores.shape, np.bool_)
            precision = average_precisions(scores, tasks[t].positive[signs == 0, None], everyone)
            took = clock.read()
            total = Seconds(total.cpu + took.cpu, total.wall + took.wall)
            w = torch.from_numpy(np.append(model.coef_[0], model.intercept_))
            solutions.append(Solution(objective(exact, tasks[t], w, cost), float(precision[0]), not caught))
        found.append(solutions)
    return total, found


def by_cost(ours: list[list[Solution]], theirs: list[list[Solution]]) -> list[dict[str, Any]]:
    """Per C the largest differences, in the order of C."""
    rows = []
    for i in np.argsort(GOYAL19_COSTS):
        pairs = [(a[i], b[i]) for a, b in zip(ours, theirs, strict=True)]
        rows.append(
            {
                "C": GOYAL19_COSTS[i],
                "objective, largest relative excess": max(a.objective / b.objective - 1 for a, b in pairs),
                "average precision, largest difference": max(
                    abs(a.precision - b.precision) for a, b in pairs
                ),
                "loop converged": all(b.converged for _, b in pairs),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", help="a saved encoder; a random one without it")
    parser.add_argument("--images", type=int, default=5011, help="as many as VOC 2007's trainval has")
    parser.add_argument(
        "--dimension", type=int, default=9600, help="numbers that a stage is pooled to at most"
    )
    parser.add_argument("--stage", default="conv3")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of class and fold that the loop solves")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default=tempfile.gettempdir(), help="folder of generated scenes")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    split = scenes(arguments.cache, arguments.images, 2, 2).train
    encoder = load(arguments.encoder).eval() if arguments.encoder else random_encoder(split)
    rows, labels = features(split, encoder, arguments.dimension, arguments.stage)
    tasks = tasks_of(labels)
    kept = np.linspace(0, len(tasks) - 1, arguments.pairs).astype(int).tolist()
    seconds, ours = batched(rows, tasks, kept)
    part, theirs = loop(rows, tasks, kept)
    whole = Seconds(*(value * len(tasks) / len(kept) for value in part))
    report = {
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "threads": arguments.threads,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "sizes": {
            "images": len(rows),
            "width": rows.shape[1],
            "problems": len(tasks) * len(GOYAL19_COSTS),
            "solved by the loop": len(kept) * len(GOYAL19_COSTS),
        },
        "encoder": {**encoder.architecture, "provenance": encoder.provenance}
        if arguments.encoder
        else "random",
        "stage": arguments.stage,
        "limits": LIMITS,
        "times faster, CPU seconds": round(whole.cpu / seconds["all"].cpu, 1),
        "times faster, wall seconds, the loop in one process": round(whole.wall / seconds["all"].wall, 1),
        "seconds": {
            "ours": seconds["all"]._asdict(),
            "ours, coordinates alone": seconds["coordinates"]._asdict(),
            "loop, the part that was solved": part._asdict(),
            "loop, scaled to all": whole._asdict(),
        },
        "differences": by_cost(ours, theirs),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
