"""SimCLR: views of one image are alike, of two they differ (Chen et al. 2020, arXiv:2002.05709)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.cropping import check_square
from pretext.tasks.ntxent import chance, nt_xent
from pretext.tasks.two_views import distorted, layer

JITTER = (0.8, 0.8, 0.8, 0.2)
"""Brightness, contrast, saturation and hue at strength 1."""


class Pairs(NamedTuple):
    """pixels: (2B, 3, S, S) in [0, 1], the first views of all images and then the second ones."""

    pixels: Tensor


class SimCLR(Task):
    """Finds a view's partner among all views of the batch, by the cosine of projections.

    A view is a random crop, mirrored or not, of distorted colours. Both views of an image are drawn alike, in
    validation too: they are the task. A batch of B images costs 2B forward passes; `images seen` counts B.

    The head is that of the paper and its first release: two layers with BatchNorm after each, the last
    without shift and without ReLU. The second release has three. Crops are resized bilinearly; the release
    has a bicubic filter.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's, in (0, 1].
        strength: of the jitter, 1 for ImageNet; at most 2.5.
        gray: probability that a view has no colour.
        blur: probability that a view is blurred. The kernel is a tenth of the side; the widths, of 0.1 to 2
            pixels, are made for 224: on small images they take away what there is to see.
        temperature: by which cosines are divided.
        hidden: width of the hidden layers of the head; the paper's is the encoder's.
        outputs: width of the projection.
        layers: of the head.
        blur_kernel: side of the blur's kernel in pixels, odd; None for a tenth of the view's.
        norm: whether each layer of the head has BatchNorm; without, it has a bias (as public suites have it).

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        strength: float = 1.0,
        gray: float = 0.2,
        blur: float = 0.5,
        temperature: float = 0.1,
        hidden: int = 2048,
        outputs: int = 128,
        layers: int = 2,
        blur_kernel: int | None = None,
        norm: bool = True,
    ) -> None:
        super().__init__()
        check_square("SimCLR", crop, 0)
        views.check_range("SimCLR.area", area, 0, 1)
        if not 0 <= strength <= 0.5 / JITTER[3]:
            raise ValueError(f"SimCLR.strength is in [0, {0.5 / JITTER[3]:g}], got {strength}")
        views.check_probability("SimCLR.gray", gray)
        views.check_probability("SimCLR.blur", blur)
        if blur_kernel is not None:
            views.check_kernel("SimCLR.blur_kernel", blur_kernel)
        if not temperature > 0:
            raise ValueError(f"SimCLR.temperature is positive, got {temperature}")
        if min(hidden, outputs, layers) < 1:
            raise ValueError(
                f"SimCLR takes hidden, outputs and layers from 1, got {hidden}, {outputs}, {layers}"
            )
        self.encoder = encoder
        widths = [encoder.width, *[hidden] * (layers - 1), outputs]
        self.head = _head(widths) if norm else _plain_head(widths)
        self._crop, self._area, self._temperature = crop, (area[0], area[1]), temperature
        self._strength, self._gray, self._blur, self._blur_kernel = strength, gray, blur, blur_kernel

    def views(self, images: Images, generator: torch.Generator) -> Pairs:
        """Draw two views of each image."""
        side = min(images.pixels.shape[-2:]) if self._crop is None else self._crop
        (crops,) = views.multi_crop(images.pixels, [views.Crops(2, side, self._area)], generator)
        jitter = [self._strength * size for size in JITTER]
        flat = crops.flatten(0, 1)
        return Pairs(
            distorted(flat, generator, jitter, self._gray, self._blur, blur_kernel=self._blur_kernel)
        )

    def loss(self, batch: Pairs) -> Step:
        """Return NT-Xent in nats, and how often the partner is the nearest of all views."""
        one, two = self.head(self.encoder.vector(batch.pixels)).chunk(2)  # (B, outputs) each
        contrast = nt_xent(one, two, self._temperature)
        return Step(contrast.loss, {"loss": contrast.loss.detach(), "accuracy": contrast.accuracy})

    def chance(self, batch: Pairs) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": chance(len(batch.pixels) // 2)}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        one, two = self.views(images, torch.Generator().manual_seed(0)).pixels.clamp(0, 1).chunk(2)
        return {"view 1": one, "view 2": two}


def _head(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths, each with BatchNorm in place of a bias, and ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += layer(before, after)
    *rest, last, _ = layers
    assert isinstance(last, nn.BatchNorm1d)
    last.bias.requires_grad_(False)
    return nn.Sequential(*rest, last)


def _plain_head(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths, and ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
