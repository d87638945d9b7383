"""DINO: say of small views what a teacher says of large ones (Caron et al. 2021, arXiv:2104.14294)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.gather import gather
from pretext.task import Images, Progress, Step, Task
from pretext.tasks.large_and_small import Crops, cut, swapped
from pretext.tasks.teacher import follow, momentum, teacher_of
from pretext.tasks.two_views import distorted

JITTER = (0.4, 0.4, 0.2, 0.1)
"""Brightness, contrast, saturation and hue."""

RATES = ("centre_momentum", "momentum")


class Dino(Task):
    """A teacher, the average of the student over steps, labels two large crops of an image by prototypes.

    The student sees these two and several small ones, and says of each what the teacher says of the others.
    The teacher's answers are centred over batches, which keeps one prototype from taking all, and sharpened,
    which keeps them from being all alike. The encoder that is kept is the teacher's.

    In the first steps the prototypes stand still. The teacher's temperature rises linearly over `warming` of
    all steps; its momentum follows a cosine to 1. An image costs 4 large passes and V small ones.

    Not as released: what epochs count there, of a hundred and more, is a share of the steps here, where a
    budget may be one epoch; the temperature rises at every step; the first centre is the first batch's, not
    zero, from which it takes some twenty steps to get there; the last layer's gradient is dropped before
    clipping, not behind it, and what is clipped is the norm of all gradients, not that of each parameter's.

    Args:
        encoder: the teacher's; the student starts as its copy.
        crop, small_crop: sides of the views in pixels; None for the image's shorter side, and for half of it.
        small: small views an image.
        area, small_area: least and largest area of a view as a share of the image's.
        gray: probability that a view has no colour.
        blur: probabilities that the first, the second large view and the small ones are blurred, by a kernel
            of a tenth of the side; its widths are made for 224 pixels.
        solarise: probability that the second large view is solarised.
        hidden, bottleneck: widths of the head's two hidden layers, and of what is compared with prototypes.
        prototypes: K; their vectors have length 1.
        temperature: the student's. first_temperature, teacher_temperature: the teacher's.
        warming: share of all steps in which the teacher's temperature rises.
        frozen: share of all steps in which the prototypes stand still.
        centre_momentum, momentum: of the centre, and of the teacher at the start.

    Raises:
        ValueError: a value out of its range.
    """

    version = 2
    centre: Tensor
    begun: Tensor
    sharpness: Tensor

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        small_crop: int | None = None,
        small: int = 8,
        area: tuple[float, float] = (0.4, 1.0),
        small_area: tuple[float, float] = (0.05, 0.4),
        gray: float = 0.2,
        blur: tuple[float, float, float] = (1.0, 0.1, 0.5),
        solarise: float = 0.2,
        hidden: int = 2048,
        bottleneck: int = 256,
        prototypes: int = 65_536,
        temperature: float = 0.1,
        first_temperature: float = 0.04,
        teacher_temperature: float = 0.07,
        warming: float = 0.3,
        frozen: float = 0.01,
        centre_momentum: float = 0.9,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        _check(dict(locals()))
        self.encoder = encoder.requires_grad_(False)
        self.student = teacher_of(encoder).requires_grad_(True)
        self.head = _Head(encoder.width, hidden, bottleneck, prototypes)
        self.teacher_head = teacher_of(self.head)
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("begun", torch.tensor(False))
        self.register_buffer("sharpness", torch.tensor(0.0))
        self._sides, self._small = (crop, small_crop), small
        self._areas, self._gray, self._blur, self._solarise = (area, small_area), gray, blur, solarise
        self._temperature, self._warming, self._frozen = temperature, warming, frozen
        self._temperatures = (first_temperature, teacher_temperature)
        self._centre_momentum, self._momentum = centre_momentum, momentum
        self._sharpen(0.0)

    def initialise_from(self, parent: Task) -> None:
        """Start teacher and student from another task's encoder."""
        super().initialise_from(parent)
        self.student.load_state_dict(self.encoder.state_dict())

    def views(self, images: Images, generator: torch.Generator) -> Crops:
        """Draw two large views and the small ones, each distorted by draws of its own."""
        large, small = cut(images.pixels, generator, self._sides, self._small, self._areas, views.BICUBIC)
        first, second, local = self._blur
        one = distorted(large[0], generator, JITTER, self._gray, first)
        two = distorted(large[1], generator, JITTER, self._gray, second, self._solarise)
        rest = distorted(small.flatten(0, 1), generator, JITTER, self._gray, local)
        return Crops(torch.stack([one, two]), rest.view(small.shape))

    def loss(self, batch: Crops) -> Step:
        """Return the cross-entropy of the student's answers with the teacher's, over all pairs of two views.

        Its least is the entropy of the teacher's answers, which is logged beside it.

        In training the centre moves behind it.
        """
        answers = self._teacher(batch)  # (2, B, K)
        mean = gather(answers.mean((0, 1))[None]).mean(0) if self.training else None
        if mean is not None:
            self.centre.copy_(torch.where(self.begun, self.centre, mean))
            self.begun.fill_(True)
        targets = F.softmax((answers - self.centre) * self.sharpness, dim=2)
        logits = self.head(batch.vectors(self.student)).float() / self._temperature
        said = F.log_softmax(logits, dim=1).view(-1, *answers.shape[1:])  # (2 + V, B, K)
        loss = swapped(targets, said)
        if mean is not None:
            self.centre.lerp_(mean, 1 - self._centre_momentum)
        return Step(loss, {"loss": loss.detach(), "entropy": torch.special.entr(targets).sum(2).mean()})

    def chance(self, batch: Crops) -> dict[str, float]:
        """Return ln K, the cost of answers that are all alike, where a collapse stays."""
        return {"loss": math.log(len(self.centre))}

    def before_step(self, progress: Progress) -> None:
        """Let the prototypes stand still in the first steps."""
        if progress.step < self._frozen * progress.total:
            self.head.prototypes.grad = None

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow, and warm its temperature."""
        self._sharpen(progress.step / progress.total)
        rate = momentum(self._momentum, progress)
        follow(self.encoder, self.student, rate)
        follow(self.teacher_head, self.head, rate)

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two large views and a small one of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()

    def _sharpen(self, done: float) -> None:
        """Set what the teacher's answers are multiplied by, after that share of all steps."""
        first, last = self._temperatures
        share = min(1.0, done / self._warming) if self._warming else 1.0
        self.sharpness.fill_(1 / (first + (last - first) * share))

    @torch.no_grad()
    def _teacher(self, batch: Crops) -> Tensor:
        answers: Tensor = self.teacher_head(self.encoder.vector(batch.large.flatten(0, 1)))
        return answers.float().view(*batch.large.shape[:2], -1)


