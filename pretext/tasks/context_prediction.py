"""Context prediction: where a patch lies beside another (Doersch et al. 2015, arXiv:1505.05192)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.tiles import cut_tiles, tile_size, without_color
from pretext.tasks.two_views import layer

GRID, CENTRE = 3, 4


class Patches(NamedTuple):
    """tiles: (B, 9, 3, s, s) in [0, 1], row by row."""

    tiles: Tensor


class ContextPrediction(Task):
    """Of the patch in the middle and one of its eight neighbours, tells which neighbour it is.

    Every patch is encoded once, and makes all eight pairs of an image (as arXiv:1901.09005 has it; in the
    release, all neighbours of four grids). Against shortcuts patches leave gaps, lie at random places of
    their cells, and some images lose their colour; the release drops two channels of each patch instead.

    Not as released: patches are not shrunk and brought back, a third of them there, nor divided by their mean
    square; they are ¾ of a cell, not ⅔; channels may lie apart, as jigsaw has it; BatchNorm has scale and
    shift.

    Args:
        encoder: what is trained.
        tile: side of a patch in pixels; None for three quarters of a cell, a third of the image.
        shift: pixels by which channels of a patch may lie apart.
        gray: probability that an image has no colour.
        hidden: width of the head's layers.
        dropout: before the last layer.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        tile: int | None = None,
        shift: int = 2,
        gray: float = 0.66,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if shift < 0 or hidden < 1:
            raise ValueError(f"ContextPrediction takes shift from 0, hidden from 1, got {shift} and {hidden}")
        if not 0 <= dropout < 1:
            raise ValueError(f"ContextPrediction.dropout is a share in [0, 1), got {dropout}")
        views.check_probability("ContextPrediction.gray", gray)
        self.encoder = encoder
        self.each = nn.Sequential(*layer(encoder.width, hidden))
        last = nn.Linear(hidden, GRID * GRID - 1)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.pair = nn.Sequential(*layer(2 * hidden, hidden), nn.Dropout(dropout), last)
        self._tile, self._shift, self._gray = tile, shift, gray

    def views(self, images: Images, generator: torch.Generator) -> Patches:
        """Cut nine patches.

        Raises:
            ValueError: a patch that does not fit in its cell.
        """
        pixels = images.pixels
        size = tile_size("ContextPrediction", pixels, GRID, self._tile, self._shift)
        if self.training:
            pixels = without_color(pixels, generator, self._gray, 0.0)
        return Patches(cut_tiles(pixels, GRID, size, generator, augment=self.training, shift=self._shift))

    def loss(self, batch: Patches) -> Step:
        """Return the cross-entropy of the neighbour, in nats, over all eight pairs."""
        count = len(batch.tiles)
        each = self.each(self.encoder.vector(batch.tiles.flatten(0, 1))).view(count, GRID * GRID, -1)
        around = [place for place in range(GRID * GRID) if place != CENTRE]
        pairs = torch.cat([each[:, [CENTRE] * len(around)], each[:, around]], dim=2)  # (B, 8, 2 · hidden)
        logits = self.pair(pairs.flatten(0, 1))
        targets = torch.arange(len(around), device=logits.device).repeat(count)
        loss = F.cross_entropy(logits, targets)
        return Step(loss, {"loss": loss.detach(), "accuracy": (logits.argmax(1) == targets).float().mean()})

    def chance(self, batch: Patches) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log(GRID * GRID - 1)}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return the patch in the middle and the one above it."""
        tiles = self.views(images, torch.Generator().manual_seed(0)).tiles
        return {"middle": tiles[:, CENTRE], "above": tiles[:, CENTRE - GRID]}
