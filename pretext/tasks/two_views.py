"""What tasks of two views share: how a pair is drawn, how colours are distorted, layers of heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pretext import views

Strengths = Sequence[float]
"""Of the jitter: brightness, contrast, saturation and hue."""


class Pair(NamedTuple):
    """pixels: (2, B, 3, S, S) in [0, 1], two views of each image."""

    pixels: Tensor

    def shown(self) -> dict[str, Tensor]:
        """The views as pictures."""
        return {"view 1": self.pixels[0], "view 2": self.pixels[1]}


def check_views(
    task: str,
    crop: int | None,
    area: tuple[float, float],
    jitter: Strengths,
    gray: float,
    blur: Sequence[float],
    solarise: Sequence[float],
    blur_kernel: int | None = None,
) -> None:
    """Refuse what no pair of views can be drawn by, when a task is built.

    Raises:
        ValueError: names the task's argument.
    """
    if crop is not None and crop < 1:
        raise ValueError(f"{task}.crop is a number of pixels from 1, or None, got {crop}")
    views.check_range(f"{task}.area", area, 0, 1)
    if len(jitter) != 4 or min(jitter) < 0 or jitter[3] > 0.5:
        raise ValueError(
            f"{task}.jitter is brightness, contrast, saturation, hue from 0, hue to 0.5, got {list(jitter)}"
        )
    views.check_probability(f"{task}.gray", gray)
    for name, both in (("blur", blur), ("solarise", solarise)):
        if len(both) != 2:
            raise ValueError(f"{task}.{name} is a probability for each of two views, got {list(both)}")
        for probability in both:
            views.check_probability(f"{task}.{name}", probability)
    if blur_kernel is not None:
        views.check_kernel(f"{task}.blur_kernel", blur_kernel)


@dataclass(frozen=True)
class TwoViews:
    """Draws two views of each image: a crop, mirrored or not, of distorted colours.

    Crops are resized by a bicubic filter, as BYOL's are; releases of MoCo, DenseCL, SimSiam and NPID have a
    bilinear one.

    Args:
        task: whose arguments these are; errors name them so.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        blur, solarise: probabilities, of the first and of the second view.
        blur_kernel: side of the blur's kernel in pixels, odd; None for a tenth of the view's.

    Raises:
        ValueError: a value out of its range.
    """

    task: str
    crop: int | None
    area: tuple[float, float]
    jitter: Strengths
    gray: float
    blur: Sequence[float] = (0.0, 0.0)
    solarise: Sequence[float] = (0.0, 0.0)
    blur_kernel: int | None = None

    def __post_init__(self) -> None:
        check_views(
            self.task,
            self.crop,
            self.area,
            self.jitter,
            self.gray,
            self.blur,
            self.solarise,
            self.blur_kernel,
        )

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Pair:
        """Draw them of images (B, 3, H, W) in [0, 1]."""
        wanted = [views.Crops(2, self.crop or min(pixels.shape[-2:]), self.area)]
        (crops,) = views.multi_crop(pixels, wanted, generator, kernel=views.BICUBIC)
        both = [
            distorted(view, generator, self.jitter, self.gray, first, second, self.blur_kernel)
            for view, first, second in zip(crops, self.blur, self.solarise, strict=True)
        ]
        return Pair(torch.stack(both))


def distorted(
    pixels: Tensor,
    generator: torch.Generator,
    jitter: Strengths,
    gray: float,
    blur: float = 0.0,
    solarise: float = 0.0,
    blur_kernel: int | None = None,
) -> Tensor:
    """Distort each image by draws of its own; a blur's kernel is a tenth of the side where it is not said."""
    kernel_size = pixels.shape[-1] // 20 * 2 + 1 if blur_kernel is None else blur_kernel
    brightness, contrast, saturation, hue = jitter
    distort = views.Distortion(
        brightness,
        contrast,
        saturation,
        hue,
        gray=gray,
        blur=blur,
        kernel_size=kernel_size,
        solarise=solarise,
    )
    return distort(pixels, generator)


def layer(before: int, after: int, bias: bool = False) -> list[nn.Module]:
    """A hidden layer of a head: linear, BatchNorm, ReLU."""
    return [nn.Linear(before, after, bias=bias), nn.BatchNorm1d(after), nn.ReLU()]


def cosines(vectors: Tensor, others: Tensor) -> Tensor:
    """Of unit vectors (…, N, D) and (…, M, D): (…, N, M), in full precision.

    Mixed precision rounds to a 256th, which a temperature of .07 makes .06 nats of.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors.float() @ others.float().transpose(-2, -1)


def spread(vectors: Tensor) -> Tensor:
    """How far vectors (B, D) point apart: the deviation of unit vectors a channel, times √D.

    1 where they point everywhere, 0 where all are the same, which is how a task without negatives collapses.
    """
    unit = nn.functional.normalize(vectors.detach().float(), dim=1)
    deviation: Tensor = unit.std(dim=0, correction=0).mean()
    return deviation * math.sqrt(vectors.shape[1])
