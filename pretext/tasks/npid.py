"""NPID: every image is a class of its own (Wu et al. 2018, arXiv:1805.01978)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step, Task
from pretext.tasks.bank import estimated, move, told
from pretext.tasks.two_views import Strengths, TwoViews, cosines


class Instances(NamedTuple):
    """pixels: (V, B, 3, S, S) in [0, 1], one view in training, two in validation; positions: (B,) int64."""

    pixels: Tensor
    positions: Tensor


class Npid(Task):
    """Tells which training image a view shows, by its cosines with a bank of what was made of each before.

    The bank's vector moves half of the way to the new one behind the loss. With `negatives`, a
    noise-contrastive estimate with as many draws stands for the softmax over all images; its constant is set
    by the first batch. Images of validation have no place in the bank: one view is told by another, among
    those of its batch.

    Not as released for CIFAR: the bank begins with vectors of the images, not with noise; the jitter, in
    front of what takes the colour away and not behind it, is for four views of five, not for all; half of the
    views are mirrored. The optimiser's departures are those of the suite (README): a cosine where the
    release's rate falls by ten twice, and no decay of biases and scales.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        outputs: numbers of a vector.
        temperature: by which cosines are divided.
        momentum: share of the bank's vector that stays.
        negatives: draws of the estimate; 0 for the softmax over all images.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("bank",)
    bank: Tensor
    constant: Tensor

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.2, 1.0),
        jitter: Strengths = (0.4, 0.4, 0.4, 0.4),
        gray: float = 0.2,
        outputs: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        negatives: int = 4096,
    ) -> None:
        super().__init__()
        self._two = TwoViews("Npid", crop, area, jitter, gray)
        if outputs < 1 or negatives < 0:
            raise ValueError(f"Npid takes outputs from 1 and negatives from 0, got {outputs} and {negatives}")
        if not temperature > 0:
            raise ValueError(f"Npid.temperature is positive, got {temperature}")
        if not 0 <= momentum < 1:
            raise ValueError(f"Npid.momentum is a share in [0, 1), got {momentum}")
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, outputs)
        self.register_buffer("bank", torch.zeros(0, outputs))
        self.register_buffer("constant", torch.tensor(0.0))
        self._temperature, self._momentum, self._negatives = temperature, momentum, negatives

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fill the bank with vectors of the training images."""
        mode = self.training
        self.train()  # before there are averages of BatchNorm
        self.bank = torch.cat([self._vectors(images.pixels) for images in loader])
        self.train(mode)

    def views(self, images: Images, generator: torch.Generator) -> Instances:
        """Draw a view of each image, and another one in validation."""
        pair = self._two(images.pixels, generator)
        return Instances(pair.pixels[:1] if self.training else pair.pixels, images.positions)

    def loss(self, batch: Instances) -> Step:
        """Return the cross-entropy in nats of an image among all, and how often it is the nearest.

        In training the bank moves behind it.
        """
        vectors = self._vectors(batch.pixels[0])
        if len(batch.pixels) == 2:
            logits = cosines(vectors, self._vectors(batch.pixels[1])) / self._temperature
            loss, accuracy = told(logits, torch.arange(len(logits), device=logits.device))
            return Step(loss, {"loss": loss.detach(), "accuracy": accuracy})
        # A copy: the bank moves before the way back.
        logits, own = cosines(vectors, self.bank.clone()) / self._temperature, batch.positions
        loss, accuracy = told(logits, own)
        if self._negatives:
            loss = estimated(logits, own, self._negatives, self.constant, train=self.training)
        if self.training:
            move(self.bank, own, vectors, self._momentum)
        return Step(loss, {"loss": loss.detach(), "accuracy": accuracy})

    def chance(self, batch: Instances) -> dict[str, float]:
        """Return what a guess costs; a noise-contrastive estimate has no such level."""
        if len(batch.pixels) == 2:
            return {"loss": math.log(len(batch.positions))}
        return {} if self._negatives else {"loss": math.log(len(self.bank))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return a view of each image."""
        return {"view": self.views(images, torch.Generator().manual_seed(0)).pixels[0]}

    def _vectors(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.head(self.encoder.vector(pixels)).float(), dim=1)
