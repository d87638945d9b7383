"""Context encoder: the middle of an image from what lies around it (Pathak et al. 2016, arXiv:1604.07379)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step, Task
from pretext.tasks.adversary import Discriminator, play
from pretext.tasks.autoencoder import standardised_by
from pretext.tasks.cropping import check_square, square
from pretext.tasks.doubling import START, convolutions, doubled, widths

DOUBLINGS = 3
"""How often the decoder doubles the resolution and halves the width."""


class Holed(NamedTuple):
    """seen: (B, C, S, S), what the backbone takes; wanted: (B, C, S/2, S/2), what lay in the middle."""

    seen: Tensor
    wanted: Tensor


class Inpainting(Task):
    """Predicts the middle of the encoder's own input (for `lightness` L from L) by squared error.

    The middle is half as wide as the image and filled with the mean of the training images, but for a rim
    that is seen and whose error weighs more, so that what is predicted fits to what is around. The last map
    goes through a bottleneck to a decoder. The error is taken on standardised channels and averaged by
    weight, so that 1 is about what the mean scores.

    As for the features that were published: by squared error alone. With `adversarial` a discriminator
    tells what is predicted from what lay there, and the prediction learns to be taken for it; in the release
    it is for pictures, its weight 0.001. The logged loss is the squared error either way. There the
    discriminator's rate is a tenth of the rest's, and Adam's first average is over two steps; here all have
    one rate, and the optimiser of the YAML.

    Args:
        encoder: what is trained.
        rim: width of the rim as a share of the image's side; 4 of 128 pixels in the release.
        rim_weight: of its error.
        bottleneck: numbers between encoder and decoder.
        hidden: widest map of the decoder, and of the discriminator.
        crop: side of the square that is seen, a multiple of 4; None for the image's shorter side, or less.
        padding: mirrored border in which the random square may lie.
        adversarial: share of the discriminator's loss of the opposite label; 0 for no discriminator.

    Raises:
        ValueError: a value out of its range.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: Encoder,
        rim: float = 1 / 32,
        rim_weight: float = 10.0,
        bottleneck: int = 4000,
        hidden: int = 512,
        crop: int | None = None,
        padding: int = 4,
        adversarial: float = 0.0,
    ) -> None:
        super().__init__()
        if not (0 <= rim < 0.25 and rim_weight > 0):
            raise ValueError(
                f"Inpainting takes rim in [0, 0.25) and a positive rim_weight, got {rim} and {rim_weight}"
            )
        if min(bottleneck, hidden) < 1:
            raise ValueError(f"Inpainting takes bottleneck and hidden from 1, got {bottleneck} and {hidden}")
        if not 0 <= adversarial < 1:
            raise ValueError(f"Inpainting.adversarial is a share in [0, 1), got {adversarial}")
        check_square("Inpainting", crop, padding)
        self.encoder = encoder
        channels = encoder.input.channels
        widest, *_, narrowest = widths(hidden, DOUBLINGS)
        self.narrow = nn.Linear(encoder.stages[-1].channels * START**2, bottleneck)
        self.widen = nn.Linear(bottleneck, widest * START**2)
        self.convs = convolutions(hidden, DOUBLINGS)
        self.out = nn.Conv2d(narrowest, channels, 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)  # starts at the mean, which is chance
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        self.discriminator = Discriminator(channels, hidden) if adversarial else None
        self._rim, self._rim_weight, self._crop, self._padding = rim, rim_weight, crop, padding
        self._adversarial = adversarial
        self.least_batch = 2 if adversarial else 1  # BatchNorm of the discriminator

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Take mean and standard deviation of the input's channels from images of all parts of the set."""
        mean, std = standardised_by(self.encoder, loader)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def views(self, images: Images, generator: torch.Generator) -> Holed:
        """Crop, flip, convert to the encoder's input and fill the middle."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=4,
        )
        clean = self.encoder.input(pixels)  # (B, C, S, S)
        side = clean.shape[-1]
        start, rim = side // 4, round(self._rim * side)
        seen = clean.clone()
        filled = slice(start + rim, side - start - rim)
        seen[:, :, filled, filled] = self.mean
        return Holed(seen, clean[:, :, start : side - start, start : side - start])

    def loss(self, batch: Holed) -> Step:
        """Return the weighted mean squared error in units of the training images' variance.

        With a discriminator, what both sides lose beside it, in nats: see `pretext.tasks.adversary.Game`.
        """
        wanted = (batch.wanted - self.mean) / self.std
        predicted = self._predicted(batch.seen).float()
        error = (predicted - wanted).square()
        loss = (error * self._weights(error)).mean()
        if self.discriminator is None:
            return Step(loss, {"loss": loss.detach()})
        game = play(self.discriminator, (wanted,), (predicted,))
        total = (1 - self._adversarial) * loss + self._adversarial * game.made + game.told
        logs = {"loss": loss, "discriminator": game.told, "opposite": game.made}
        return Step(total, {name: value.detach() for name, value in logs.items()})

    def chance(self, batch: Holed) -> dict[str, float]:
        """Return what the mean training pixel scores, and what a guess costs either side."""
        error = ((batch.wanted - self.mean) / self.std).square()
        guess = (
            {} if self.discriminator is None else dict.fromkeys(("discriminator", "opposite"), math.log(2))
        )
        return {"loss": float((error * self._weights(error)).mean()), **guess}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return what was seen and what filled its middle, the mean of their channels as gray."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        seen = (batch.seen - self.mean) / self.std
        filled, start = seen.clone(), seen.shape[-1] // 4
        filled[:, :, start:-start, start:-start] = self._predicted(batch.seen).float()
        return {
            name: (0.5 + x.mean(1, keepdim=True) / 5).clamp(0, 1).expand(-1, 3, -1, -1)
            for name, x in (("seen", seen), ("filled", filled))
        }

    def _weights(self, error: Tensor) -> Tensor:
        """(S/2, S/2), of mean 1: the rim's are `rim_weight` times those inside."""
        side = error.shape[-1]
        rim = round(self._rim * 2 * side)
        weights = torch.full((side, side), self._rim_weight, device=error.device)
        weights[rim : side - rim, rim : side - rim] = 1.0
        return weights / weights.mean()

    def _predicted(self, seen: Tensor) -> Tensor:
        side = seen.shape[-1] // 2
        last = self.encoder.backbone(seen).maps[self.encoder.stage_names[-1]]
        x = F.relu(self.narrow(F.adaptive_avg_pool2d(last, START).flatten(1)))
        x = F.relu(self.widen(x)).view(len(x), -1, START, START)
        out: Tensor = self.out(doubled(x, self.convs, side))
        return out
