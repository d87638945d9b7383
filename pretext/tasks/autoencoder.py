"""Autoencoder, plain or denoising (Vincent et al. 2008), the Lab → Lab baseline of arXiv:1611.09842."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step, Task
from pretext.tasks.cropping import check_square, square

STATISTICS_IMAGES = 4096
NARROWEST = 16


class Corrupted(NamedTuple):
    """seen: (B, C, S, S), what the backbone takes; clean: (B, C, S, S), what it shall give back."""

    seen: Tensor
    clean: Tensor


class Autoencoder(Task):
    """Reconstructs the encoder's own input (for `lightness` L from L) from the last stage by squared error.

    The error is taken on standardised channels, so that 1 is what the mean training pixel scores. The decoder
    doubles the resolution and halves the width until the input's size is reached.

    Of the autoencoders of 2008 it has what is dropped: layers are trained at once, not one upon the other,
    the decoder has weights of its own, and its last layer is linear, for a squared error.

    Args:
        encoder: what is trained.
        drop: share of the input's entries that are set to 0, drawn anew each time; 0 for a plain autoencoder.
        hidden: widest map of the decoder.
        crop: side of the square that is seen; None for the image's shorter side.
        padding: mirrored border in which the random square may lie.

    Raises:
        ValueError: a share outside [0, 1), or a width, crop or border out of range.
    """

    version = 2
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: Encoder,
        drop: float = 0.0,
        hidden: int = 64,
        crop: int | None = None,
        padding: int = 4,
    ) -> None:
        super().__init__()
        if not 0 <= drop < 1:
            raise ValueError(f"Autoencoder.drop is a share in [0, 1), got {drop}")
        if hidden < 1:
            raise ValueError(f"Autoencoder.hidden is a number of channels from 1, got {hidden}")
        check_square("Autoencoder", crop, padding)
        self.encoder = encoder
        last, channels = encoder.stages[-1], encoder.input.channels
        doublings = math.ceil(math.log2(last.stride))
        widths = [max(hidden >> i, NARROWEST) for i in range(doublings + 1)]
        self.reduce = nn.Conv2d(last.channels, widths[0], 1)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)  # starts at the mean, which is chance
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        self._drop, self._crop, self._padding = drop, crop, padding

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Take mean and standard deviation of the input's channels from images of all parts of the set."""
        mean, std = standardised_by(self.encoder, loader)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def views(self, images: Images, generator: torch.Generator) -> Corrupted:
        """Crop, flip, convert to the encoder's input and drop entries of it."""
        pixels = square(
            images.pixels, generator, size=self._crop, padding=self._padding, augment=self.training
        )
        clean = self.encoder.input(pixels)  # (B, C, S, S)
        if not self._drop:
            return Corrupted(clean, clean)
        kept = torch.rand(clean.shape, generator=generator) >= self._drop
        return Corrupted(clean * kept.to(clean.device), clean)

    def loss(self, batch: Corrupted) -> Step:
        """Return the mean squared error in units of the training images' variance."""
        error = F.mse_loss(self._decode(batch.seen).float(), (batch.clean - self.mean) / self.std)
        return Step(error, {"loss": error.detach()})

    def chance(self, batch: Corrupted) -> dict[str, float]:
        """Return what the mean training pixel scores."""
        return {"loss": float(((batch.clean - self.mean) / self.std).square().mean())}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return what was seen and what came back, the mean of their channels as gray (±2.5 deviations)."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        seen = (batch.seen - self.mean) / self.std
        return {"seen": _gray(seen), "reconstructed": _gray(self._decode(batch.seen))}

    def _decode(self, seen: Tensor) -> Tensor:
        size = seen.shape[-2:]
        x = F.relu(self.reduce(self.encoder.backbone(seen).maps[self.encoder.stage_names[-1]]))
        for i, conv in enumerate(self.convs):
            left = len(self.convs) - 1 - i
            target = [-(-side // 2**left) for side in size]
            x = F.relu(conv(F.interpolate(x, target, mode="nearest")))
        out: Tensor = self.out(x)  # (B, C, S, S)
        return out


@torch.no_grad()
def standardised_by(encoder: Encoder, loader: Loader) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C, 1, 1) of what an encoder sees of images of all parts of the set."""
    total, squares, count = 0.0, 0.0, 0
    for images in loader.evenly_spaced(STATISTICS_IMAGES):
        x = encoder.input(images.pixels).double()  # (B, C, H, W)
        total, squares = total + x.sum(dim=(0, 2, 3)), squares + x.square().sum(dim=(0, 2, 3))
        count += x[:, 0].numel()
    mean = torch.as_tensor(total / count)
    std = (torch.as_tensor(squares / count) - mean.square()).clamp(min=1e-12).sqrt()
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def _gray(x: Tensor) -> Tensor:
    return (0.5 + x.float().mean(dim=1, keepdim=True) / 5).clamp(0, 1).expand(-1, 3, -1, -1)
