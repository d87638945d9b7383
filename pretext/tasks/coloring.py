"""What the tasks that predict colour share: their head, and how predicted colours are shown and measured."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones import Stage
from pretext.color import (
    N_BINS,
    ab_at_stride,
    cached_prior,
    color_errors,
    lab_to_rgb,
    lightness,
    psnr,
    rgb_to_lab,
    upsample_ab,
)
from pretext.color.quality import MAX_ERROR
from pretext.colorizers.contract import Hints
from pretext.encoder import Encoder
from pretext.inputs import INPUTS
from pretext.task import Images, Loader, Task
from pretext.tasks import blind
from pretext.tasks.block8 import Block8

COLOURLESS = tuple(name for name, kind in INPUTS.items() if not kind.sees_color)
"""Inputs from which colour has to be guessed."""

METRIC_LAMBDA = 0.0
"""Rebalancing of the balanced AuC: every bin counts alike."""

METRIC_STRIDE = 4
"""Distance of the pixels whose colours are counted for it, where a task's own target is denser."""

BEST_PSNR = 100.0
"""dB; stands for the infinite value of an image that came back exactly."""

Painter = Callable[[Tensor], Tensor]
"""Maps lightness (B, 1, H, W) to ab (B, 2, H, W)."""


class ColoringTask(Task):
    """A task that colours images of any size; they differ in how a colour is read off the network.

    Attributes:
        balance: (313,) weights by which all training colours count alike, from `prepare` on.
    """

    needs_color = True
    balance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("balance", torch.full((N_BINS,), math.nan))

    @abstractmethod
    def paint(self, pixels: Tensor) -> Tensor:
        """Predict ab (B, 2, H, W) for images (B, 3, H, W) in [0, 1] at their own size."""

    def score(self, batch: Any) -> dict[str, tuple[Tensor, Tensor]]:
        """Return AuC and balanced AuC in percent and PSNR in dB, of the images `batch.pixels`."""
        return measures(batch.pixels, self.paint(batch.pixels), self.balance)

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return gray, coloured and original."""
        return pictures(images.pixels, self.colorize)

    @torch.no_grad()
    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour images of any size by their lightness.

        Args:
            lightness: L in [0, 100], (B, 1, H, W).
            hints: taken as any colorizer takes them; these tasks read none.

        Returns: ab (B, 2, H, W).
        """
        return self.paint(gray(lightness))


