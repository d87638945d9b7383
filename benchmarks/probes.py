"""What a probe of a grid costs beside one trained alone, and what extraction costs beside the forward pass.

    python -m benchmarks.probes

Writes benchmarks/results/probes.json. Rounds of extraction are interleaved, so that what else the machine
does falls on both alike, and the fastest round of each counts. Only ratios travel: a probe of a grid of 50
may take at most 1/25 of the time of one trained alone through a DataLoader, and extraction must reach 95 % of
the rate of the bare forward pass.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from downstream.features.extraction import BATCH_PIXELS, extract
from downstream.features.pooling import GridPool
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import Runtime
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.split import make_split
from pretext.encoder import Encoder

RESULTS = Path(__file__).parent / "results" / "probes.json"
LIMITS = {"probe of a grid / probe alone": 1 / 25, "extraction / forward pass": 0.95}
CPU = torch.device("cpu")
CLASSES, BATCH = 10, 256
LRS = tuple(0.001 * 2**k for k in range(10))
DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)


def alone(features: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """One probe as it is usually trained: a DataLoader, a linear layer, Adam."""
    head = torch.nn.Linear(features.shape[1], CLASSES)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(epochs):
        for x, y in DataLoader(TensorDataset(features, labels), batch_size=BATCH, shuffle=True):
            optimiser.zero_grad()
            F.cross_entropy(head(x), y).backward()
            optimiser.step()


def probes(examples: int, width: int, epochs: int) -> dict[str, float]:
    """Seconds of a grid of 50 probes, of a probe alone, and the ratio of one probe to the other."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(examples, width, generator=generator)
    labels = torch.randint(0, CLASSES, (examples,), generator=generator)
    grid = LinearGrid(lrs=LRS, weight_decays=DECAYS, epochs=epochs, batch_size=BATCH)
    whole = seconds(lambda: grid.fit(features.numpy(), labels.numpy(), CLASSES, CPU, 0))
    single = seconds(lambda: alone(features, labels, epochs))
    count = len(grid.settings)
    return {
        "probes": count,
        "grid s": round(whole, 3),
        "alone s": round(single, 3),
        "probe of a grid / probe alone": round(whole / count / single, 4),
    }


def extraction(images: int, rounds: int) -> dict[str, float]:
    """Images a second of the bare forward pass, pixels ready in memory, and of `extract`; their ratio."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 64, 64, 3), dtype=np.uint8)
    split = make_split("train", pixels)
    encoder = Encoder(inputs.build("lightness"), SmallNet(1)).eval()
    size = BATCH_PIXELS["cpu"] // 64**2
    ready = [
        torch.from_numpy(pixels[i : i + size]).permute(0, 3, 1, 2).contiguous().float() / 255
        for i in range(0, images, size)
    ]

    def forward() -> None:
        with torch.no_grad():
            for batch in ready:
                encoder(batch)

    def extracted() -> None:
        with tempfile.TemporaryDirectory() as folder:  # a cache that knows nothing
            extract(encoder, split, (GridPool(),), Runtime(cache=Path(folder)))

    best = {"forward": float("inf"), "extract": float("inf")}
    for done in range(rounds + 1):
        for name, way in (("forward", forward), ("extract", extracted)):
            took = seconds(way)
            if done:  # the first round warms up
                best[name] = min(best[name], took)
    return {
        "forward pass images/s": round(images / best["forward"], 1),
        "extraction images/s": round(images / best["extract"], 1),
        "extraction / forward pass": round(best["forward"] / best["extract"], 4),
    }


def seconds(way: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=12, help="as many as `linear` has")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report = {
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "threads": arguments.threads,
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "sizes": {name: getattr(arguments, name) for name in ("examples", "width", "epochs", "images")},
        "limits": LIMITS,
        "probes": probes(arguments.examples, arguments.width, arguments.epochs),
        "extraction": extraction(arguments.images, arguments.rounds),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
