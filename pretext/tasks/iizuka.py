"""Let there be Color! Local and global features, fused (Iizuka, Simo-Serra & Ishikawa 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.color import has_color
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step
from pretext.tasks import coloring
from pretext.tasks.cropping import check_square, square
from pretext.tasks.two_views import layer

AB_RANGE = 100.0
"""What the sigmoid's ends stand for: ab is (2p − 1) · 100, as in the release; colours beyond it are cut."""

POOLED = 2
"""Cells on a side of what the fully connected layers see of the image."""

NARROWEST = 8
"""Channels that the decoder has at least."""


class Scaled(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; ab: (B, 2, h, w), scaled to [0, 1]; counts: (B,) bool, has colour."""

    pixels: Tensor
    ab: Tensor
    counts: Tensor


class Iizuka(coloring.ColoringTask):
    """Regresses ab at half the resolution from features of each place and of the whole image.

    Two convolutions on the trunk's last map are the local features; four more on the same map and three fully
    connected layers the global ones. Both are fused at every place, and a decoder doubles the resolution. The
    loss is the mean squared error.

    Left out is the paper's second loss, the scene's class from the global features by cross-entropy, weighed
    1/300: a pretext task does without labels, so that the global features are taught by colours alone. The
    trunk is the suite's in place of the paper's six convolutions. What the fully connected layers see is
    averaged over 2×2 parts of the image, of any size, where the paper's global branch looks at a copy of 224
    pixels (7×7). The colours that are asked for are those of every second pixel, not averaged. Gray images
    weigh nothing, as in the suite's other colour tasks.

    Args:
        encoder: what is trained; its input must not show colour.
        hidden: channels of what is fused, by which all other widths go; 256 in the paper.
        target_stride: distance of the predicted positions in pixels.
        crop: side of the square that is seen; None for the image's shorter side. 224 in the paper.
        padding: mirrored border in which the random square may lie.
        allow_colour: accept an input that shows the answer.

    Raises:
        ValueError: an input that shows colour, a last stage that does not fit, a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        hidden: int = 64,
        target_stride: int = 2,
        crop: int | None = None,
        padding: int = 4,
        allow_colour: bool = False,
    ) -> None:
        super().__init__()
        if hidden < 2 or target_stride < 1:
            raise ValueError(
                f"Iizuka takes hidden from 2 and target_stride from 1, got {hidden} and {target_stride}"
            )
        coloring.refuse_color("Iizuka", encoder, allow_colour)
        check_square("Iizuka", crop, padding)
        self.encoder = encoder
        last = encoder.stages[-1]
        self.head = FusionHead(last.channels, hidden, coloring.doublings_to(last, target_stride))
        self._stride, self._crop, self._padding = target_stride, crop, padding

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images, for the balanced AuC."""
        self.balance.copy_(coloring.balancing(loader, cache, coloring.METRIC_STRIDE))

    def views(self, images: Images, generator: torch.Generator) -> Scaled:
        """Crop and flip each image, and sample its colours."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=self._stride,
        )
        ab = coloring.target_ab(pixels, self._stride)  # (B, 2, S/stride, S/stride)
        return Scaled(pixels, (ab / (2 * AB_RANGE) + 0.5).clamp(0, 1), has_color(ab))

    def loss(self, batch: Scaled) -> Step:
        """Return the mean squared error of scaled ab over coloured images; 0 where there is none."""
        guess = self._scaled(batch.pixels, (batch.ab.shape[-2], batch.ab.shape[-1]))
        loss = coloring.mean_of_colored(coloring.squared(guess - batch.ab), batch.counts)
        return Step(loss, {"loss": loss.detach()}, batch.counts.sum())

    def chance(self, batch: Scaled) -> dict[str, float]:
        """Return what gray costs on this batch."""
        errors = coloring.squared(0.5 - batch.ab)
        return {"loss": float(coloring.mean_of_colored(errors, batch.counts))}

    def blind(self, batch: Scaled) -> dict[str, float]:
        """Return what the mean colour costs."""
        return coloring.mean_color_costs(batch.ab, batch.counts, coloring.squared)

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W), upsampled; it goes with the image's L, in the paper with its Y."""
        size = (pixels.shape[-2], pixels.shape[-1])
        ab = (self._scaled(pixels, coloring.target_size(*size, self._stride)) * 2 - 1) * AB_RANGE
        return coloring.to_image(ab, size, self._stride)

    def _scaled(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        logits: Tensor = self.head(self.encoder(pixels).maps[self.encoder.stage_names[-1]], size)
        return logits.float().sigmoid()  # (B, 2, *size)


class FusionHead(nn.Module):
    """From the trunk's last map to two channels, by way of local and global features.

    BatchNorm before every ReLU. The last layer starts near zero.

    Args:
        channels: of the map. hidden: of the fused one. doublings: how many times the resolution is doubled.
    """

    def __init__(self, channels: int, hidden: int, doublings: int) -> None:
        super().__init__()
        wide = 2 * hidden
        self.local = nn.Sequential(
            coloring.normalised(channels, wide, 3), coloring.normalised(wide, hidden, 3)
        )
        self.scene = nn.Sequential(
            coloring.normalised(channels, wide, 3, stride=2),
            coloring.normalised(wide, wide, 3),
            coloring.normalised(wide, wide, 3, stride=2),
            coloring.normalised(wide, wide, 3),
        )
        self.summary = nn.Sequential(
            *layer(wide * POOLED**2, 4 * hidden), *layer(4 * hidden, wide), *layer(wide, hidden)
        )
        self.fuse = coloring.normalised(2 * hidden, hidden, 1)
        width = max(hidden // 2, NARROWEST)
        self.steps = nn.ModuleList([coloring.normalised(hidden, width, 3)])
        for left in reversed(range(doublings)):
            before, width = width, max(width // 2, NARROWEST)
            again = [coloring.normalised(width, width, 3)] if left else []
            self.steps.append(nn.Sequential(coloring.normalised(before, width, 3), *again))
        self.out = nn.Conv2d(width, 2, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.out.weight, std=1e-3)  # starts at gray, which is chance
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (B, channels, h', w') to (B, 2, *size)."""
        whole = self.summary(F.adaptive_avg_pool2d(self.scene(x), POOLED).flatten(1))  # (B, hidden)
        everywhere = whole[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        x = self.fuse(torch.cat([everywhere, self.local(x)], dim=1))
        for i, step in enumerate(self.steps):
            if i:
                left = 2 ** (len(self.steps) - 1 - i)
                target = [-(-side // left) for side in size]
                x = F.interpolate(x, target, mode="nearest")
            x = step(x)
        out: Tensor = self.out(x)
        return out
