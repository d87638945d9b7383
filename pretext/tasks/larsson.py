"""Histograms of hue and chroma from hypercolumns (Larsson et al., arXiv:1603.06668, arXiv:1703.04044)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.backbones import TokenBackbone
from pretext.color import (
    has_color,
    histogram_median,
    hue_and_chroma,
    mean_direction,
    rgb_of_hue,
    rgb_to_lab,
)
from pretext.colorizers.contract import Hints
from pretext.encoder import Encoder
from pretext.task import Images, Loader, Step
from pretext.tasks import blind, coloring
from pretext.tasks.cropping import check_square, square


class Histograms(NamedTuple):
    """Images, places in them, and the colours that lie around each.

    pixels: (B, 3, S, S) in [0, 1]; points: (B, P, 2) int64, row and column; shares: (B, P, 2, K), histograms
    of hue and of chroma; weights: (B, P, 2), of their losses; counts: (B,) bool, has colour.
    """

    pixels: Tensor
    points: Tensor
    shares: Tensor
    weights: Tensor
    counts: Tensor


class Larsson(coloring.ColoringTask):
    """Predicts at some points of an image how hue and chroma are spread in a small window around them.

    A point is described by its hypercolumn: what the network sees there, and the maps of all stages, read
    between their cells. A hidden layer makes two distributions of it; the loss is the sum of their
    divergences (Kullback and Leibler's) from the histograms. Training draws points; validation takes every
    few pixels. A colour is the direction of the mean of all hues and the median chroma, faded where hues do
    not agree, and as bright as the original's mean of channels.

    The default is the pretext task of 2017. The colorizer of 2016 has 32 bins and is `weighted`. Departures:
    the trunk is the suite's, trained from scratch; the hidden layer has BatchNorm and starts from He's
    distribution, as in the suite's other heads, where the release draws from N(0, 1e-4); the head's decay is
    the optimiser's. As in the suite's other colour tasks gray images weigh nothing. Both papers see the mean
    of the channels, `input=gray`.

    Args:
        encoder: what is trained; its input must not show colour.
        bins: K, of hue and of chroma.
        weighted: by 5 · chroma for hue, and 3 · min(g, ⅓, 1 − g) for chroma, where g is the mean of channels.
        points: drawn in each image.
        edge: pixels at the border in which no point lies; 32 in the releases.
        window: side in pixels of what a histogram counts, odd.
        hidden: width of the head; 1024 in the papers.
        dropout: probability, behind it.
        fade: length of the mean of all hues, in [0, 1], below which chroma shrinks in proportion: 0.03 in the
            papers, and what amounts to 0.96 in the release; 0 for never. No training depends on it: `Faded`
            colours with another one.
        target_stride: distance of the coloured positions in pixels.
        crop: side of the square that is seen; None for the image's shorter side.
        padding: mirrored border in which the random square may lie.
        allow_colour: accept an input that shows the answer.

    Raises:
        ValueError: an input that shows colour, or a value out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        bins: int = 8,
        weighted: bool = False,
        points: int = 128,
        edge: int = 3,
        window: int = 7,
        hidden: int = 256,
        dropout: float = 0.5,
        fade: float = 0.03,
        target_stride: int = 4,
        crop: int | None = None,
        padding: int = 4,
        allow_colour: bool = False,
    ) -> None:
        super().__init__()
        if bins < 2 or min(points, hidden, target_stride) < 1:
            raise ValueError(
                "Larsson takes bins from 2, points, hidden and target_stride from 1, "
                f"got {bins}, {points}, {hidden}, {target_stride}"
            )
        if window < 1 or window % 2 == 0 or edge < window // 2:
            raise ValueError(
                "Larsson takes a window of an odd number of pixels and an edge of at least half of it, "
                f"got {window} and {edge}"
            )
        views.check_probability("Larsson.dropout", dropout)
        views.check_probability("Larsson.fade", fade)
        coloring.refuse_color("Larsson", encoder, allow_colour)
        check_square("Larsson", crop, padding)
        self.encoder = encoder
        described = encoder.input.channels + sum(stage.channels for stage in encoder.stages)
        last = nn.Linear(hidden, 2 * bins)
        nn.init.normal_(last.weight, std=1e-3)  # starts at uniform distributions, which is chance
        nn.init.zeros_(last.bias)
        first = nn.Linear(described, hidden, bias=False)
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        self.head = nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout), last)
        self._bins, self._weighted, self._points = bins, weighted, points
        self._edge, self._window, self._fade = edge, window, fade
        self._stride, self._crop, self._padding = target_stride, crop, padding

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Count the colours of the training images, for the balanced AuC."""
        self.balance.copy_(coloring.balancing(loader, cache, self._stride))

    def views(self, images: Images, generator: torch.Generator) -> Histograms:
        """Crop and flip each image, choose points and count what lies around them.

        Raises:
            ValueError: images that are nothing but edge.
        """
        pixels = square(
            images.pixels,
            generator,
            size=self._crop,
            padding=self._padding,
            augment=self.training,
            multiple=self._stride,
        )
        count, side = len(pixels), pixels.shape[-1]
        inside = side - 2 * self._edge
        if inside < 1:
            raise ValueError(
                f"Larsson.edge={self._edge} leaves no point in images of {side} pixels: "
                f"at most {(side - 1) // 2}"
            )
        if self.training:
            points = torch.randint(inside, (count, self._points, 2), generator=generator) + self._edge
        else:
            places = torch.arange(self._edge, side - self._edge, self._stride)
            points = torch.cartesian_prod(places, places).expand(count, -1, -1)
        points = points.to(pixels.device)
        colors = hue_and_chroma(pixels)  # (B, 2, S, S)
        shares = histograms(colors, points, self._window, self._bins)
        counts = has_color(coloring.target_ab(pixels, self._stride))
        return Histograms(pixels, points, shares, self._weights(pixels, colors[:, 1], points), counts)

    def loss(self, batch: Histograms) -> Step:
        """Return the sum of both divergences in nats, and each; 0 where no image has colour."""
        guess = self._logits(batch.pixels, batch.points).float().log_softmax(dim=3)  # (B, P, 2, K)
        hue, chroma = self._divergences(batch, guess)
        loss = hue + chroma
        logs = {"loss": loss.detach(), "hue": hue.detach(), "chroma": chroma.detach()}
        return Step(loss, logs, batch.counts.sum())

    def chance(self, batch: Histograms) -> dict[str, float]:
        """Return what uniform distributions cost: ln K each, less the entropy of the histograms."""
        guess = torch.full_like(batch.shares, -math.log(self._bins))
        hue, chroma = (float(value) for value in self._divergences(batch, guess))
        return {"loss": hue + chroma, "hue": hue, "chroma": chroma}

    def blind(self, batch: Histograms) -> dict[str, float]:
        """Return what the mean histograms cost."""
        weights = batch.weights[..., None]  # (B, P, 2, 1)
        weighed = (batch.shares * weights).sum(1) / weights.sum(1).clamp(min=1e-9)  # (B, 2, K)

        def cost(answers: Tensor) -> Tensor:
            guess = blind.smoothed(answers, len(answers)).log()[:, None].expand_as(batch.shares)
            return sum(self._divergences(batch, guess), answers.new_zeros(()))

        return blind.level(weighed, cost, batch.counts)

    def paint(self, pixels: Tensor) -> Tensor:
        """Return ab (B, 2, H, W): mean hue and median chroma, as bright as the mean of the channels."""
        return self.faded(pixels, self._fade)

    def faded(self, pixels: Tensor, fade: float) -> Tensor:
        """The same with any fade."""
        size = (pixels.shape[-2], pixels.shape[-1])
        height, width = coloring.target_size(*size, self._stride)
        rows, columns = (torch.arange(n, device=pixels.device) * self._stride for n in (height, width))
        points = torch.cartesian_prod(rows, columns).expand(len(pixels), -1, -1)
        shares = self._logits(pixels, points).float().softmax(dim=3)  # (B, hw, 2, K)
        hue, sureness = mean_direction(shares[:, :, 0])
        chroma = histogram_median(shares[:, :, 1])
        if fade:
            chroma = chroma * (sureness / fade).clamp(max=1)
        guess = torch.stack([hue, chroma], dim=1).view(-1, 2, height, width)
        gray = pixels[:, :, :: self._stride, :: self._stride].mean(dim=1, keepdim=True)
        ab = rgb_to_lab(rgb_of_hue(guess, gray.float()))[:, 1:]
        return coloring.to_image(ab, size, self._stride)

    def _logits(self, pixels: Tensor, points: Tensor) -> Tensor:
        """Of hue and of chroma at points (B, P, 2): (B, P, 2, K)."""
        seen = self.encoder.input(pixels)
        maps = self.encoder.backbone(seen).maps
        columns = [at_points(seen, points, 1)]
        for stage in self.encoder.stages:
            # Windows of convolutions are centred at multiples of the stride; patches begin there.
            start = (stage.stride - 1) / 2 if isinstance(self.encoder.backbone, TokenBackbone) else 0.0
            columns.append(at_points(maps[stage.name], points, stage.stride, start))
        described = torch.cat(columns, dim=1).transpose(1, 2)  # (B, P, D)
        logits: Tensor = self.head(described.flatten(0, 1))
        return logits.view(*points.shape[:2], 2, self._bins)

    def _weights(self, pixels: Tensor, chroma: Tensor, points: Tensor) -> Tensor:
        """Of hue and chroma at each point, (B, P, 2)."""
        if not self._weighted:
            return torch.ones_like(points, dtype=pixels.dtype)
        index = points[..., 0] * pixels.shape[-1] + points[..., 1]  # (B, P)
        gray = pixels.mean(dim=1).flatten(1).gather(1, index)
        colorful = chroma.flatten(1).gather(1, index)
        return torch.stack([5 * colorful, 3 * torch.minimum(gray, 1 - gray).clamp(0, 1 / 3)], dim=2)

    def _divergences(self, batch: Histograms, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Of hue and chroma, of log-probabilities (B, P, 2, K) from the histograms."""
        each = (torch.special.xlogy(batch.shares, batch.shares) - batch.shares * guess).sum(dim=3)
        hue, chroma = (each * batch.weights).mean(dim=1).unbind(1)  # (B,) each
        return coloring.mean_of_colored(hue, batch.counts), coloring.mean_of_colored(chroma, batch.counts)


