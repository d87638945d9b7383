"""What a training step takes that hands freed memory back to the kernel, beside one that keeps it.

    python -m benchmarks.heap

Writes benchmarks/results/heap.json. Each process trains the small network on one batch; those that keep
memory (`pretextbench.heap`) and those that do not take turns, and the median over all their steps counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.committed import RESULTS, ROOT
from benchmarks.steps import seconds
from pretext.atomic import write_json
from pretext.backbones import SmallNet
from pretextbench import heap

FILE = RESULTS / "heap.json"
RATIO, LIMIT = "step that hands memory back / step that keeps it", 1.1
SIDE, IMAGES, CLASSES = 64, 256, 10
WARM, STEPS, ROUNDS = 3, 10, 3


class Classifier(nn.Module):
    """The small network's last map, averaged, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = SmallNet(1)
        self.head = nn.Linear(self.backbone.stages[-1].channels, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, CLASSES) of maps (B, 1, H, W)."""
        *_, last = self.backbone(x).maps.values()
        logits: torch.Tensor = self.head(last.mean(dim=(2, 3)))
        return logits


def steps() -> list[float]:
    """Seconds of each step of a training on one batch."""
    torch.manual_seed(0)
    network = Classifier()
    optimiser = torch.optim.Adam(network.parameters())
    images, labels = torch.randn(IMAGES, 1, SIDE, SIDE), torch.randint(0, CLASSES, (IMAGES,))

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return [seconds(step) for _ in range(WARM + STEPS)][WARM:]


def alone(*words: str) -> list[float]:
    """`steps` in a process of its own."""
    again = [sys.executable, "-m", "benchmarks.heap", "--steps", *words]
    done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def measure(threads: int) -> dict[str, Any]:
    """Median seconds of both kinds of step, and their ratio."""
    taken: dict[str, list[float]] = {"hands back": [], "keeps": []}
    for _ in range(ROUNDS):
        taken["hands back"] += alone("--threads", str(threads))
        taken["keeps"] += alone("--threads", str(threads), "--keep")
    medians = {name: statistics.median(own) for name, own in taken.items()}
    ratio = medians["hands back"] / medians["keeps"]
    return {"step s": {name: round(own, 4) for name, own in medians.items()}, RATIO: round(ratio, 3)}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", action="store_true", help="of one process, to be printed")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.steps:
        if given.keep and not heap.keep():
            raise SystemExit("memory cannot be kept here, or whoever started this chose for themselves")
        print(json.dumps(steps()))
        return
    report = {
        "machine": {"processor": platform.machine(), "system": platform.system(), "threads": given.threads},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "limit": LIMIT,
        **measure(given.threads),
    }
    write_json(FILE, report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
