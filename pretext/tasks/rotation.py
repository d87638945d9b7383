"""RotNet: which way is up? (Gidaris, Singh & Komodakis 2018, arXiv:1803.07728)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.cropping import check_square, square

TURNS = 4


class Turned(NamedTuple):
    """Every image in all four rotations.

    pixels: (4B, 3, S, S), rotations outermost; turns: (4B,) int64, quarter turns counter-clockwise.
    """

    pixels: Tensor
    turns: Tensor


class Rotation(Task):
    """Four-way classification of the quarter turn, all four of each image in one batch as in the paper.

    A batch of B images costs 4B forward passes; `images seen` counts B. The head is linear on the average of
    the last stage.

    Args:
        encoder: what is trained.
        crop: side of the square that is turned; None for the image's shorter side.
        padding: mirrored border in which the random square may lie.
    """

    def __init__(self, encoder: Encoder, crop: int | None = None, padding: int = 4) -> None:
        super().__init__()
        check_square("Rotation", crop, padding)
        self.encoder = encoder
        self.head = nn.Linear(encoder.stages[-1].channels, TURNS)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._crop, self._padding = crop, padding

    def views(self, images: Images, generator: torch.Generator) -> Turned:
        """Crop and flip each image, then turn it four ways."""
        pixels = square(
            images.pixels, generator, size=self._crop, padding=self._padding, augment=self.training
        )
        turned = torch.cat([torch.rot90(pixels, k, (2, 3)) for k in range(TURNS)])  # (4B, 3, S, S)
        turns = torch.arange(TURNS, device=pixels.device).repeat_interleave(len(pixels))  # (4B,)
        return Turned(turned, turns)

    def loss(self, batch: Turned) -> Step:
        """Return the cross-entropy of the four turns, in nats, and the accuracy."""
        last = self.encoder(batch.pixels).maps[self.encoder.stage_names[-1]]  # (4B, C, h, w)
        logits = self.head(last.mean(dim=(2, 3)))  # (4B, 4)
        loss = F.cross_entropy(logits.float(), batch.turns)
        accuracy = (logits.argmax(dim=1) == batch.turns).float().mean()
        return Step(loss, {"loss": loss.detach(), "accuracy": accuracy})

    def chance(self, batch: Turned) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log(TURNS)}
