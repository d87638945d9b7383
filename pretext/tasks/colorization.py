"""Colorful Image Colorization (Zhang, Isola & Efros 2016, arXiv:1603.08511)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pretext.color import (
    N_BINS,
    SoftTargets,
    annealed_mean,
    cached_prior,
    has_color,
    soft_cross_entropy,
    soft_encode,
)
from pretext.colorizers.contract import Hints
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step
from pretext.tasks import coloring
from pretext.tasks.cropping import check_square, square


class Coloured(NamedTuple):
    """Images and their quantised colours.

    pixels: (B, 3, S, S) in [0, 1]; targets: at (B, S/stride, S/stride) positions;
    counts: (B,) bool, images that have colour at all.
    """

    pixels: Tensor
    targets: SoftTargets
    counts: Tensor


class Colorization(coloring.ColoringTask):
    """Predicts at every fourth pixel which of 313 colours it has, from an input without colour.

    The loss is the cross-entropy against soft targets, each position weighted by the rarity of its colour in
    the training images; gray images weigh nothing. Colours are read out by the annealed mean.

    Args:
        encoder: what is trained; its input must not show colour.
        neighbours: bins a soft target is spread over: 5 in the paper, 10 in the authors' training code.
        rebalance: λ, the share of the uniform distribution in the weights: 0.5 in the paper, 1 for no
            rebalancing (the paper's "classification" variant).
        temperature: of the annealed mean. No training depends on it: `Annealed` colours at another one.
        stage: where the head sits; the last by default. Stages after it are not trained.
        target_stride: distance of the predicted positions in pixels.
        hidden: channels of the head.
        block8: take the paper's own head, whose `hidden` is 256 (`pretext.tasks.block8`).
        crop: side of the square that is seen; None for the image's shorter side. 176 in the paper.
        padding: mirrored border in which the random square may lie.
        allow_colour: accept an input that shows the answer.

    Raises:
        ValueError: an input that shows colour, a stage that does not fit, a value out of its range.
    """

    bin_weights: Tensor
    prior: Tensor
    prior_loss: Tensor

    def __init__(
        self,
        encoder: Encoder,
        neighbours: int = 5,
        rebalance: float = 0.5,
        temperature: float = 0.38,
        stage: str | None = None,
        target_stride: int = 4,
        hidden: int = 64,
        crop: int | None = None,
        padding: int = 4,
        allow_colour: bool = False,
        block8: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= rebalance <= 1:
            raise ValueError(f"Colorization.rebalance is λ in [0, 1], got {rebalance}")
        if not 1 <= neighbours <= N_BINS:
            raise ValueError(f"Colorization.neighbours is a number of bins, 1 to {N_BINS}, got {neighbours}")
        if not temperature > 0:
            raise ValueError(f"Colorization.temperature is positive, got {temperature}")
        coloring.refuse_color("Colorization", encoder, allow_colour)
        check_square("Colorization", crop, padding)
        self.encoder = encoder
        self.head = coloring.build_head(encoder, stage, hidden, N_BINS, target_stride, block8)
        self._stage = stage or encoder.stage_names[-1]
        self._neighbours, self._rebalance, self._temperature = neighbours, rebalance, temperature
        self._stride, self._crop, self._padding = target_stride, crop, padding
        # NaN until `prepare`: training without the prior must fail, not run unbalanced.
        for name, shape in (
            ("bin_weights", N_BINS),
            ("prior", N_BINS),
            ("prior_loss", 2),
        ):
            self.register_buffer(name, torch.full((shape,), math.nan))

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images; the counts are kept in `cache`."""
        batches = (coloring.whole_cells(images.pixels, self._stride) for images in loader)
        prior = cached_prior(cache, loader.digest, batches, stride=self._stride, neighbors=self._neighbours)
        self.bin_weights.copy_(prior.weights(self._rebalance))
        self.balance.copy_(prior.weights(coloring.METRIC_LAMBDA))
        self.prior.copy_(prior.probabilities)
        chance = prior.chance(self._rebalance)
        self.prior_loss.copy_(torch.tensor([chance.balanced, chance.soft]))

    @property
    def prior_cross_entropy(self) -> dict[str, float]:
        """The losses of the best constant predictions on the training images, by log; after `prepare`."""
        balanced, unbalanced = self.prior_loss.tolist()
        return {"loss": balanced, "unbalanced": unbalanced}

    def views(self, images: Images, generator: torch.Generator) -> Coloured:
        """Crop and flip each image, and encode the colours of every fourth pixel."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=self._stride,
        )
        ab = coloring.target_ab(pixels, self._stride)  # (B, 2, S/stride, S/stride)
        return Coloured(pixels, soft_encode(ab, self._neighbours), has_color(ab))

    def loss(self, batch: Coloured) -> Step:
        """Return the balanced cross-entropy in nats; logs it and the unbalanced one."""
        height, width = batch.pixels.shape[-2:]
        logits = self._logits(batch.pixels, coloring.target_size(height, width, self._stride))
        balanced, unbalanced = soft_cross_entropy(logits, batch.targets, self.bin_weights, batch.counts)
        logs = {"loss": balanced.detach(), "unbalanced": unbalanced.detach()}
        return Step(balanced, logs, batch.counts.sum())

    def chance(self, batch: Coloured) -> dict[str, float]:
        """Return what the uniform distribution costs here: ln 313, balanced times the mean weight."""
        bins, _ = batch.targets  # (B, K, h, w), nearest first
        nearest = bins[batch.counts, 0]  # (B', h, w)
        mean_weight = float(self.bin_weights[nearest].mean()) if len(nearest) else 0.0
        uniform = math.log(N_BINS)
        return {"loss": uniform * mean_weight, "unbalanced": uniform if len(nearest) else 0.0}

    def blind(self, batch: Coloured) -> dict[str, float]:
        """Return what the training images' own distribution costs on them."""
        return self.prior_cross_entropy

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W): the annealed mean, upsampled."""
        return self.annealed(pixels, self._temperature)

    def annealed(self, pixels: Tensor, temperature: float) -> Tensor:
        """The same at any temperature: 1 for the mean, 0 for the mode."""
        size = (pixels.shape[-2], pixels.shape[-1])
        logits = self._logits(pixels, coloring.target_size(*size, self._stride))
        return coloring.to_image(annealed_mean(logits, temperature), size, self._stride)

    def _logits(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        maps = self.encoder(pixels, stop=self._stage).maps[self._stage]  # (B, C, ~S/8, ~S/8)
        logits: Tensor = self.head(maps, size)  # (B, 313, *size)
        return logits


class Annealed:
    """A trained `Colorization` that colours at a temperature of its own.

    Args:
        task: that was trained. temperature: from 0, the mode; 1 is the mean.

    Raises:
        ValueError: a negative temperature.
    """

    def __init__(self, task: Colorization, temperature: float) -> None:
        if not 0 <= temperature < math.inf:
            raise ValueError(f"Annealed.temperature is a number from 0, got {temperature}")
        self._task, self._temperature = task, temperature

    @torch.no_grad()
    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; hints are not read."""
        return self._task.annealed(coloring.gray(lightness), self._temperature)
