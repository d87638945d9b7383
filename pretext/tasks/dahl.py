"""The residual encoder that predicts U and V of every pixel (Dahl 2016, "Automatic Colorization")."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.backbones import Stage
from pretext.color import U_MAX, V_MAX, has_color, rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step
from pretext.tasks import coloring
from pretext.tasks.cropping import check_square, square

BLURS = ((3, 0.8), (5, 1.1))
"""Side and deviation in pixels of the Gaussians; the deviations are OpenCV's for these sides."""

GRAYS = 3
"""Times that a gray input is repeated: the paper's network takes RGB."""

NARROWEST = 16
"""Channels at the least where the trunk has no map of the resolution."""


class Chrominance(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; uv: (B, 2, S, S), U and V in [0, 1]; counts: (B,) bool, has colour."""

    pixels: Tensor
    uv: Tensor
    counts: Tensor


class Dahl(coloring.ColoringTask):
    """Predicts U and V of every pixel by squared error, also of both blurred.

    From the last map a decoder doubles the resolution up to the image's own. At each it adds what the trunk
    has there, normalised: the last stage of that stride, at the end the input itself. The loss is the mean of
    the squared errors of U and V as they are, blurred over 3 pixels, and over 5.

    Known from the author's text and from ports. There the trunk is a VGG-16 that was trained to classify and
    is kept as it is; here it is the suite's and the one thing that is wanted, trained from scratch, without
    labels. Where it has no map of a resolution, as transformers, the decoder goes on alone at half its width.
    How wide the blurs are is nowhere said. Gray images weigh nothing, as in the suite's other colour tasks.

    Args:
        encoder: what is trained; its input must not show colour.
        crop: side of the square that is seen; None for the image's shorter side. 224 in the paper.
        padding: mirrored border in which the random square may lie.
        allow_colour: accept an input that shows the answer.

    Raises:
        ValueError: an input that shows colour, or a stage whose stride is no power of two.
    """

    def __init__(
        self, encoder: Encoder, crop: int | None = None, padding: int = 4, allow_colour: bool = False
    ) -> None:
        super().__init__()
        coloring.refuse_color("Dahl", encoder, allow_colour)
        check_square("Dahl", crop, padding)
        self.encoder = encoder
        self.decoder = ResidualDecoder(encoder.stages, encoder.input.channels)
        self._crop, self._padding = crop, padding

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images, for the balanced AuC."""
        self.balance.copy_(coloring.balancing(loader, cache, coloring.METRIC_STRIDE))

    def views(self, images: Images, generator: torch.Generator) -> Chrominance:
        """Crop and flip each image, and convert it to U and V."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=coloring.METRIC_STRIDE,
        )
        counts = has_color(coloring.target_ab(pixels, coloring.METRIC_STRIDE))
        u, v = rgb_to_yuv(pixels)[:, 1:].unbind(1)
        uv = torch.stack([u / (2 * U_MAX), v / (2 * V_MAX)], dim=1) + 0.5
        return Chrominance(pixels, uv, counts)

    def loss(self, batch: Chrominance) -> Step:
        """Return the mean of the three squared errors over coloured images; 0 where there is none."""
        guess = self._logits(batch.pixels).sigmoid()
        loss = coloring.mean_of_colored(errors(guess - batch.uv).mean(dim=1), batch.counts)
        return Step(loss, {"loss": loss.detach()}, batch.counts.sum())

    def chance(self, batch: Chrominance) -> dict[str, float]:
        """Return what gray costs on this batch."""
        return {"loss": float(coloring.mean_of_colored(errors(0.5 - batch.uv).mean(dim=1), batch.counts))}

    def blind(self, batch: Chrominance) -> dict[str, float]:
        """Return what the mean of U and V costs."""
        return coloring.mean_color_costs(batch.uv, batch.counts, lambda off: errors(off).mean(dim=1))

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W) of the predicted U and V beside the image's own Y."""
        u, v = ((self._logits(pixels).sigmoid() - 0.5) * 2).unbind(1)
        yuv = torch.stack([rgb_to_yuv(pixels)[:, 0], u * U_MAX, v * V_MAX], dim=1)
        return rgb_to_lab(yuv_to_rgb(yuv))[:, 1:]

    def _logits(self, pixels: Tensor) -> Tensor:
        seen = self.encoder.input(pixels)
        logits: Tensor = self.decoder(seen, self.encoder.backbone(seen).maps)
        return logits.float()  # (B, 2, H, W)


class ResidualDecoder(nn.Module):
    """From a trunk's maps to two channels at the image's resolution; the last layer starts near zero.

    Args:
        stages: of the trunk, in order. channels: of its input.

    Raises:
        ValueError: a stage whose stride is no power of two.
    """

    def __init__(self, stages: tuple[Stage, ...], channels: int) -> None:
        super().__init__()
        deepest = {stage.stride: stage for stage in stages}  # the last of each stride
        doublings = coloring.doublings_to(stages[-1], 1)
        self.strides = [2**i for i in reversed(range(max(doublings, 1)))]
        taps = [deepest[stride] for stride in self.strides if stride in deepest]
        self.taps = {stage.stride: stage.name for stage in taps}
        widths = {stage.stride: stage.channels for stage in taps}
        self.last, self.repeats = stages[-1].name, GRAYS if channels == 1 else 1
        image = channels * self.repeats
        self.norms = nn.ModuleDict({stage.name: nn.BatchNorm2d(stage.channels) for stage in taps})
        self.norms[self.last] = nn.BatchNorm2d(stages[-1].channels)
        self.image_norm = nn.BatchNorm2d(image)
        self.convs = nn.ModuleList()
        before = stages[-1].channels
        for i, stride in enumerate(self.strides):
            width = image if stride == 1 else widths.get(stride, max(before // 2, NARROWEST))
            self.convs.append(coloring.normalised(before, width, 3 if i else 1))
            before = width
        self.mix = coloring.normalised(image, image, 3)
        self.out = nn.Conv2d(image, 2, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.out.weight, std=1e-3)  # starts at gray, which is chance
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, seen: Tensor, maps: dict[str, Tensor]) -> Tensor:
        """Map the trunk's input (B, channels, H, W) and its maps to (B, 2, H, W)."""
        size = seen.shape[-2:]
        x = self.norms[self.last](maps[self.last])
        for stride, conv in zip(self.strides, self.convs, strict=True):
            x = conv(x)
            target = [-(-side // stride) for side in size]
            if list(x.shape[-2:]) != target:
                x = F.interpolate(x, target, mode="bilinear", align_corners=False)
            if stride in self.taps:
                name = self.taps[stride]
                x = x + self.norms[name](maps[name])
        x = x + self.image_norm(seen.repeat(1, self.repeats, 1, 1))
        out: Tensor = self.out(self.mix(x))
        return out


def errors(difference: Tensor) -> Tensor:
    """Mean squares of differences (B, 2, H, W) as they are and blurred, each channel by itself: (B, 3)."""
    blurred = [
        views.gaussian_blur(difference, torch.full((len(difference),), sigma), side) for side, sigma in BLURS
    ]
    return torch.stack([x.square().mean(dim=(1, 2, 3)) for x in (difference, *blurred)], dim=1)
