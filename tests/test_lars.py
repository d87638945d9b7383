"""The LARS of published recipes: timm's, as they name it, against the rule worked out number by number."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from timm.optim.lars import Lars
from torch import nn

from pretext.task import Images, Step, Task


class Few(Task):
    """A matrix, a tensor of four dimensions and a bias."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        shapes = {"matrix": (3, 2), "kernel": (2, 1, 2, 2), "bias": (3,)}
        for name, shape in shapes.items():
            self.register_parameter(
                name, nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64))
            )

    def views(self, images: Images, generator: torch.Generator) -> Any: ...

    def loss(self, batch: Any) -> Step: ...


def by_hand(
    weights: list[float], steps: list[list[float]], adapt: bool, clip: bool, lr: float, decay: float
) -> list[float]:
    """Weights behind steps by these gradients: g + λw, times η‖w‖ / (‖g‖ + λ‖w‖), by momentum of 0.9.

    Clipped, the ratio by the rate is 1 at most. What is not adapted has the raw rate and no decay.
    """
    velocity = [0.0] * len(weights)
    for gradient in steps:
        ratio, own = 1.0, list(gradient)
        if adapt:
            norm, size = math.hypot(*weights), math.hypot(*gradient)
            ratio = 0.02 * norm / (size + decay * norm)
            ratio = min(ratio / lr, 1.0) if clip else ratio
            own = [g + decay * w for g, w in zip(gradient, weights, strict=True)]
        velocity = [0.9 * v + ratio * g for v, g in zip(velocity, own, strict=True)]
        weights = [w - lr * v for w, v in zip(weights, velocity, strict=True)]
    return weights


@pytest.mark.parametrize("size", [0.001, 1.0, 100.0], ids=["clipped", "middle", "large gradients"])
@pytest.mark.parametrize("clip", [True, False])
def test_it_adapts_and_decays_all_but_weights_of_one_dimension(size: float, clip: bool) -> None:
    task, lr, decay = Few(), 0.3, 0.05
    optimizer = Lars(
        task.param_groups(), lr=lr, momentum=0.9, weight_decay=decay, trust_coeff=0.02, trust_clip=clip
    )
    before = {name: p.detach().flatten().tolist() for name, p in task.named_parameters()}
    draw, taken = torch.Generator().manual_seed(1), {name: [] for name in before}
    for _ in range(4):
        for name, p in task.named_parameters():
            p.grad = size * torch.randn(p.shape, generator=draw, dtype=torch.float64)
            taken[name].append(p.grad.flatten().tolist())
        optimizer.step()
    for name, p in task.named_parameters():
        expected = by_hand(before[name], taken[name], name != "bias", clip, lr, decay)
        assert p.detach().flatten().tolist() == pytest.approx(expected, rel=1e-6), name
