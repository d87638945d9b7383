"""Nearest neighbours beside the bare matrix product and top-k, in one run.

Run ``python -m benchmarks.knn``; writes benchmarks/results/knn.json. Rounds are interleaved, so that what
else the machine does falls on all alike, and the fastest round of each way counts. Only ratios travel: ours
may take at most 1.2 times the fastest of the bare ways.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from downstream.heads.neighbours import PRODUCT, nearest, vote

RESULTS = Path(__file__).parent / "results" / "knn.json"
KS = (10, 20, 100, 200)
TEMPERATURES = (0.01, 0.03, 0.07, 0.1, 0.3, 1.0)
CLASSES = 200
LIMIT = 1.2
CPU = torch.device("cpu")
Ways = dict[str, Callable[[], object]]


def ways(bank: int, queries: int, width: int) -> Ways:
    """Ours, from raw features to the scores of one setting and of all; the bare search of unit vectors."""
    generator = np.random.default_rng(0)
    train = generator.standard_normal((bank, width), dtype=np.float32)
    test = generator.standard_normal((queries, width), dtype=np.float32)
    labels = torch.from_numpy(generator.integers(0, CLASSES, bank))
    unit_train = F.normalize(torch.from_numpy(train), dim=1)
    unit_test = F.normalize(torch.from_numpy(test), dim=1)

    def ours(settings: list[tuple[int, float]]) -> Callable[[], object]:
        def run() -> list[np.ndarray]:
            found = nearest(test, train, max(k for k, _ in settings), CPU)
            return [vote(found, labels, CLASSES, k, t).numpy() for k, t in settings]

        return run

    def bare(rows: int) -> Callable[[], object]:
        return lambda: [(part @ unit_train.T).topk(max(KS), dim=1) for part in unit_test.split(rows)]

    return {
        "ours, k = 200": ours([(max(KS), 0.07)]),
        f"ours, {len(KS) * len(TEMPERATURES)} settings": ours(list(product(KS, TEMPERATURES))),
        **{
            f"bare product and top-k, {rows} queries at once": bare(rows)
            for rows in sorted({64, 1024, max(1, PRODUCT["cpu"] // bank)})
        },
    }


def times(ways: Ways, rounds: int) -> dict[str, tuple[float, float]]:
    """Fastest wall and CPU seconds of each way, rounds interleaved."""
    best = {name: (float("inf"), float("inf")) for name in ways}
    for done in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter(), time.process_time()
            way()
            took = time.perf_counter() - start[0], time.process_time() - start[1]
            if done:  # the first round warms up
                best[name] = (min(best[name][0], took[0]), min(best[name][1], took[1]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = times(ways(arguments.bank, arguments.queries, arguments.width), arguments.rounds)
    bare = [min(took[i] for name, took in found.items() if name.startswith("bare")) for i in (0, 1)]
    report = {
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "threads": arguments.threads,
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "sizes": {name: getattr(arguments, name) for name in ("bank", "queries", "width")},
        "unit": "fastest seconds of interleaved rounds; 'times bare': relative to the fastest bare way",
        "limit, times bare": LIMIT,
        "nearest neighbours": {
            name: {
                "wall s": round(wall, 4),
                "CPU s": round(cpu, 4),
                "wall times bare": round(wall / bare[0], 3),
                "CPU times bare": round(cpu / bare[1], 3),
            }
            for name, (wall, cpu) in found.items()
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
