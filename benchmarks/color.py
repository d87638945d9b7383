"""The colour package beside the ways it replaces: time ratios and peak memory, on one thread of this CPU.

Run ``python -m benchmarks.color``; writes benchmarks/results/color.json. Rounds are interleaved, so that what
else the machine does falls on all alike, and the fastest CPU time of each way counts. Only ratios travel.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import skimage
import sklearn
import torch
import torch.nn.functional as F
from skimage.color import rgb2lab
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from pretext.color import (
    N_BINS,
    ab_at_stride,
    annealed_mean,
    bins,
    rgb_to_lab,
    soft_cross_entropy,
    soft_encode,
)

RESULTS = Path(__file__).parent / "results" / "color.json"
Ways = dict[str, Callable[[], object]]  # the first is ours


def plain_lab(rgb: Tensor) -> Tensor:
    """The formula with pow and where, as it is usually written."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = torch.tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    ) / torch.tensor([[0.95047], [1.0], [1.08883]])
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(
        1
    )
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1)


def lab_ways(batch: int, side: int) -> Ways:
    rgb = torch.rand(batch, 3, side, side)
    single = rgb.permute(0, 2, 3, 1).contiguous().numpy()
    double = single.astype(np.float64)
    return {
        "ours": lambda: rgb_to_lab(rgb),
        "ours, ab at stride 4 only": lambda: ab_at_stride(rgb, 4),
        "torch, pow and where": lambda: plain_lab(rgb),
        "scikit-image, float32": lambda: rgb2lab(single),
        "scikit-image, float64": lambda: rgb2lab(double),
    }


def encode_ways(neighbors: int) -> Ways:
    ab = rgb_to_lab(torch.rand(1, 3, 64, 64))[:, 1:]
    points = ab.permute(0, 2, 3, 1).reshape(-1, 2)
    colors = bins()
    tree = NearestNeighbors(n_neighbors=neighbors, algorithm="ball_tree").fit(colors.numpy())

    def by_topk() -> Tensor:
        distance, index = torch.cdist(points, colors).topk(neighbors, dim=1, largest=False)
        weights = (-distance.square() / 50).softmax(1)
        return torch.zeros(len(points), N_BINS).scatter_(1, index, weights)

    def by_tree() -> np.ndarray:
        distance, index = tree.kneighbors(points.numpy())
        weights = np.exp(-(distance**2) / 50)
        dense = np.zeros((len(points), N_BINS), np.float32)
        dense[np.arange(len(points))[:, None], index] = weights / weights.sum(1, keepdims=True)
        return dense

    return {
        "ours": lambda: soft_encode(ab, neighbors),
        "ball tree and dense target": by_tree,
        "cdist, topk and dense target": by_topk,
    }


def loss_ways(batch: int) -> Ways:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, N_BINS, 64, 64, generator=generator)
    last = logits.to(memory_format=torch.channels_last)
    targets = soft_encode((torch.rand(batch, 2, 64, 64, generator=generator) - 0.5) * 160)
    weights = torch.rand(N_BINS, generator=generator)

    def trained(loss: Callable[[Tensor], Tensor], values: Tensor) -> Callable[[], object]:
        def step() -> Tensor | None:
            leaf = values.detach().requires_grad_()
            loss(leaf).backward()
            return leaf.grad

        return step

    def ours(values: Tensor) -> Tensor:
        return soft_cross_entropy(values, targets, weights).balanced

    def dense(values: Tensor) -> Tensor:
        target = torch.zeros_like(values).scatter_(1, targets.bins, targets.weights)
        entropy = -(target * F.log_softmax(values, 1)).sum(1)
        return (entropy * weights[target.argmax(1)]).mean()

    def gathered(values: Tensor) -> Tensor:
        entropy = -(F.log_softmax(values, 1).gather(1, targets.bins) * targets.weights).sum(1)
        return (entropy * weights[targets.bins[:, 0]]).mean()

    return {
        "ours, channels last": trained(ours, last),
        "ours, contiguous": trained(ours, logits),
        "dense target": trained(dense, logits),
        "gather of log-softmax": trained(gathered, logits),
    }


def decode_ways(batch: int) -> Ways:
    logits = torch.randn(batch, N_BINS, 64, 64)
    last = logits.to(memory_format=torch.channels_last)
    kernel = bins().t()[:, :, None, None].contiguous()
    return {
        "ours, channels last": lambda: annealed_mean(last),
        "ours, contiguous": lambda: annealed_mean(logits),
        "softmax and 1x1 convolution": lambda: F.conv2d((logits / 0.38).softmax(1), kernel),
        "the same, channels last": lambda: F.conv2d((last / 0.38).softmax(1), kernel),
    }


def times(ways: Ways, rounds: int) -> dict[str, float]:
    """Fastest CPU time of each way in milliseconds, rounds interleaved."""
    best = dict.fromkeys(ways, float("inf"))
    for done in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if done:  # the first round warms up
                best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


def compared(ways: Ways, rounds: int) -> dict[str, dict[str, float]]:
    found = times(ways, rounds)
    ours = next(iter(found.values()))
    return {name: {"ms": round(ms, 3), "times ours": round(ms / ours, 2)} for name, ms in found.items()}


def memory(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in MiB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def loss_memory(name: str, batch: int) -> float:
    """MiB that a step of one way takes on top of its logits, in a process of its own."""
    for way in loss_ways(1).values():
        way()  # what code and caches take is not what is asked
    step = loss_ways(batch)[name]
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is in use
    before = memory("VmRSS")
    step()
    return memory("VmHWM") - before


def loss_memories(batch: int) -> dict[str, float]:
    found = {}
    for name in loss_ways(1):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found[name] = round(pool.apply(loss_memory, (name, batch)))
    return found


def lab_errors() -> dict[str, float]:
    rgb = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    truth = rgb2lab(rgb.double().permute(0, 2, 3, 1).numpy())
    truth = torch.from_numpy(truth).permute(0, 3, 1, 2)
    ways = {"ours": rgb_to_lab, "torch, pow and where": plain_lab}
    return {name: float((convert(rgb) - truth).abs().max()) for name, convert in ways.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = arguments.rounds
    memories = loss_memories(16)
    report = {
        "machine": {"processor": platform.machine(), "system": platform.system(), "threads": 1},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scikit-image": skimage.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "unit": "fastest CPU time in ms of interleaved rounds; 'times ours': relative to the first row",
        "Lab, one image of 256x256": compared(lab_ways(1, 256), rounds),
        "Lab, 64 images of 64x64": compared(lab_ways(64, 64), rounds),
        "Lab, largest difference from scikit-image in float64": lab_errors(),
        "soft encoding to 64x64, 5 neighbours": compared(encode_ways(5), rounds),
        "soft encoding to 64x64, 10 neighbours": compared(encode_ways(10), rounds),
        "loss, forward and backward, 8 images at 64x64": compared(loss_ways(8), max(3, rounds // 2)),
        "loss, MiB beside the logits, 16 images at 64x64": memories,
        "decoding, one image at 64x64": compared(decode_ways(1), rounds),
        "decoding, 16 images at 64x64": compared(decode_ways(16), rounds),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
