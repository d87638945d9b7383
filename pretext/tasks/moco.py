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
from pretext.tasks.keys import Keyed, check_queue, check_splits, enter, fill, in_order, in_parts, keyed, told
from pretext.tasks.teacher import follow, momentum, teacher_of
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
        blur_kernel: side of the blur's kernel in pixels, odd; None for a tenth of the view's.
        hidden, outputs: widths of the head, without BatchNorm; hidden 0 for a linear one.
        temperature: by which cosines are divided.
        queue: K, keys of other images; no more than there are training images.
        momentum: the teacher's, at the start.
        splits: parts of a batch that BatchNorm sees apart.
        last_momentum: the teacher's at the end, by a cosine; None for the same throughout.
        symmetric: whether each view is a query once and a key once, with a queue for the keys of either.

    Raises:
        ValueError: a value out of its range.
    """

    transient: tuple[str, ...] = ("queue",)
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
        blur_kernel: int | None = None,
        last_momentum: float | None = None,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self._two = TwoViews("MoCo", crop, area, jitter, gray, (blur, blur), blur_kernel=blur_kernel)
        if hidden < 0 or min(outputs, queue, splits) < 1:
            raise ValueError(
                "MoCo takes hidden from 0, and outputs, queue and splits from 1, "
                f"got {hidden}, {outputs}, {queue}, {splits}"
            )
        if not temperature > 0:
            raise ValueError(f"MoCo.temperature is positive, got {temperature}")
        final = momentum if last_momentum is None else last_momentum
        for name, share in (("momentum", momentum), ("last_momentum", final)):
            if not 0 <= share <= 1:
                raise ValueError(f"MoCo.{name} is a share in [0, 1], got {share}")
        self.encoder = encoder
        last = nn.Linear(hidden or encoder.width, outputs)
        first = [nn.Linear(encoder.width, hidden), nn.ReLU()] if hidden else []
        self.head = nn.Sequential(*first, last)
        self.teacher, self.teacher_head = teacher_of(encoder), teacher_of(self.head)
        if symmetric:
            self.transient = ("queue", "queue_first")
        for name in self.transient:
            self.register_buffer(name, F.normalize(torch.randn(queue, outputs), dim=1))
        self._temperature, self._momenta, self._splits = temperature, (momentum, final), splits

    def initialise_from(self, parent: Task) -> None:
        """Start student and teacher from another task's encoder."""
        super().initialise_from(parent)
        self.teacher.load_state_dict(self.encoder.state_dict())

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a queue longer than there are images, and a batch of fewer than two a part."""
        check_queue("MoCo", len(self.queue), images)
        check_splits("MoCo", self._splits, batch_size)

    @torch.no_grad()
    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fill the queue with keys of training images."""
        mode = self.teacher.training
        self.teacher.train()  # before it has averages of its own
        fill([self.queue], self._keys, loader)
        for name in self.transient[1:]:
            self.get_buffer(name).copy_(self.queue)
        self.teacher.train(mode)

    def views(self, images: Images, generator: torch.Generator) -> Keyed:
        """Draw two views of each image alike, and the order in which keys are encoded."""
        return keyed(self._two(images.pixels, generator), generator)

    def loss(self, batch: Keyed) -> Step:
        """Return the cross-entropy in nats of the own key among 1 + K, and how often it is the nearest.

        Of both directions the mean. In training the keys enter their queue behind it.
        """
        ways = []
        for query, name in enumerate(self.transient):
            (queries,) = self._encoded(self.encoder, self.head, batch.pixels[query])
            with torch.no_grad():
                (keys,) = in_order(self._keys, batch.pixels[1 - query], batch.order)
            queue = self.get_buffer(name)
            ways.append(told(queries, keys, queue, self._temperature))
            if self.training:
                enter(queue, keys)
        loss, nearest = (torch.stack(both).mean() for both in zip(*ways, strict=True))
        return Step(loss, {"loss": loss.detach(), "accuracy": nearest})

    def chance(self, batch: Keyed) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log1p(len(self.queue))}

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        rate = momentum(self._momenta[0], progress, self._momenta[1])
        follow(self.teacher, self.encoder, rate)
        follow(self.teacher_head, self.head, rate)

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
