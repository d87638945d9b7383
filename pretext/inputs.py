"""What an encoder sees of an RGB image. Fixed functions of the image: no weights, no randomness."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.color import lightness, rgb_to_lab

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Input(nn.Module, ABC):
    """Takes RGB in [0, 1], (B, 3, H, W), and returns (B, channels, H, W).

    Attributes:
        name: how configurations, saved encoders and records call it.
        channels: of what it returns.
        sees_color: whether it shows colour, and not brightness alone.
        arguments: the plain constructor arguments, so that a saved encoder can be rebuilt.
    """

    name: ClassVar[str]
    channels: ClassVar[int]
    sees_color: ClassVar[bool] = True

    def __init__(self, arguments: dict[str, object]) -> None:
        super().__init__()
        self.arguments = arguments

    @abstractmethod
    def forward(self, rgb: Tensor) -> Tensor:
        """Map (B, 3, H, W) in [0, 1] to (B, channels, H, W)."""

    def extra_repr(self) -> str:
        """Show the arguments in the printed module."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())


class Lightness(Input):
    """CIE L, centred: (L − 50) · scale, in [−1, 1] by default.

    `scale=1` is the undivided L − 50 of colorization's release (arXiv:1603.08511).
    """

    name = "lightness"
    channels = 1
    sees_color = False

    def __init__(self, scale: float = 1 / 50) -> None:
        super().__init__({"scale": float(scale)})
        self.scale = _positive(self.name, scale)

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 1, H, W)."""
        return (lightness(rgb) - 50) * self.scale


class MeanGray(Input):
    """(R + G + B) / 3 in [0, 1], the gray of Larsson et al. (arXiv:1603.06668)."""

    name = "gray"
    channels = 1
    sees_color = False

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 1, H, W)."""
        return rgb.mean(dim=1, keepdim=True)


class RGB(Input):
    """(RGB − mean) / std by channel; by default ImageNet's statistics, as torchvision's weights expect.

    Raises:
        ValueError: mean or std without three entries, or a std that is not positive.
    """

    name = "rgb"
    channels = 3
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__({"mean": [float(m) for m in mean], "std": [float(s) for s in std]})
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f"RGB takes three values for mean and for std, got {list(mean)} and {list(std)}")
        if min(std) <= 0:
            raise ValueError(f"RGB takes a positive std, got {list(std)}")
        # Arguments, not weights: they are saved as such and must not turn up in a state dict.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 3, H, W)."""
        return (rgb - self.mean) / self.std


class Lab(Input):
    """CIE Lab as (L − 50, a, b) · scale. One scale for all three keeps distances those of Lab."""

    name = "lab"
    channels = 3
    offset: Tensor

    def __init__(self, scale: float = 1 / 50) -> None:
        super().__init__({"scale": float(scale)})
        self.scale = _positive(self.name, scale)
        self.register_buffer("offset", torch.tensor([50.0, 0.0, 0.0]).view(3, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 3, H, W)."""
        return (rgb_to_lab(rgb) - self.offset) * self.scale


class AB(Input):
    """The colour channels of CIE Lab without lightness, (a, b) · scale (split-brain, arXiv:1611.09842)."""

    name = "ab"
    channels = 2

    def __init__(self, scale: float = 1 / 50) -> None:
        super().__init__({"scale": float(scale)})
        self.scale = _positive(self.name, scale)

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 2, H, W)."""
        return rgb_to_lab(rgb)[:, 1:] * self.scale


class Sobel(Input):
    """Horizontal and vertical Sobel differences of (R + G + B) / 3, each in [−4, 4].

    The input of DeepCluster (arXiv:1807.05520), whose release normalises RGB first and pads with zeros.
    The border is replicated here, since zeros around an image in [0, 1] would draw a frame of edges.
    """

    name = "sobel"
    channels = 2
    sees_color = False

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, rgb: Tensor) -> Tensor:
        """Return (B, 2, H, W): left minus right, then top minus bottom."""
        gray = F.pad(rgb.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")  # (B, 1, H+2, W+2)
        columns = gray[:, :, :-2] + 2 * gray[:, :, 1:-1] + gray[:, :, 2:]  # (B, 1, H, W+2)
        rows = gray[..., :-2] + 2 * gray[..., 1:-1] + gray[..., 2:]  # (B, 1, H+2, W)
        horizontal = columns[..., :-2] - columns[..., 2:]
        vertical = rows[:, :, :-2] - rows[:, :, 2:]
        return torch.cat([horizontal, vertical], dim=1)


def _positive(name: str, scale: float) -> float:
    if not 0 < scale < math.inf:
        raise ValueError(f"input {name!r} takes a positive scale, got {scale}")
    return float(scale)


INPUTS: dict[str, type[Input]] = {kind.name: kind for kind in (Lightness, MeanGray, RGB, Lab, AB, Sobel)}
"""All inputs by name."""


def named(name: str) -> type[Input]:
    """The input of that name.

    Raises:
        ValueError: no such input; the message lists those that exist.
    """
    if name not in INPUTS:
        raise ValueError(f"there is no input {name!r}; the inputs are: {', '.join(INPUTS)}")
    return INPUTS[name]


def build(name: str, **arguments: object) -> Input:
    """Build the input of that name.

    Raises:
        ValueError: as `named`; arguments it does not take, or that are not finite.
    """
    constructor: Callable[..., Input] = named(name)  # each kind takes arguments of its own
    for key, value in arguments.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ValueError(f"input_arguments.{key} of {name!r} are finite numbers, got {value}")
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise ValueError(f"input {name!r} cannot be built from {arguments}: {error}") from error
