"""Adversaries: they tell what is made from what is real, and train in the same step (arXiv:1406.2661)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

HALVINGS, POOLED = 4, 4
"""How often the resolution is halved, and the cells on a side that are judged together: 64 pixels to 4."""

SLOPE = 0.2
"""Of LeakyReLU below zero."""


class Discriminator(nn.Module):
    """Tells real maps from made ones, alone or each with a vector that goes with it.

    Convolutions halve the resolution and double the width, with BatchNorm but in the first and LeakyReLU. A
    vector is added to each of them but the first by a linear layer of its own, as in the release of
    arXiv:1605.09782. The last layer starts near zero, so that nothing is told at first.

    Args:
        channels: of the maps. hidden: width of the last convolution. beside: numbers of a vector, 0 for none.
    """

    def __init__(self, channels: int, hidden: int, beside: int = 0) -> None:
        super().__init__()
        widths = [max(hidden >> i, 1) for i in reversed(range(HALVINGS))]
        self.first = nn.Conv2d(channels, widths[0], 3, stride=2, padding=1)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.beside = nn.ModuleList(nn.Linear(beside, width, bias=False) for width in widths[1:] if beside)
        self.out = nn.Linear(widths[-1] * POOLED**2, 1)
        nn.init.normal_(self.out.weight, std=0.001)
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return (B,) log odds of being real, of maps (B, channels, H, W) and vectors (B, beside)."""
        x = F.leaky_relu(self.first(maps), SLOPE)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x)
            if vectors is not None:
                x = x + self.beside[number](vectors)[:, :, None, None]
            x = F.leaky_relu(norm(x), SLOPE)
        odds: Tensor = self.out(F.adaptive_avg_pool2d(x, POOLED).flatten(1))
        return odds[:, 0]


class Game(NamedTuple):
    """Losses in nats, each ln 2 where nothing is told.

    told: () of the right answers, the mean over real and made; it reaches the discriminator alone.
    real, made: () of the wrong answer to what is real and to what is made; they reach all but it.
    """

    told: Tensor
    real: Tensor
    made: Tensor


def play(discriminator: nn.Module, real: tuple[Tensor, ...], made: tuple[Tensor, ...]) -> Game:
    """Let a discriminator judge what is real and what is made, for both sides at once.

    One backward pass of a sum of these losses gives each side the gradient of its own. The discriminator
    sees the two apart, so that BatchNorm does not mix them, and its averages move as by one pass over each.

    Args:
        discriminator: maps a side's tensors to log odds (B,) of being real.
        real, made: the tensors of either side, whose gradients go where they came from.
    """
    odds_real, odds_made = (discriminator(*(x.detach() for x in side)) for side in (real, made))
    told = (F.softplus(-odds_real.float()).mean() + F.softplus(odds_made.float()).mean()) / 2
    still = {name: value.detach() for name, value in discriminator.named_parameters()}
    still |= {name: value.clone() for name, value in discriminator.named_buffers()}
    odds_real, odds_made = (functional_call(discriminator, still, side) for side in (real, made))
    return Game(told, F.softplus(odds_real.float()).mean(), F.softplus(-odds_made.float()).mean())
