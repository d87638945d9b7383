"""SwAV: predict a view's code from other views (Caron et al. 2020, arXiv:2006.09882)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.gather import gather, rank
from pretext.task import Epoch, Images, Loader, Progress, Step, Task
from pretext.tasks.keys import check_queue
from pretext.tasks.large_and_small import Crops, cut, swapped
from pretext.tasks.two_views import Strengths, check_views, cosines, distorted, layer


class SwAV(Task):
    """Codes of two large crops, by prototypes that all images share equally, are predicted from other crops.

    Codes are soft assignments of the batch to K prototypes, made equal in size by rounds of Sinkhorn and
    Knopp; a prediction is the softmax of cosines with the prototypes. Where a batch is small for K, a queue
    of earlier projections joins in, from an epoch on. Prototypes stand still in the first steps.

    Not as released: prototypes are brought to length 1 where they are used, and the gradient goes through it,
    not before each step; biases and scales are not decayed.

    Args:
        encoder: what is trained.
        crop, small_crop: sides of the views in pixels; None for the image's shorter side, and for half of it.
        small: small views an image.
        area, small_area: least and largest area of a view as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray, blur: probabilities of each view; the blur is made for 224 pixels.
        blur_kernel: side of the blur's kernel in pixels, odd; None for a tenth of the view's.
        hidden, outputs: widths of the head, and of what is compared with prototypes.
        prototypes: K; their vectors have length 1.
        temperature: of what is said. epsilon: of the codes. rounds: of Sinkhorn and Knopp.
        queue: projections of each large view that are kept; 0 for none. queue_from: the epoch from which they
            join in.
        frozen: share of all steps in which the prototypes stand still.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("queue", "filled")
    least_batch = 2
    queue: Tensor
    filled: Tensor

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        small_crop: int | None = None,
        small: int = 6,
        area: tuple[float, float] = (0.14, 1.0),
        small_area: tuple[float, float] = (0.05, 0.14),
        jitter: Strengths = (0.8, 0.8, 0.8, 0.2),
        gray: float = 0.2,
        blur: float = 0.5,
        hidden: int = 2048,
        outputs: int = 128,
        prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        rounds: int = 3,
        queue: int = 3840,
        queue_from: float = 15.0,
        frozen: float = 0.005,
        blur_kernel: int | None = None,
    ) -> None:
        super().__init__()
        check_views("SwAV", crop, area, jitter, gray, (blur, blur), (0.0, 0.0), blur_kernel)
        views.check_range("SwAV.small_area", small_area, 0, 1)
        views.check_probability("SwAV.frozen", frozen)
        _check_numbers(
            small=(small, 0), hidden=(hidden, 1), outputs=(outputs, 1), prototypes=(prototypes, 2),
            rounds=(rounds, 1), queue=(queue, 0), queue_from=(queue_from, 0),
            small_crop=(1 if small_crop is None else small_crop, 1),
        )  # fmt: skip
        if not (temperature > 0 and epsilon > 0):
            raise ValueError(f"SwAV takes positive temperature and epsilon, got {temperature} and {epsilon}")
        self.encoder = encoder
        self.head = nn.Sequential(*layer(encoder.width, hidden, bias=True), nn.Linear(hidden, outputs))
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, outputs), dim=1))
        self.register_buffer("queue", torch.zeros(2, queue, outputs))
        self.register_buffer("filled", torch.tensor(0))
        self._sides, self._small, self._areas = (crop, small_crop), small, (area, small_area)
        self._jitter, self._gray, self._blur, self._blur_kernel = jitter, gray, blur, blur_kernel
        self._temperature, self._epsilon, self._rounds = temperature, epsilon, rounds
        self._queue_from, self._frozen, self._joins = queue_from, frozen, False

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a queue longer than there are images."""
        check_queue("SwAV", self.queue.shape[1], images)

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        """Let the queue join in from its epoch on."""
        self._joins = bool(self.queue.shape[1]) and progress.epoch >= self._queue_from
        return Epoch()

    def views(self, images: Images, generator: torch.Generator) -> Crops:
        """Draw two large views and the small ones, each distorted by draws of its own."""
        crops = cut(images.pixels, generator, self._sides, self._small, self._areas)
        one, two = (
            distorted(
                part.flatten(0, 1),
                generator,
                self._jitter,
                self._gray,
                self._blur,
                blur_kernel=self._blur_kernel,
            ).view(part.shape)
            for part in crops
        )
        return Crops(one, two)

    def loss(self, batch: Crops) -> Step:
        """Return the cross-entropy of what is said of each view with the codes of the large ones but itself.

        The entropy of the codes is logged beside it. In training projections enter the queue behind it.
        """
        unit = F.normalize(self.head(batch.vectors(self.encoder)).float(), dim=1)
        projected = unit.view(-1, batch.large.shape[1], unit.shape[1])  # (2 + V, B, D)
        prototypes = F.normalize(self.prototypes, dim=1)
        scores = cosines(projected, prototypes)  # (2 + V, B, K)
        with torch.no_grad():
            codes = torch.stack([self._code(projected[view], view, prototypes) for view in range(2)])
            if self.training and self.queue.shape[1]:
                self._keep(projected[:2])
        said = F.log_softmax(scores / self._temperature, dim=2)
        loss = swapped(codes, said)
        return Step(loss, {"loss": loss.detach(), "code_entropy": torch.special.entr(codes).sum(2).mean()})

    def chance(self, batch: Crops) -> dict[str, float]:
        """Return ln K, the cost of saying the same of all, where a collapse stays."""
        return {"loss": math.log(len(self.prototypes))}

    def before_step(self, progress: Progress) -> None:
        """Let the prototypes stand still in the first steps."""
        if progress.step < self._frozen * progress.total:
            self.prototypes.grad = None

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two large views and a small one of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()

    def _code(self, projected: Tensor, view: int, prototypes: Tensor) -> Tensor:
        """Codes (B, K) of the projections of a large view, among those of all processes and of the queue."""
        joins = self._joins and int(self.filled) >= self.queue.shape[1]
        rows = gather(projected)
        rows = torch.cat([rows, self.queue[view]]) if joins else rows
        codes = sinkhorn(cosines(rows, prototypes) / self._epsilon, self._rounds)
        start = rank() * len(projected)
        return codes[start : start + len(projected)]

    def _keep(self, projected: Tensor) -> None:
        """Let the projections (2, B, D) of all processes into the queue, the oldest out."""
        length = self.queue.shape[1]
        new = torch.stack([gather(view) for view in projected])
        self.queue.copy_(torch.cat([new, self.queue], dim=1)[:, :length])
        self.filled.add_(new.shape[1]).clamp_(max=length)


def sinkhorn(logits: Tensor, rounds: int) -> Tensor:
    """Soft assignments (N, K) whose rows sum to 1 and whose columns, by turns, to N / K (arXiv:1306.0895)."""
    shares = (logits - logits.max()).exp()
    for _ in range(rounds):
        shares = shares / shares.sum(0, keepdim=True)
        shares = shares / shares.sum(1, keepdim=True)
    return shares


def _check_numbers(**given: tuple[float, float]) -> None:
    for name, (value, least) in given.items():
        if value < least:
            raise ValueError(f"SwAV.{name} is a number from {least}, got {value}")
