"""DenseCL: MoCo of images and of places in them at once (Wang et al. 2021, arXiv:2011.09157)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones import CLASS_TOKEN
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Progress, Step, Task
from pretext.tasks.keys import Keyed, check_queue, check_splits, enter, fill, in_order, in_parts, keyed, told
from pretext.tasks.teacher import follow, teacher_of
from pretext.tasks.two_views import Strengths, TwoViews, cosines


class DenseCL(Task):
    """MoCo, and beside it the same of every cell of the last map, by a head and a queue of their own.

    The key of a cell is that of the other view's cell whose features, of the networks without their heads,
    are the closest by cosine; its others are means of the cells of other images. All else is as in MoCo:
    teacher, ShuffleBN, all weights decayed, queues that begin with keys of training images.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur: probability that a view is blurred, by widths that are made for 224 pixels.
        hidden, outputs: widths of both heads, without BatchNorm; hidden 0 for linear ones.
        cells: on a side, from 2, to which the last map is pooled; None for all it has. 7 in the paper.
        temperature: by which cosines are divided.
        queue: K, keys of other images, of both kinds; no more than there are training images.
        momentum: the teacher's, throughout.
        splits: parts of a batch that BatchNorm sees apart.
        share: λ, of the cells in the loss; the rest is the image's.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("queue", "queue_cells")
    queue: Tensor
    queue_cells: Tensor

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.2, 1.0),
        jitter: Strengths = (0.4, 0.4, 0.4, 0.1),
        gray: float = 0.2,
        blur: float = 0.5,
        hidden: int = 2048,
        outputs: int = 128,
        cells: int | None = None,
        temperature: float = 0.2,
        queue: int = 65_536,
        momentum: float = 0.999,
        splits: int = 8,
        share: float = 0.5,
    ) -> None:
        super().__init__()
        self._two = TwoViews("DenseCL", crop, area, jitter, gray, (blur, blur))
        if hidden < 0 or min(outputs, queue, splits) < 1 or (cells is not None and cells < 2):
            raise ValueError(
                "DenseCL takes hidden from 0, outputs, queue and splits from 1, and cells from 2 or None, "
                f"got {hidden}, {outputs}, {queue}, {splits}, {cells}"
            )
        if not temperature > 0:
            raise ValueError(f"DenseCL.temperature is positive, got {temperature}")
        if not 0 <= momentum <= 1 or not 0 < share < 1:
            raise ValueError(
                "DenseCL.momentum and DenseCL.share are shares in [0, 1] and (0, 1), "
                f"got {momentum} and {share}"
            )
        self.encoder = encoder
        first, dense = list[nn.Module](), list[nn.Module]()
        if hidden:
            first = [nn.Linear(encoder.width, hidden), nn.ReLU()]
            dense = [nn.Conv2d(encoder.width, hidden, 1), nn.ReLU()]
        self.head = nn.Sequential(*first, nn.Linear(hidden or encoder.width, outputs))
        self.dense = nn.Sequential(*dense, nn.Conv2d(hidden or encoder.width, outputs, 1))
        self.teacher = teacher_of(encoder)
        self.teacher_head, self.teacher_dense = teacher_of(self.head), teacher_of(self.dense)
        for name in self.transient:
            self.register_buffer(name, F.normalize(torch.randn(queue, outputs), dim=1))
        self._cells, self._share = cells, share
        self._temperature, self._momentum, self._splits = temperature, momentum, splits

    def initialise_from(self, parent: Task) -> None:
        """Start student and teacher from another task's encoder."""
        super().initialise_from(parent)
        self.teacher.load_state_dict(self.encoder.state_dict())

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a queue longer than there are images, and a batch of fewer than two a part."""
        check_queue("DenseCL", len(self.queue), images)
        check_splits("DenseCL", self._splits, batch_size)

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fill both queues with keys of training images.

        Raises:
            ValueError: a last map of fewer cells than are asked for.
        """
        mode = self.teacher.training
        self.teacher.train()  # before it has averages of its own

        def keys(pixels: Tensor) -> tuple[Tensor, ...]:
            vectors, cells, _ = self._keys(pixels)
            return vectors, _mean(cells)

        fill([self.queue, self.queue_cells], keys, loader)
        self.teacher.train(mode)

    def views(self, images: Images, generator: torch.Generator) -> Keyed:
        """Draw two views of each image alike, and the order in which keys are encoded."""
        return keyed(self._two(images.pixels, generator), generator)

    def loss(self, batch: Keyed) -> Step:
        """Return the mean of two cross-entropies in nats, by share, each of the own key among 1 + K.

        Logs beside it how often the own key is the nearest. In training keys enter the queues behind it.
        """
        networks = self.encoder, self.head, self.dense
        vectors, cells, features = self._encoded(*networks, batch.pixels[0])
        with torch.no_grad():
            keys, key_cells, key_features = in_order(self._keys, batch.pixels[1], batch.order)
            likeness = cosines(features.transpose(1, 2), key_features.transpose(1, 2))
            match = likeness.argmax(2)  # (B, P), of the key's cells
            matched = key_cells.gather(2, match[:, None].expand(-1, key_cells.shape[1], -1))  # (B, D, P)
        one, nearest = told(vectors, keys, self.queue, self._temperature)
        flat = F.normalize(cells, dim=1).transpose(1, 2).flatten(0, 1)  # (B · P, D)
        flat_keys = F.normalize(matched, dim=1).transpose(1, 2).flatten(0, 1)
        other, nearest_cells = told(flat, flat_keys, self.queue_cells, self._temperature)
        if self.training:
            enter(self.queue, keys)
            enter(self.queue_cells, _mean(key_cells))
        loss = (1 - self._share) * one + self._share * other
        logs = {"loss": loss.detach(), "accuracy": nearest, "accuracy_cells": nearest_cells}
        return Step(loss, logs)

    def chance(self, batch: Keyed) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log1p(len(self.queue))}

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        follow(self.teacher, self.encoder, self._momentum)
        follow(self.teacher_head, self.head, self._momentum)
        follow(self.teacher_dense, self.dense, self._momentum)

    def param_groups(self) -> list[dict[str, Any]]:
        """All that is trained, decayed alike."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()

    def _keys(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self._encoded(self.teacher, self.teacher_head, self.teacher_dense, pixels)

    def _encoded(
        self, encoder: Encoder, head: nn.Module, dense: nn.Module, pixels: Tensor
    ) -> tuple[Tensor, ...]:
        """Unit vectors of images (B, D), cells (B, D, P), and unit features of cells (B, C, P).

        In training BatchNorm sees the batch in parts.
        """

        def encode(part: Tensor) -> tuple[Tensor, ...]:
            found = encoder(part)
            last = found.maps[encoder.stage_names[-1]]  # (B, C, h, w)
            vector = found.vectors.get(CLASS_TOKEN, last.mean((2, 3)))
            pooled = self._pooled(last)
            return (
                F.normalize(head(vector).float(), dim=1),
                dense(pooled).float().flatten(2),
                F.normalize(pooled.detach().float(), dim=1).flatten(2),
            )

        return in_parts(encode, pixels, self._splits if encoder.training else 1)

    def _pooled(self, last: Tensor) -> Tensor:
        side, least = min(last.shape[-2:]), self._cells or 2
        if side < least:
            raise ValueError(
                f"DenseCL.cells is {least} on a side or more, of a last map of "
                f"{last.shape[-2]}×{last.shape[-1]}: larger images or a network of fewer strides"
            )
        return last if self._cells is None else F.adaptive_avg_pool2d(last, self._cells)


def _mean(cells: Tensor) -> Tensor:
    """Unit vectors (B, D) of the means of cells (B, D, P), which are no unit vectors."""
    return F.normalize(cells.mean(2), dim=1)
