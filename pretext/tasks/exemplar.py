"""Exemplar: every seed patch is a class of its own (Dosovitskiy et al. 2014, arXiv:1406.6909)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Epoch, Images, Loader, Progress, Step, Task

GAIN, OFFSET = (0.7, 1.4), 0.1
"""Saturation and value are multiplied by a number of that range, and get one up to that size added."""


class Exemplars(NamedTuple):
    """pixels: (V, B, 3, p, p) in [0, 1], one view in training, two in validation.

    targets: (B,) int64, the class of each image; in validation, its place in the batch.
    """

    pixels: Tensor
    targets: Tensor


class Exemplar(Task):
    """Tells which of N seeds a view shows, by a softmax over all of them.

    A seed is a patch of one training image, drawn once where gradients are large; the images that have one
    are evenly spaced over the split, and an epoch draws no others, each as often. A view shifts, scales and
    turns the patch within its image, stretches colours along their principal components, bends saturation
    and value, and turns hues. Images of validation are no seeds: one view is told by another, among those of
    its batch, by the probability that both show the same seed.

    Not as published: views are drawn anew at each step, where the paper draws 100 to 150 a seed beforehand;
    factors and exponents are uniform in their logarithm, of which the paper says nothing; gray stays gray.

    Args:
        encoder: what is trained.
        seeds: N; 8,000 to 16,000 in the paper, with which its training slows down and similar seeds collide.
        patch: side of a patch in pixels; None for half of the image's shorter side. 32 of 96 in the paper.
        shift: largest distance in rows and in columns, as a share of the patch.
        scale: least and largest factor of the patch's content.
        turn: largest angle to either side, in degrees.
        contrast: largest factor along a principal component; the least is its inverse.
        power: largest exponent of saturation and of value; the least is its inverse.
        hue: largest turn of hues to either side, of a circle.
        hidden: width of the hidden layer.
        dropout: before the last layer.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("classes", "places")
    classes: Tensor
    places: Tensor
    mean: Tensor
    axes: Tensor

    def __init__(
        self,
        encoder: Encoder,
        seeds: int = 8000,
        patch: int | None = None,
        shift: float = 0.2,
        scale: tuple[float, float] = (0.7, 1.4),
        turn: float = 20.0,
        contrast: float = 2.0,
        power: float = 4.0,
        hue: float = 0.1,
        hidden: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if seeds < 2 or hidden < 1 or (patch is not None and patch < 2):
            raise ValueError(
                "Exemplar takes seeds and patch from 2, patch or None, and hidden from 1, "
                f"got {seeds}, {patch}, {hidden}"
            )
        if min(contrast, power) < 1 or min(shift, turn) < 0 or not 0 <= hue <= 0.5:
            raise ValueError(
                "Exemplar takes contrast and power from 1, shift and turn from 0, and hue in [0, 0.5], "
                f"got {contrast}, {power}, {shift}, {turn}, {hue}"
            )
        views.check_range("Exemplar.scale", scale, 0, float("inf"))
        if not 0 <= dropout < 1:
            raise ValueError(f"Exemplar.dropout is a share in [0, 1), got {dropout}")
        self.encoder = encoder
        last = nn.Linear(hidden, seeds)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(encoder.width, hidden), nn.ReLU(), nn.Dropout(dropout), last)
        self.register_buffer("classes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("places", torch.zeros(0, 2))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("axes", torch.eye(3))
        self._seeds, self._patch, self._shift, self._scale, self._turn = seeds, patch, shift, scale, turn
        self._contrast, self._power, self._hue = contrast, power, hue

    def check(self, images: int, batch_size: int) -> None:
        """Refuse more seeds than images, and fewer than a batch shows."""
        if images < self._seeds:
            raise ValueError(f"Exemplar.seeds is {self._seeds}, of only {images} images")
        if batch_size > self._seeds:
            raise ValueError(f"Exemplar.seeds is {self._seeds}, fewer than a batch of {batch_size}")

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Choose the seeds and draw their patches; find the principal components of their images' colours."""
        device = self.mean.device
        # Images that are no seeds have a class that no loss takes.
        self.classes = torch.full((loader.images,), -1, dtype=torch.int64, device=device)
        self.places = torch.zeros(loader.images, 2, device=device)
        found, total, products, count = 0, torch.zeros(3), torch.zeros(3, 3), 0
        total, products = (x.double().to(device) for x in (total, products))
        for images in loader.evenly_spaced(self._seeds):
            at, pixels = images.positions, images.pixels
            self.classes[at] = torch.arange(found, found + len(at), device=device)
            self.places[at] = rich_places(pixels, self._side(pixels), torch.default_generator)
            found += len(at)
            colours = pixels.transpose(0, 1).flatten(1).double()  # (3, B · H · W)
            total, products, count = (
                total + colours.sum(1),
                products + colours @ colours.T,
                count + colours.shape[1],
            )
        mean = total / count
        self.mean.copy_(mean)
        self.axes.copy_(torch.linalg.eigh(products / count - mean.outer(mean)).eigenvectors)

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        """Draw the images that have a seed, and no others."""
        chosen = self.classes >= 0
        return Epoch() if bool(chosen.all()) else Epoch(chosen.double())

    def views(self, images: Images, generator: torch.Generator) -> Exemplars:
        """Draw a view of each seed; of a validation image a patch, and two views of it.

        Raises:
            ValueError: a patch larger than the images.
        """
        if self.training:
            view = self._view(images.pixels, self.places[images.positions], generator)
            return Exemplars(view[None], self.classes[images.positions])
        return self._pair(images.pixels, generator)

    def loss(self, batch: Exemplars) -> Step:
        """Return the cross-entropy in nats of a view's seed, and how often it is the likeliest."""
        said = F.log_softmax(self.head(self.encoder.vector(batch.pixels[0])).float(), dim=1)  # (B, N)
        if len(batch.pixels) == 2:
            other = self.head(self.encoder.vector(batch.pixels[1]))
            same = said.double().exp() @ F.softmax(other.double(), dim=1).T  # (B, B)
            said = same.clamp(min=torch.finfo(torch.float64).tiny).log().float()
        loss = F.cross_entropy(said, batch.targets)
        accuracy = (said.argmax(1) == batch.targets).float().mean()
        return Step(loss, {"loss": loss.detach(), "accuracy": accuracy})

    def chance(self, batch: Exemplars) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log(self._seeds if len(batch.pixels) == 1 else len(batch.targets))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of a patch of each image."""
        one, two = self._pair(images.pixels, torch.Generator().manual_seed(0)).pixels
        return {"view 1": one, "view 2": two}

    def _side(self, pixels: Tensor) -> int:
        height, width = pixels.shape[-2:]
        side = min(height, width) // 2 if self._patch is None else self._patch
        if not 2 <= side <= min(height, width):
            raise ValueError(f"Exemplar.patch is {side} pixels, of images of {height}×{width}")
        return side

    def _pair(self, pixels: Tensor, generator: torch.Generator) -> Exemplars:
        places = rich_places(pixels, self._side(pixels), generator)
        pair = torch.stack([self._view(pixels, places, generator) for _ in range(2)])
        return Exemplars(pair, torch.arange(len(pixels), device=pixels.device))

    def _view(self, pixels: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
        """A view (B, 3, p, p) of the patch of each image around its place (B, 2)."""
        side, count = self._side(pixels), len(pixels)

        def drawn(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, count, generator=generator)

        def factors(low: float, high: float, *shape: int) -> Tensor:
            return drawn(math.log(low), math.log(high), *shape).exp()

        shift = side * drawn(-self._shift, self._shift, 2).T.to(places.device)
        sides = side / factors(*self._scale)
        angles = drawn(-self._turn, self._turn)
        patch = views.turned_square(pixels, places + shift, sides, angles, side)
        axes = factors(1 / self._contrast, self._contrast, 3).T
        patch = views.stretch(patch, self.mean, self.axes, axes)
        exponents = factors(1 / self._power, self._power, 2)
        gains, offsets = drawn(*GAIN, 2), drawn(-OFFSET, OFFSET, 2)
        saturation, value = torch.stack([exponents, gains, offsets], dim=1)
        patch = views.curve(patch, saturation, value)
        return views.adjust_hue(patch, drawn(-self._hue, self._hue))


def rich_places(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Draw a square in each image, with the mean squared gradient of brightness within it as its weight.

    Args:
        pixels: (B, 3, H, W). side: of the square, in pixels.

    Returns: (B, 2) row and column of its middle, in pixels from the upper left corner.
    """
    down, right = torch.gradient(views.luma(pixels)[:, 0].double(), dim=(1, 2))
    summed = F.pad((down.square() + right.square()).cumsum(1).cumsum(2), (1, 0, 1, 0))
    inside = summed[:, side:] - summed[:, :-side]
    inside = (inside[:, :, side:] - inside[:, :, :-side]).clamp_(min=0)  # (B, H − side + 1, W − side + 1)
    steps = (inside.flatten(1) + 1e-9).cumsum(1)  # flat images have a place too
    at = torch.rand(len(pixels), 1, generator=generator, dtype=torch.float64).to(pixels.device)
    place = torch.searchsorted(steps, at * steps[:, -1:], right=True)[:, 0].clamp_(max=steps.shape[1] - 1)
    corner = torch.stack([place // inside.shape[2], place % inside.shape[2]], dim=1)
    return corner + side / 2
