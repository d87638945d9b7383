"""Jigsaw: in which of some known orders tiles of an image lie (Noroozi & Favaro 2016, arXiv:1603.09246)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.tiles import cut_tiles, far_apart, sheet, tile_size, without_color
from pretext.tasks.two_views import layer


class Puzzle(NamedTuple):
    """tiles: (B, T, 3, s, s) in [0, 1], in the order of the permutation; targets: (B,) int64, which it is."""

    tiles: Tensor
    targets: Tensor


class Jigsaw(Task):
    """Tells by which of a set of permutations the tiles of an image were shuffled.

    The encoder sees each tile alone; a layer for each, then two for all. Against shortcuts tiles lie at
    random places of their cells and channels of a tile a little apart, and some images lose their colour, as
    in the release. There is no mirror image.

    Not as published: layers of the head have BatchNorm, those for single tiles no dropout, and tiles are not
    each brought to mean 0 and deviation 1.

    Args:
        encoder: what is trained.
        grid: cells on a side.
        tile: side of a tile in pixels; None for three quarters of a cell.
        permutations: how many, chosen to be far apart; 1,000 outputs with 100 in the release.
        shift: pixels by which channels of a tile may lie apart.
        gray: probability that an image has no colour.
        project: probability that it lacks green against magenta, by which lenses disperse.
        hidden: width of the layer for each tile; the last hidden one is four times as wide.
        dropout: before the last layer.

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        grid: int = 3,
        tile: int | None = None,
        permutations: int = 100,
        shift: int = 2,
        gray: float = 0.5,
        project: float = 0.5,
        hidden: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if grid not in (2, 3):
            raise ValueError(f"Jigsaw.grid is 2 or 3 cells on a side, got {grid}")
        if shift < 0 or hidden < 1:
            raise ValueError(f"Jigsaw takes shift from 0 and hidden from 1, got {shift} and {hidden}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Jigsaw.dropout is a share in [0, 1), got {dropout}")
        views.check_probability("Jigsaw.gray", gray)
        views.check_probability("Jigsaw.project", project)
        orders = torch.from_numpy(far_apart(grid * grid, permutations))
        self.encoder = encoder
        self.each = nn.Sequential(*layer(encoder.width, hidden))
        wide = 4 * hidden
        last = nn.Linear(wide, permutations)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.whole = nn.Sequential(*layer(grid * grid * hidden, wide), nn.Dropout(dropout), last)
        self.register_buffer("orders", orders)
        self._grid, self._tile, self._shift, self._gray, self._project = grid, tile, shift, gray, project

    orders: Tensor

    def views(self, images: Images, generator: torch.Generator) -> Puzzle:
        """Cut tiles and shuffle them.

        Raises:
            ValueError: a tile that does not fit in its cell.
        """
        pixels = images.pixels
        size = tile_size("Jigsaw", pixels, self._grid, self._tile, self._shift)
        if self.training:
            pixels = without_color(pixels, generator, self._gray, self._project)
        tiles = cut_tiles(
            pixels, self._grid, size, generator, augment=self.training, shift=self._shift
        )  # (B, T, 3, s, s)
        targets = torch.randint(len(self.orders), (len(tiles),), generator=generator).to(pixels.device)
        order = self.orders[targets].view(*tiles.shape[:2], 1, 1, 1).expand_as(tiles)
        return Puzzle(tiles.gather(1, order), targets)

    def loss(self, batch: Puzzle) -> Step:
        """Return the cross-entropy of the permutation, in nats."""
        each = self.each(self.encoder.vector(batch.tiles.flatten(0, 1)))  # (B · T, hidden)
        logits = self.whole(each.view(len(batch.tiles), -1))
        loss = F.cross_entropy(logits, batch.targets)
        accuracy = (logits.argmax(1) == batch.targets).float().mean()
        return Step(loss, {"loss": loss.detach(), "accuracy": accuracy})

    def chance(self, batch: Puzzle) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log(len(self.orders))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return each image's tiles as they lie."""
        tiles = self.views(images, torch.Generator().manual_seed(0)).tiles
        return {"puzzle": sheet(tiles, self._grid)}
