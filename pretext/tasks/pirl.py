"""PIRL: shuffled tiles are to say which image they are of (Misra & van der Maaten 2020, arXiv:1912.01991)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step, Task
from pretext.tasks.bank import estimated, move, told
from pretext.tasks.tiles import cut_tiles, sheet, tile_size
from pretext.tasks.two_views import Strengths, TwoViews, cosines, distorted


class Shuffled(NamedTuple):
    """pixels: (V, B, 3, S, S) in [0, 1], one view in training, two in validation.

    tiles: (B, T, 3, s, s) in [0, 1], in random order; positions: (B,) int64.
    """

    pixels: Tensor
    tiles: Tensor
    positions: Tensor


class Pirl(Task):
    """Tells which training image a view shows, and which one shuffled tiles are of, by one bank of vectors.

    So the vector of an image becomes the same as that of its tiles, where jigsaw asks for what tells them
    apart. The encoder sees each tile alone; a layer for each, then one for all. The bank's vector moves
    half of the way to the view's behind the loss; tiles never move it. Tiles are cut out of a random
    rectangle and have colours and mirror images of their own. With `negatives`, a noise-contrastive estimate
    with as many draws stands for the softmax over all images, as in NPID. Images of validation have no
    place in the bank: a second view takes it, among those of the batch.

    Not as released: the bank begins with vectors of the images, not with noise; the jitter is for four views
    of five, not for all, and nothing changes colours beside it.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a view as a share of the image's.
        tile_area: that of the rectangle which tiles are cut out of.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view, or a tile, has no colour.
        grid: cells on a side.
        tile: side of a tile in pixels; None for three quarters of a cell. 64 of 85 in the release.
        outputs: numbers of a vector, and of the layer for each tile.
        temperature: by which cosines are divided.
        momentum: share of the bank's vector that stays.
        negatives: draws of the estimate; 0 for the softmax over all images.
        share: of the tiles in the loss; the rest is the view's.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("bank",)
    bank: Tensor
    constants: Tensor

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        tile_area: tuple[float, float] = (0.6, 1.0),
        jitter: Strengths = (0.4, 0.4, 0.4, 0.2),
        gray: float = 0.2,
        grid: int = 3,
        tile: int | None = None,
        outputs: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        negatives: int = 32_000,
        share: float = 0.5,
    ) -> None:
        super().__init__()
        self._two = TwoViews("Pirl", crop, area, jitter, gray)
        views.check_range("Pirl.tile_area", tile_area, 0, 1)
        if grid < 2 or outputs < 1 or negatives < 0:
            raise ValueError(
                "Pirl takes grid from 2, outputs from 1 and negatives from 0, "
                f"got {grid}, {outputs} and {negatives}"
            )
        if not temperature > 0:
            raise ValueError(f"Pirl.temperature is positive, got {temperature}")
        if not 0 <= momentum < 1 or not 0 < share < 1:
            raise ValueError(
                f"Pirl.momentum and Pirl.share are shares in [0, 1) and (0, 1), got {momentum} and {share}"
            )
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, outputs)
        self.each = nn.Linear(encoder.width, outputs)
        self.whole = nn.Linear(grid * grid * outputs, outputs)
        self.register_buffer("bank", torch.zeros(0, outputs))
        self.register_buffer("constants", torch.zeros(2))
        self._tile_area, self._grid, self._tile = tile_area, grid, tile
        self._temperature, self._momentum, self._negatives = temperature, momentum, negatives
        self._share = share

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fill the bank with vectors of the training images."""
        mode = self.training
        self.train()  # before there are averages of BatchNorm
        self.bank = torch.cat([self._vectors(images.pixels) for images in loader])
        self.train(mode)

    def views(self, images: Images, generator: torch.Generator) -> Shuffled:
        """Draw a view of each image, another one in validation, and its tiles in random order.

        Raises:
            ValueError: a tile that does not fit in its cell.
        """
        pixels = images.pixels
        size = tile_size("Pirl", pixels, self._grid, self._tile)
        pair = self._two(pixels, generator).pixels
        side = min(pixels.shape[-2:])
        cut = views.random_resized_crop(pixels, side, generator, self._tile_area, kernel=views.BICUBIC)
        tiles = cut_tiles(cut, self._grid, size, generator, augment=True)  # (B, T, 3, s, s)
        order = torch.rand(tiles.shape[:2], generator=generator).argsort(1).to(pixels.device)
        tiles = tiles.gather(1, order.view(*order.shape, 1, 1, 1).expand_as(tiles))
        flat = views.horizontal_flip(tiles.flatten(0, 1), generator)
        flat = distorted(flat, generator, self._two.jitter, self._two.gray)
        return Shuffled(pair[:1] if self.training else pair, flat.view(tiles.shape), images.positions)

    def loss(self, batch: Shuffled) -> Step:
        """Return the mean of two losses in nats, by share, and how often the own image is the nearest.

        In training the bank moves behind it.
        """
        vectors = self._vectors(batch.pixels[0])
        each = self.each(self.encoder.vector(batch.tiles.flatten(0, 1)))  # (B · T, D)
        tiles = F.normalize(self.whole(each.view(len(vectors), -1)).float(), dim=1)
        if len(batch.pixels) == 2:
            known, own = self._vectors(batch.pixels[1]), torch.arange(len(vectors), device=vectors.device)
        else:
            known, own = self.bank.clone(), batch.positions  # a copy: the bank moves before the way back
        estimate = bool(self._negatives) and len(batch.pixels) == 1
        one, nearest = self._told(cosines(vectors, known), own, self.constants[0], estimate)
        other, nearest_tiles = self._told(cosines(tiles, known), own, self.constants[1], estimate)
        if self.training:
            move(self.bank, batch.positions, vectors, self._momentum)
        loss = (1 - self._share) * one + self._share * other
        return Step(loss, {"loss": loss.detach(), "accuracy": nearest, "accuracy_tiles": nearest_tiles})

    def chance(self, batch: Shuffled) -> dict[str, float]:
        """Return what a guess costs; a noise-contrastive estimate has no such level."""
        if len(batch.pixels) == 2:
            return {"loss": math.log(len(batch.positions))}
        return {} if self._negatives else {"loss": math.log(len(self.bank))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return a view of each image, and the tiles as they are shuffled."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        view, tiles = batch.pixels[0], sheet(batch.tiles, self._grid)
        return {"view": view, "tiles": F.interpolate(tiles, view.shape[-2:])}  # as large, for one sheet

    def _vectors(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.head(self.encoder.vector(pixels)).float(), dim=1)

    def _told(self, cosines: Tensor, own: Tensor, constant: Tensor, estimate: bool) -> tuple[Tensor, Tensor]:
        logits = cosines / self._temperature
        loss, nearest = told(logits, own)
        if estimate:
            loss = estimated(logits, own, self._negatives, constant, train=self.training)
        return loss, nearest
