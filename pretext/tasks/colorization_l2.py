"""The regression variants of colorization, from scratch and fine-tuned (arXiv:1603.08511, "L2", "L2, ft")."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pretext.color import has_color
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step, Task
from pretext.tasks import coloring
from pretext.tasks.colorization import Colorization
from pretext.tasks.cropping import check_square, square

AB_UNIT = 110.0
"""Predicted values are ab / 110, within about ±1."""


class Regressed(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; ab: (B, 2, S/stride, S/stride) / 110; counts: (B,) bool, has colour."""

    pixels: Tensor
    ab: Tensor
    counts: Tensor


class ColorizationL2(coloring.ColoringTask):
    """Regresses ab at every fourth pixel by squared error, with the trunk and head of `Colorization`.

    Gray images weigh nothing, as in `Colorization`. For the fine-tuned variant, `initialise_from` a trained
    one.

    Args:
        encoder: what is trained; its input must not show colour.
        stage: where the head sits; the last by default. Stages after it are not trained.
        target_stride: distance of the predicted positions in pixels.
        hidden: channels of the head.
        block8: take the paper's own head, whose `hidden` is 256 (`pretext.tasks.block8`).
        crop: side of the square that is seen; None for the image's shorter side.
        padding: mirrored border in which the random square may lie.
        allow_colour: accept an input that shows the answer.

    Raises:
        ValueError: an input that shows colour, or a stage that does not fit.
    """

    def __init__(
        self,
        encoder: Encoder,
        stage: str | None = None,
        target_stride: int = 4,
        hidden: int = 64,
        crop: int | None = None,
        padding: int = 4,
        allow_colour: bool = False,
        block8: bool = False,
    ) -> None:
        super().__init__()
        coloring.refuse_color("ColorizationL2", encoder, allow_colour)
        check_square("ColorizationL2", crop, padding)
        self.encoder = encoder
        self.head = coloring.build_head(encoder, stage, hidden, 2, target_stride, block8)
        self._stage = stage or encoder.stage_names[-1]
        self._stride, self._crop, self._padding = target_stride, crop, padding

    @torch.no_grad()
    def initialise_from(self, parent: Task) -> None:
        """Take over encoder and head of a trained `Colorization`, all but the head's last layer.

        Raises:
            ValueError: another trained task, or one of another architecture.
        """
        if parent.untrained:  # an initialisation has no head
            super().initialise_from(parent)
            return
        if not isinstance(parent, Colorization):
            raise ValueError(f"ColorizationL2 starts from a Colorization, got {type(parent).__name__}")
        here, there = self.encoder.architecture, parent.encoder.architecture
        shared = ("stage", "target_stride", "hidden", "block8")
        differing = [k for k in shared if self.arguments.get(k) != parent.arguments.get(k)]
        if here != there or differing:
            raise ValueError(
                "ColorizationL2 starts from a Colorization of the same encoder and head; "
                f"encoder here {here}, there {there}; differing arguments: {', '.join(differing) or 'none'}"
            )
        self.encoder.load_state_dict(parent.encoder.state_dict())
        trunk = {k: v for k, v in parent.head.state_dict().items() if not k.startswith("out.")}
        self.head.load_state_dict({**self.head.state_dict(), **trunk})

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images, for the balanced AuC."""
        self.balance.copy_(coloring.balancing(loader, cache, self._stride))

    def views(self, images: Images, generator: torch.Generator) -> Regressed:
        """Crop and flip each image, and sample the colours of every fourth pixel."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=self._stride,
        )
        ab = coloring.target_ab(pixels, self._stride)  # (B, 2, S/stride, S/stride)
        return Regressed(pixels, ab / AB_UNIT, has_color(ab))

    def loss(self, batch: Regressed) -> Step:
        """Return the mean squared error of ab / 110 over coloured images; 0 where there is none."""
        predicted = self._ab(batch.pixels, (batch.ab.shape[-2], batch.ab.shape[-1]))
        loss = coloring.mean_of_colored(coloring.squared(predicted - batch.ab), batch.counts)
        return Step(loss, {"loss": loss.detach()}, batch.counts.sum())

    def chance(self, batch: Regressed) -> dict[str, float]:
        """Return what a gray prediction costs on this batch."""
        return {"loss": float(coloring.mean_of_colored(coloring.squared(batch.ab), batch.counts))}

    def blind(self, batch: Regressed) -> dict[str, float]:
        """Return what the mean colour costs."""
        return coloring.mean_color_costs(batch.ab, batch.counts, coloring.squared)

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W): the prediction, upsampled."""
        size = (pixels.shape[-2], pixels.shape[-1])
        ab = self._ab(pixels, coloring.target_size(*size, self._stride)) * AB_UNIT
        return coloring.to_image(ab, size, self._stride)

    def _ab(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        maps = self.encoder(pixels, stop=self._stage).maps[self._stage]  # (B, C, ~S/8, ~S/8)
        ab: Tensor = self.head(maps, size).float()  # (B, 2, *size)
        return ab
