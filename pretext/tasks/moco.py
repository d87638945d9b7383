"""MoCo: tell a view's partner from a queue of others (He et al. 2020, arXiv:1911.05722; v2: 2003.04297)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Loader, Progress, Step, Task
from pretext.tasks.keys import Keyed, check_queue, enter, fill, in_order, in_parts, keyed, told
from pretext.tasks.teacher import follow, teacher_of
from pretext.tasks.two_views import Strengths, TwoViews


class MoCo(Task):
    """A query must be closer to the key of its own image than to a queue of keys of other images.

    Keys are made by a teacher, the moving average of encoder and head, and enter the queue behind the loss.
    So that BatchNorm does not give away whose batch a key is in, both networks see the batch in `splits`
    parts, the teacher in another order (ShuffleBN). All weights are decayed, biases and BatchNorm's too.

    Not as released: the queue begins with keys of training images, not with noise, which is told at once.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur: probability that a view is blurred, by widths that are made for 224 pixels.
        hidden, outputs: widths of the head, without BatchNorm; hidden 0 for a linear one.
        temperature: by which cosines are divided.
        queue: K, keys of other images; no more than there are training images.
        momentum: the teacher's, throughout.
        splits: parts of a batch that BatchNorm sees apart.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("queue",)
    queue: Tensor

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
        temperature: float = 0.2,
        queue: int = 65_536,
        momentum: float = 0.999,
        splits: int = 8,
    ) -> None:
        super().__init__()
        self._two = TwoViews("MoCo", crop, area, jitter, gray, (blur, blur))
        if hidden < 0 or min(outputs, queue, splits) < 1:
            raise ValueError(
                "MoCo takes hidden from 0, and outputs, queue and splits from 1, "
                f"got {hidden}, {outputs}, {queue}, {splits}"
            )
        if not temperature > 0:
            raise ValueError(f"MoCo.temperature is positive, got {temperature}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"MoCo.momentum is a share in [0, 1], got {momentum}")
        self.encoder = encoder
        last = nn.Linear(hidden or encoder.width, outputs)
        first = [nn.Linear(encoder.width, hidden), nn.ReLU()] if hidden else []
        self.head = nn.Sequential(*first, last)
        self.teacher, self.teacher_head = teacher_of(encoder), teacher_of(self.head)
        self.register_buffer("queue", F.normalize(torch.randn(queue, outputs), dim=1))
        self._temperature, self._momentum, self._splits = temperature, momentum, splits

    def initialise_from(self, parent: Task) -> None:
        """Start student and teacher from another task's encoder."""
        super().initialise_from(parent)
        self.teacher.load_state_dict(self.encoder.state_dict())

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a queue longer than there are images, and a batch of fewer than two a part."""
        check_queue("MoCo", len(self.queue), self._splits, images, batch_size)

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fill the queue with keys of training images."""
        mode = self.teacher.training
        self.teacher.train()  # before it has averages of its own
        fill([self.queue], self._keys, loader)
        self.teacher.train(mode)

    def views(self, images: Images, generator: torch.Generator) -> Keyed:
        """Draw two views of each image alike, and the order in which keys are encoded."""
        return keyed(self._two(images.pixels, generator), generator)

    def loss(self, batch: Keyed) -> Step:
        """Return the cross-entropy in nats of the own key among 1 + K, and how often it is the nearest.

        In training the keys enter the queue behind it.
        """
        (queries,) = self._encoded(self.encoder, self.head, batch.pixels[0])
        with torch.no_grad():
            (keys,) = in_order(self._keys, batch.pixels[1], batch.order)
        loss, nearest = told(queries, keys, self.queue, self._temperature)
        if self.training:
            enter(self.queue, keys)
        return Step(loss, {"loss": loss.detach(), "accuracy": nearest})

    def chance(self, batch: Keyed) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log1p(len(self.queue))}

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        follow(self.teacher, self.encoder, self._momentum)
        follow(self.teacher_head, self.head, self._momentum)

    def param_groups(self) -> list[dict[str, Any]]:
        """All that is trained, decayed alike."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()

    def _keys(self, pixels: Tensor) -> tuple[Tensor]:
        return self._encoded(self.teacher, self.teacher_head, pixels)

    def _encoded(self, encoder: Encoder, head: nn.Module, pixels: Tensor) -> tuple[Tensor]:
        """Unit vectors (B, D); in training BatchNorm sees the batch in parts."""

        def encode(part: Tensor) -> tuple[Tensor]:
            return (F.normalize(head(encoder.vector(part)).float(), dim=1),)

        (vectors,) = in_parts(encode, pixels, self._splits if encoder.training else 1)
        return (vectors,)
