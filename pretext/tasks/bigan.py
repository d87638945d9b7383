"""BiGAN: an encoder learns to undo a generator (Donahue, Krähenbühl & Darrell 2016, arXiv:1605.09782)."""

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
from pretext.tasks.cropping import check_square, square
from pretext.tasks.doubling import START, convolutions, doubled, widths

DOUBLINGS = 4
LARGEST = START << DOUBLINGS
"""Pixels on a side that the generator makes and the discriminator sees at most; the encoder sees all."""

RANGE_IMAGES = 4096
NARROW = 1e-6
"""Least half of a channel's range: of images without colour, ab has none."""


class Coded(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; codes: (B, K), drawn.

    real: (B, C, s, s), the encoder's input in [−1, 1]; s is S, or 64 where that is more.
    """

    pixels: Tensor
    real: Tensor
    codes: Tensor


class Generator(nn.Module):
    """Makes maps in (−1, 1) of codes.

    Args:
        codes: numbers of a code. hidden: widest map. channels: of what is made.
    """

    def __init__(self, codes: int, hidden: int, channels: int) -> None:
        super().__init__()
        widest, *_, narrowest = widths(hidden, DOUBLINGS)
        flat = widest * START**2
        self.widen = nn.Sequential(nn.Linear(codes, flat, bias=False), nn.BatchNorm1d(flat), nn.ReLU())
        self.convs = convolutions(hidden, DOUBLINGS)
        self.out = nn.Conv2d(narrowest, channels, 3, padding=1)

    def forward(self, codes: Tensor, side: int) -> Tensor:
        """Map (B, codes) to (B, channels, side, side)."""
        x = self.widen(codes).view(len(codes), -1, START, START)
        return torch.tanh(self.out(doubled(x, self.convs, side)).float())


class BiGan(Task):
    """A discriminator tells pairs (image, its code) from pairs (made image, the code it was made of).

    Codes are uniform in [−1, 1]. Encoder and generator learn to be mistaken for each other, by the loss of
    the opposite labels; all three step together on one forward pass. What is generated is the encoder's own
    input (for `lightness` L), each channel in the range that training images have.

    The loss is no measure: it is 2 ln 2 where nothing is told, which is the least there is, at the start and
    at the end that is wished for. `reconstruction` is one: how far images are from what the generator makes
    of their codes, as a share of how far others are. It starts at about 1.

    Not as released: the generator resizes maps in front of convolutions of 3×3, where the release has
    transposed ones of 5×5, and takes the code at its start alone; codes come of the encoder's vector. The
    rate follows the suite's cosine, where it is constant for half of the release's steps, then falls
    exponentially.

    Args:
        encoder: what is trained.
        codes: numbers of a code.
        hidden: widest map of generator and discriminator; 512 in the paper.
        crop: side of the square that is seen; None for the image's shorter side. 64 in the paper.
        padding: mirrored border in which the random square may lie.

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2
    low: Tensor
    high: Tensor

    def __init__(
        self,
        encoder: Encoder,
        codes: int = 200,
        hidden: int = 512,
        crop: int | None = None,
        padding: int = 4,
    ) -> None:
        super().__init__()
        if min(codes, hidden) < 1:
            raise ValueError(f"BiGan takes codes and hidden from 1, got {codes} and {hidden}")
        check_square("BiGan", crop, padding)
        self.encoder = encoder
        channels = encoder.input.channels
        self.head = nn.Linear(encoder.width, codes, bias=False)  # BatchNorm would take a bias out
        self.generator = Generator(codes, hidden, channels)
        self.discriminator = Discriminator(channels, hidden, beside=codes)
        self.register_buffer("low", -torch.ones(channels, 1, 1))
        self.register_buffer("high", torch.ones(channels, 1, 1))
        self._codes, self._crop, self._padding = codes, crop, padding

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Take the range of the input's channels from images of all parts of the set."""
        seen = [self.encoder.seen(images.pixels) for images in loader.evenly_spaced(RANGE_IMAGES)]
        self.low.copy_(torch.stack([x.amin((0, 2, 3)) for x in seen]).amin(0).view(-1, 1, 1))
        self.high.copy_(torch.stack([x.amax((0, 2, 3)) for x in seen]).amax(0).view(-1, 1, 1))

    def views(self, images: Images, generator: torch.Generator) -> Coded:
        """Crop and flip each image, bring the encoder's input to its range, and draw as many codes."""
        pixels = square(
            images.pixels, generator, size=self._crop, padding=self._padding, augment=self.training
        )
        seen = self.encoder.seen(pixels)  # (B, C, S, S)
        if seen.shape[-1] > LARGEST:
            seen = F.interpolate(seen, (LARGEST, LARGEST), mode="area")
        middle, half = (self.high + self.low) / 2, ((self.high - self.low) / 2).clamp(min=NARROW)
        codes = 2 * torch.rand(len(pixels), self._codes, generator=generator) - 1
        return Coded(pixels, (seen - middle) / half, codes.to(pixels.device))

    def loss(self, batch: Coded) -> Step:
        """Return the sum of the discriminator's loss and of encoder's and generator's, in nats.

        Logs the former as `discriminator`, the latter as `opposite`.
        """
        made = self.generator(batch.codes, batch.real.shape[-1])
        game = play(self.discriminator, (batch.real, self._coded(batch.pixels)), (made, batch.codes))
        opposite = (game.real + game.made) / 2
        loss = game.told + opposite
        logs = {"loss": loss, "discriminator": game.told, "opposite": opposite}
        return Step(loss, {name: value.detach() for name, value in logs.items()})

    def chance(self, batch: Coded) -> dict[str, float]:
        """Return what either side's guess costs."""
        return {"discriminator": math.log(2), "opposite": math.log(2)}

    def score(self, batch: Coded) -> dict[str, tuple[Tensor, Tensor]]:
        """Return how far images are from what is made of their codes, as a share of how far others are."""
        back = self.generator(self._coded(batch.pixels), batch.real.shape[-1])
        own, other = ((x - back).flatten(1).norm(dim=1).sum() for x in (batch.real, batch.real.roll(1, 0)))
        return {"reconstruction": (own, other)}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return what is seen, what is made of its code and of codes drawn, the mean of channels as gray."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        side = batch.real.shape[-1]
        back = self.generator(self._coded(batch.pixels), side)
        pictures = {"seen": batch.real, "made back": back, "made": self.generator(batch.codes, side)}
        return {
            name: ((x.mean(1, keepdim=True) + 1) / 2).clamp(0, 1).expand(-1, 3, -1, -1)
            for name, x in pictures.items()
        }

    def _coded(self, pixels: Tensor) -> Tensor:
        """Codes (B, K) of images (B, 3, S, S)."""
        codes: Tensor = self.head(self.encoder.vector(pixels))
        return codes
