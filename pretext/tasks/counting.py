"""Counting: parts have together what the whole has (Noroozi, Pirsiavash & Favaro 2017, arXiv:1708.06734)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.cropping import check_square, square
from pretext.tasks.two_views import layer

FILTERS = (views.BILINEAR, views.BICUBIC)
"""One is drawn for each batch: the traces of a single one would tell the whole from its parts."""


class Parts(NamedTuple):
    """whole: (B, 3, S/2, S/2) in [0, 1]; quarters: (4, B, 3, S/2, S/2), of the same images at full size."""

    whole: Tensor
    quarters: Tensor


class Counting(Task):
    """Counts of something, which the network chooses: those of four quarters add up to those of the whole.

    The whole is seen at half its size, so that all are as large. That another image has other counts keeps
    the network from counting nothing: |φ(whole) − Σ φ(quarters)|² + max(0, M − |φ(other) − Σ φ(quarters)|²).
    Where all counts are zero, the loss is M. The head's hidden layer has BatchNorm, as others here.

    Args:
        encoder: what is trained.
        counts: how many things are counted.
        hidden: width of the head.
        margin: M, the squared distance that other images shall have.
        gray: probability that an image has no colour.
        crop: side of the square that is seen, even; None for the image's shorter side. 224 in the paper.
        padding: mirrored border in which the random square may lie.

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        counts: int = 1000,
        hidden: int = 4096,
        margin: float = 10.0,
        gray: float = 0.67,
        crop: int | None = None,
        padding: int = 4,
    ) -> None:
        super().__init__()
        if min(counts, hidden) < 1 or not margin > 0:
            raise ValueError(
                "Counting takes counts and hidden from 1 and a positive margin, "
                f"got {counts}, {hidden}, {margin}"
            )
        views.check_probability("Counting.gray", gray)
        check_square("Counting", crop, padding)
        self.encoder = encoder
        last = nn.Linear(hidden, counts)
        nn.init.normal_(
            last.weight, std=0.1 * (hidden * counts) ** -0.5
        )  # starts close to nothing, at chance
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(*layer(encoder.width, hidden), last, nn.ReLU())
        self._margin, self._gray, self._crop, self._padding = margin, gray, crop, padding

    def views(self, images: Images, generator: torch.Generator) -> Parts:
        """Cut a square, halve it, in training by one of several filters, and quarter it."""
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=2,
        )
        if self.training:
            pixels = views.random_gray(pixels, generator, self._gray)
        side = pixels.shape[-1]
        half = side // 2
        drawn = int(torch.randint(len(FILTERS), (), generator=generator)) if self.training else 0
        box = torch.tensor([[0, 0, side, side]]).expand(len(pixels), -1)
        whole = views.crop_resize(pixels, box, half, kernel=FILTERS[drawn]).clamp(0, 1)
        rows = (pixels[:, :, :half], pixels[:, :, half:])
        quarters = [part for row in rows for part in (row[..., :half], row[..., half:])]
        return Parts(whole, torch.stack(quarters))

    def loss(self, batch: Parts) -> Step:
        """Return the loss with each image's neighbour in the batch as the other, and its two terms."""
        count = len(batch.whole)
        counted = self.head(self.encoder.vector(torch.cat([batch.whole, batch.quarters.flatten(0, 1)])))
        whole, quarters = counted[:count].float(), counted[count:].float()
        total = quarters.view(4, count, -1).sum(0)
        same = (whole - total).square().sum(1).mean()
        other = F.relu(self._margin - (whole.roll(1, 0) - total).square().sum(1)).mean()
        loss = same + other
        return Step(loss, {"loss": loss.detach(), "same": same.detach(), "other": other.detach()})

    def chance(self, batch: Parts) -> dict[str, float]:
        """Return what counting nothing costs."""
        return {"loss": self._margin}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return the whole and its first quarter."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        return {"whole": batch.whole, "quarter": batch.quarters[0]}
