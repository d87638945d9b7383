"""Split-brain: half of the channels predict the other, and back (Zhang et al. 2017, arXiv:1611.09842)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.backbones.side_by_side import SideBySide
from pretext.color import N_BINS, annealed_mean, nearest_bin, rgb_to_lab
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step
from pretext.tasks import blind, coloring
from pretext.tasks.cropping import check_square, square


class Halves(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; colors, lightness: (B, h, w) int64, bins at every few pixels."""

    pixels: Tensor
    colors: Tensor
    lightness: Tensor


class SplitBrain(coloring.ColoringTask):
    """Of two networks side by side, one predicts ab from L, the other L from ab, both as classes.

    The loss is the mean of both cross-entropies; colours are not rebalanced, targets are single bins. What is
    kept is both networks; their maps stand side by side. What is asked for lies at every fourth pixel, to
    which the heads double the resolution; in the paper it is at the last map's own 12 × 12 cells of 180
    pixels.

    Args:
        encoder: what is trained; of `SideBySide` networks on `lab`, the first of which sees L.
        lightness_bins: of equal width over L from 0 to 100.
        temperature: of the annealed mean, by which colours are read out.
        target_stride: distance of the predicted positions in pixels.
        hidden: channels of the heads.
        crop: side of the square that is seen; None for the image's shorter side. 180 in the paper.
        padding: mirrored border in which the random square may lie.

    Raises:
        TypeError: networks that do not stand side by side.
        ValueError: another input or division, a value out of its range.
    """

    takes = SideBySide

    def __init__(
        self,
        encoder: Encoder,
        lightness_bins: int = 50,
        temperature: float = 0.38,
        target_stride: int = 4,
        hidden: int = 64,
        crop: int | None = None,
        padding: int = 4,
    ) -> None:
        super().__init__()
        _check(encoder, lightness_bins, temperature, target_stride, hidden)
        check_square("SplitBrain", crop, padding)
        self.encoder = encoder
        place = encoder.stages[-1]
        self._each, doublings = place.channels // 2, coloring.doublings_to(place, target_stride)
        self.color_head = coloring.ColorHead(self._each, hidden, N_BINS, doublings)
        self.lightness_head = coloring.ColorHead(self._each, hidden, lightness_bins, doublings)
        self._bins, self._temperature, self._stride = lightness_bins, temperature, target_stride
        self._crop, self._padding = crop, padding

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images, for the balanced AuC."""
        self.balance.copy_(coloring.balancing(loader, cache, self._stride))

    def views(self, images: Images, generator: torch.Generator) -> Halves:
        """Crop and flip each image, and find the bins of every few pixels."""
        pixels = square(
            images.pixels, generator, size=self._crop, padding=self._padding, augment=self.training,
            multiple=self._stride,
        )  # fmt: skip
        lab = rgb_to_lab(pixels[:, :, :: self._stride, :: self._stride])
        lightness = (lab[:, 0] * (self._bins / 100)).long().clamp(0, self._bins - 1)
        return Halves(pixels, nearest_bin(lab[:, 1:]), lightness)

    def loss(self, batch: Halves) -> Step:
        """Return the mean of both cross-entropies in nats, and each."""
        one, two = self._maps(batch.pixels)
        size = (batch.colors.shape[1], batch.colors.shape[2])
        colors = F.cross_entropy(self.color_head(one, size).float(), batch.colors)
        lightness = F.cross_entropy(self.lightness_head(two, size).float(), batch.lightness)
        loss = (colors + lightness) / 2
        logs = {"loss": loss, "colors": colors, "lightness": lightness}
        return Step(loss, {name: value.detach() for name, value in logs.items()})

    def chance(self, batch: Halves) -> dict[str, float]:
        """Return what uniform guesses cost."""
        colors, lightness = math.log(N_BINS), math.log(self._bins)
        return {"loss": (colors + lightness) / 2, "colors": colors, "lightness": lightness}

    def blind(self, batch: Halves) -> dict[str, float]:
        """Return what the frequencies of both kinds of bins cost."""
        both = (batch.colors, N_BINS), (batch.lightness, self._bins)
        found = [blind.frequencies(_shares(bins, count)) for bins, count in both]
        if not all(found):
            return {}
        colors, lightness = (own["loss"] for own in found)
        return {"loss": (colors + lightness) / 2, "colors": colors, "lightness": lightness}

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W) by the network that sees L: the annealed mean, upsampled."""
        size = (pixels.shape[-2], pixels.shape[-1])
        one, _ = self._maps(pixels)
        logits = self.color_head(one, coloring.target_size(*size, self._stride))
        return coloring.to_image(annealed_mean(logits, self._temperature), size, self._stride)

    def _maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        last = self.encoder(pixels).maps[self.encoder.stage_names[-1]]
        return last[:, : self._each], last[:, self._each :]


def _shares(bins: Tensor, count: int) -> Tensor:
    """How frequent each of so many bins (B, h, w) is in an image: (B, count)."""
    flat = bins.flatten(1)
    found = torch.zeros(len(flat), count, device=flat.device)
    return found.scatter_add_(1, flat, torch.ones_like(flat, dtype=found.dtype)) / flat.shape[1]


def _check(
    encoder: Encoder, lightness_bins: int, temperature: float, target_stride: int, hidden: int
) -> None:
    if not isinstance(encoder.backbone, SideBySide):
        raise TypeError(
            f"SplitBrain trains two networks side by side, got {type(encoder.backbone).__name__}: "
            "take a SideBySide"
        )
    if encoder.input_name != "lab" or encoder.backbone.arguments["first"] != 1:
        raise ValueError(
            "SplitBrain's first network sees L and its second ab: it takes input 'lab' and first=1, got "
            f"{encoder.input_name!r} and first={encoder.backbone.arguments['first']}"
        )
    if lightness_bins < 2 or target_stride < 1 or hidden < 1:
        raise ValueError(
            "SplitBrain takes lightness_bins from 2, target_stride and hidden from 1, "
            f"got {lightness_bins}, {target_stride}, {hidden}"
        )
    if not temperature > 0:
        raise ValueError(f"SplitBrain.temperature is positive, got {temperature}")