class ColorHead(nn.Module):
    """From a stage's map to values at the target's resolution, in the manner of block 8 of arXiv:1603.08511.

    A 1×1 convolution to `hidden` channels at the stage's resolution, then twofold upsampling and a 3×3
    convolution until the target's is reached (at least one 3×3), then a 1×1 convolution. The paper's block
    upsamples by a transposed convolution; resizing takes any size of image and stage and no checkerboard.
    BatchNorm before each ReLU, as in the trunk: without it few epochs do not reach as far. The last layer
    starts near zero.

    Args:
        channels: of the stage's map. hidden: of the maps in between. out: of the result.
        doublings: how many times the resolution is doubled.
    """

    def __init__(self, channels: int, hidden: int, out: int, doublings: int) -> None:
        super().__init__()
        self.reduce = normalised(channels, hidden, 1)
        self.convs = nn.ModuleList(normalised(hidden, hidden, 3) for _ in range(max(doublings, 1)))
        self.out = nn.Conv2d(hidden, out, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.out.weight, std=1e-3)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        # The layout that the loss and the decoding over many classes read in order.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (B, channels, h', w') to (B, out, *size)."""
        x = self.reduce(x)
        for i, conv in enumerate(self.convs):
            left = 2 ** (len(self.convs) - 1 - i)
            target = [-(-side // left) for side in size]
            if list(x.shape[-2:]) != target:
                x = F.interpolate(x, target, mode="bilinear", align_corners=False)
            x = conv(x)
        out: Tensor = self.out(x.contiguous(memory_format=torch.channels_last))
        return out


def normalised(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


def build_head(
    encoder: Encoder, stage: str | None, hidden: int, out: int, target_stride: int, block8: bool = False
) -> ColorHead | Block8:
    """Build the head on a stage, the last by default, at the target's stride: ours, or the paper's own.

    Raises:
        ValueError: an unknown stage, or one that is coarser or finer by no power of two; for the paper's head
            the stage must have twice the target's stride.
    """
    if target_stride < 1 or hidden < 1:
        raise ValueError(f"target_stride and hidden start at 1, got {target_stride} and {hidden}")
    place = encoder.backbone.stage(stage or encoder.stage_names[-1])
    doublings = doublings_to(place, target_stride)
    if block8:
        if doublings != 1:
            raise ValueError(
                f"block8 doubles the resolution once: stage {place.name!r} has stride {place.stride}, "
                f"and target_stride={target_stride} needs {2 * target_stride}"
            )
        return Block8(place.channels, hidden, out)
    return ColorHead(place.channels, hidden, out, doublings)


def doublings_to(place: Stage, target_stride: int) -> int:
    """How often a stage's resolution is doubled to the target's.

    Raises:
        ValueError: a stage that is coarser or finer by no power of two.
    """
    doublings = math.log2(place.stride / target_stride)
    if doublings < 0 or doublings != int(doublings):
        raise ValueError(
            f"stage {place.name!r} has stride {place.stride}; it must be target_stride={target_stride} "
            "times a power of two"
        )
    return int(doublings)


def refuse_color(task: str, encoder: Encoder, allow_colour: bool) -> None:
    """Raise ValueError for an encoder that sees the colours it shall predict, unless that is wanted."""
    if encoder.input_name not in COLOURLESS and not allow_colour:
        raise ValueError(
            f"{task} predicts colour, which input {encoder.input_name!r} shows; choose one of "
            f"{', '.join(COLOURLESS)}, or say allow_colour=True"
        )


def whole_cells(pixels: Tensor, stride: int) -> Tensor:
    """Cut images (B, 3, H, W) at the right and the bottom so that sides are multiples of `stride`."""
    height, width = pixels.shape[-2:]
    return pixels[:, :, : height // stride * stride, : width // stride * stride]


def balancing(loader: Loader, cache: Path, stride: int) -> Tensor:
    """Weights (313,) by which all training colours count alike; the counts are kept in `cache`."""
    batches = (whole_cells(images.pixels, stride) for images in loader)
    return cached_prior(cache, loader.digest, batches, stride=stride).weights(METRIC_LAMBDA)


def mean_of_colored(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of values (B,) over the images that count, (B,) bool; 0 where none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


def squared(difference: Tensor) -> Tensor:
    """Mean square of each image's differences, (B, 2, h, w) → (B,)."""
    return difference.square().mean(dim=(1, 2, 3))


def mean_color_costs(colors: Tensor, counts: Tensor, errors: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """The loss of answering every image by the mean of all colours (B, 2, h, w), for `Task.blind`."""

    def cost(answers: Tensor) -> Tensor:
        return mean_of_colored(errors(answers[:, :, None, None] - colors), counts)

    return blind.level(colors.mean(dim=(2, 3)), cost, counts)


def target_ab(pixels: Tensor, stride: int) -> Tensor:
    """Colours to be predicted, point-sampled: (B, 3, H, W) in [0, 1] → ab (B, 2, H/stride, W/stride)."""
    return ab_at_stride(pixels, stride)


def target_size(height: int, width: int, stride: int) -> tuple[int, int]:
    """Size of the prediction for an image of any size: one value at every `stride`-th pixel."""
    return -(-height // stride), -(-width // stride)


def to_image(ab: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Upsample ab (B, 2, h, w), sampled at multiples of `stride`, to (B, 2, *size)."""
    height, width = ab.shape[-2:]
    return upsample_ab(ab.float(), (height * stride, width * stride))[:, :, : size[0], : size[1]]


def gray(light: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in [0, 1] of lightness (B, 1, H, W) in [0, 100] without colour."""
    return lab_to_rgb(torch.cat([light, torch.zeros_like(light), torch.zeros_like(light)], dim=1))


def pictures(pixels: Tensor, paint: Painter) -> dict[str, Tensor]:
    """Gray, coloured and original, each (B, 3, H, W) in [0, 1]; coloured keeps the original lightness."""
    light = lightness(pixels)  # (B, 1, H, W)
    coloured = lab_to_rgb(torch.cat([light, paint(light)], dim=1))
    return {"gray": gray(light), "coloured": coloured, "original": pixels}


def measures(pixels: Tensor, ab: Tensor, balance: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """AuC in percent, plain and balanced, and PSNR in dB, as (sum, weight).

    Args:
        pixels: the originals, (B, 3, H, W) in [0, 1].
        ab: predicted, (B, 2, H, W).
        balance: (313,), weights that make all bins count alike.
    """
    lab = rgb_to_lab(pixels)  # (B, 3, H, W)
    errors = color_errors(ab, lab[:, 1:], balance)
    coloured = lab_to_rgb(torch.cat([lab[:, :1], ab], dim=1))
    decibel = psnr(coloured, pixels).clamp(max=BEST_PSNR)  # (B,)
    weight, balanced = errors.weight.sum(), errors.balanced_weight.sum()
    return {
        "auc": (100 * (weight - errors.error.sum() / MAX_ERROR), weight),
        "auc_balanced": (100 * (balanced - errors.balanced_error.sum() / MAX_ERROR), balanced),
        "psnr": (decibel.sum(), torch.tensor(len(decibel))),
    }