class _Head(nn.Module):
    """Three layers with GELU between, to unit length, then cosines with the prototypes."""

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        nn.init.kaiming_uniform_(self.prototypes, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width) to cosines (N, K)."""
        unit = F.normalize(self.layers(x), dim=1)
        return F.linear(unit, F.normalize(self.prototypes, dim=1).to(unit.dtype))


def _check(given: dict[str, Any]) -> None:
    for name in ("crop", "small_crop"):
        if given[name] is not None and given[name] < 1:
            raise ValueError(f"Dino.{name} is a number of pixels from 1, or None, got {given[name]}")
    for name in ("area", "small_area"):
        views.check_range(f"Dino.{name}", given[name], 0, 1)
    for name in ("gray", "solarise", "warming", "frozen", *RATES):
        views.check_probability(f"Dino.{name}", given[name])
    for probability in given["blur"]:
        views.check_probability("Dino.blur", probability)
    for name, least in (("small", 0), ("hidden", 1), ("bottleneck", 1), ("prototypes", 2)):
        if given[name] < least:
            raise ValueError(f"Dino.{name} is a number from {least}, got {given[name]}")
    for name in ("temperature", "first_temperature", "teacher_temperature"):
        if not given[name] > 0:
            raise ValueError(f"Dino.{name} is positive, got {given[name]}")
