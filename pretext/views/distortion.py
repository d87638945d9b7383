"""The colour distortion of two-view tasks: jitter, gray, blur, solarise, each with a probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pretext.views.blur import check_kernel, random_blur
from pretext.views.checks import check_probability, check_range
from pretext.views.gray import random_gray
from pretext.views.jitter import color_jitter
from pretext.views.solarisation import random_solarise


@dataclass(frozen=True)
class Distortion:
    """Distorts images in the order of SimCLR, BYOL, SwAV and DINO. What has probability 0 is not drawn.

    Args:
        brightness, contrast, saturation, hue: sizes of the jitter, see `color_jitter`.
        jitter: probability of the jitter.
        gray: probability that the colour goes.
        blur: probability of a Gaussian blur.
        kernel_size: of the blur, an odd number of pixels.
        sigma: least and largest standard deviation of the blur, in pixels.
        solarise: probability that values from ½ on are inverted.

    Raises:
        ValueError: a value out of its range.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    jitter: float = 0.8
    gray: float = 0.2
    blur: float = 0.0
    kernel_size: int = 23
    sigma: tuple[float, float] = (0.1, 2.0)
    solarise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Distortion.{name} is a size from 0, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"Distortion.hue is a part of a circle in [0, 0.5], got {self.hue}")
        for name in ("jitter", "gray", "blur", "solarise"):
            check_probability(f"Distortion.{name}", getattr(self, name))
        check_kernel("Distortion.kernel_size", self.kernel_size)
        check_range("Distortion.sigma", self.sigma, 0, float("inf"))

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Distort each image of (B, 3, H, W) in [0, 1] by draws of its own."""
        if self.jitter:
            pixels = color_jitter(
                pixels, generator, self.brightness, self.contrast, self.saturation, self.hue, self.jitter
            )
        if self.gray:
            pixels = random_gray(pixels, generator, self.gray)
        if self.blur:
            pixels = random_blur(pixels, generator, self.kernel_size, self.sigma, self.blur)
        if self.solarise:
            pixels = random_solarise(pixels, generator, self.solarise)
        return pixels