class Faded:
    """A trained `Larsson` that colours with a fade of its own.

    Args:
        task: that was trained. fade: as of `Larsson`.

    Raises:
        ValueError: a fade out of its range.
    """

    def __init__(self, task: Larsson, fade: float) -> None:
        views.check_probability("Faded.fade", fade)
        self._task, self._fade = task, fade

    @torch.no_grad()
    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; hints are not read."""
        return self._task.faded(coloring.gray(lightness), self._fade)


def at_points(maps: Tensor, points: Tensor, stride: int, start: float = 0.0) -> Tensor:
    """Read maps between their cells, bilinearly; beyond the outer cells the nearest one counts.

    Args:
        maps: (B, C, h, w), whose cell i lies at pixel `start + i · stride`.
        points: (B, P, 2), row and column in pixels.

    Returns:
        (B, C, P), float32.
    """
    cells = (points - start) / stride
    extent = torch.tensor(maps.shape[-2:], device=maps.device)
    grid = ((2 * cells + 1) / extent - 1).flip(-1)[:, None]  # (B, 1, P, 2), x before y
    read = F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False)
    return read[:, :, 0]


def histograms(colors: Tensor, points: Tensor, window: int, bins: int) -> Tensor:
    """Shares of bins of equal width over [0, 1] in windows around points that keep off the border.

    Args:
        colors: (B, C, H, W). points: (B, P, 2), row and column. window: odd, in pixels.

    Returns:
        (B, P, C, bins), each of sum 1.
    """
    around = torch.arange(window, device=points.device) - window // 2
    rows, columns = points[..., 0, None, None] + around[:, None], points[..., 1, None, None] + around
    index = (rows * colors.shape[-1] + columns).flatten(1)  # (B, P · window²)
    found = (colors * bins).long().clamp(0, bins - 1).flatten(2)  # (B, C, HW)
    taken = found.gather(2, index[:, None].expand(-1, found.shape[1], -1))
    taken = taken.view(*found.shape[:2], points.shape[1], -1).transpose(1, 2)  # (B, P, C, window²)
    counted = colors.new_zeros(*taken.shape[:3], bins)
    return counted.scatter_add_(3, taken, torch.ones_like(taken, dtype=counted.dtype)) / window**2
