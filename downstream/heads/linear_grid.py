"""Many linear heads on the same features, one a hyper-parameter setting, trained at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from downstream.course import Course

RESIDENT = 2 * 1024**3
"""Bytes of features kept ready: turned, and on a GPU as they are; others come from the memory map."""

ROTATED = 2304
"""Channels up to which training takes place along the principal axes; beyond, finding them costs too much."""

FEW_CLASSES = 16
"""Below so many classes, a vector register's worth, torch's softmax over the last axis is slow on a CPU."""

CHUNK = 4096
BETAS = (0.9, 0.999)
EPSILON = 1e-6
"""Adam's; large enough that a gradient of rounding errors alone moves nothing."""

CONSTANT = 1e-6
"""Share of its root mean square below which a channel's standard deviation is rounding: it is left out."""


class Setting(NamedTuple):
    """Peak learning rate of Adam, and λ of the penalty λ/2 · ‖W‖²."""

    lr: float
    weight_decay: float


@dataclass(frozen=True)
class LinearGrid:
    """Logistic or softmax regression on standardised features, over a grid of settings.

    Minimises the mean loss + λ/2 · ‖W‖² by Adam (arXiv:1412.6980) with a cosine to zero, from W = 0 and the
    bias that predicts the share of each class; the bias is not decayed. The loss is cross-entropy for (N,)
    integer targets, and for (N, C) targets the binary cross-entropy summed over classes. All settings see
    the same batches, in one matrix product a step, along the principal axes of the features: the optimum is
    the same, and is reached in far fewer steps.

    Args:
        lrs, weight_decays: the grid.
        epochs, batch_size: passes over the examples and examples a step.
        least_steps: where the epochs make fewer steps, passes go on until there are so many; 0: the epochs.

    Raises:
        ValueError: an empty grid or a value outside its range.
    """

    lrs: tuple[float, ...] = (1e-2, 3e-2, 1e-1, 3e-1)
    weight_decays: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2)
    epochs: int = 20
    batch_size: int = 256
    least_steps: int = 0

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        object.__setattr__(self, "weight_decays", tuple(float(decay) for decay in self.weight_decays))
        ranges = {
            "lrs": len(self.lrs) > 0 and min(self.lrs) > 0,
            "weight_decays": len(self.weight_decays) > 0 and min(self.weight_decays) >= 0,
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "least_steps": self.least_steps >= 0,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"LinearGrid: {name}={getattr(self, name)!r} is out of range")

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All pairs, learning rate outermost."""
        return tuple(Setting(*pair) for pair in product(self.lrs, self.weight_decays))

    def fit(
        self,
        features: NDArray[Any],
        targets: NDArray[Any],
        classes: int,
        device: torch.device,
        seed: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> LinearHeads:
        """Train one head a setting; the logits of one that diverged are NaN or infinite.

        Args:
            features: (N, D) real, may be a memory map.
            targets: (N,) integers below `classes`, −1 where unlabelled; or (N, classes) of 0 and 1.
            seed: of the order of the examples.
        """
        scaling = Standardisation.of(features, device)
        rows = _source(features, device)
        wanted = torch.from_numpy(np.asarray(targets)).to(device)
        heads = LinearHeads.prior(scaling, len(self.settings), _log_prior(wanted, classes))
        generator = torch.Generator().manual_seed(seed)
        steps = math.ceil(len(features) / self.batch_size)
        total = max(steps * self.epochs, self.least_steps)
        axes = _principal_axes(rows, scaling, len(features))
        turned = _turned(rows, scaling, axes, features.shape)
        adam = _Adam(heads, self.settings)
        losses = heads.bias.new_zeros(total, len(self.settings))
        rates = [0.5 * (1 + math.cos(math.pi * done / total)) for done in range(total)]
        for done in range(total):
            if done % steps == 0:
                order = torch.randperm(len(features), generator=generator).tensor_split(steps)
            index = order[done % steps]
            x = turned(index)  # (B, D)
            losses[done], residual = _descent(heads.of(x), wanted[index.to(device)])  # (P,), (B, P, C)
            adam.step(x, residual, rates[done])
            progress(done + 1, total)
        heads = replace(heads, losses=losses.T.cpu().numpy(), rates=tuple(rates))
        if axes is None:
            return heads
        return replace(heads, weight=(axes @ heads.weight.flatten(1)).view_as(heads.weight))


@dataclass(frozen=True)
class Standardisation:
    """Centre and scale of each channel on the training features: (D,) each; constant channels become 0."""

    mean: Tensor
    inverse: Tensor

    @staticmethod
    def of(features: NDArray[Any], device: torch.device) -> Standardisation:
        """Fit on (N, D) features, in float64 and in pieces."""
        chunks = range(0, len(features), CHUNK)
        mean = sum(features[i : i + CHUNK].sum(0, dtype=np.float64) for i in chunks) / len(features)
        squares = sum(
            np.square(features[i : i + CHUNK].astype(np.float64) - mean).sum(0) for i in chunks
        ) / len(features)
        std = np.sqrt(squares)
        varies = std > CONSTANT * np.sqrt(squares + np.square(mean))
        inverse = np.divide(1.0, std, out=np.zeros_like(std), where=varies)
        return Standardisation(
            torch.from_numpy(mean).float().to(device), torch.from_numpy(inverse).float().to(device)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise (B, D)."""
        return (x.float() - self.mean) * self.inverse


@dataclass(frozen=True)
class LinearHeads:
    """P linear heads: standardise, then weight (D, P, C) and bias (P, C).

    losses (P, steps) and rates (steps,) are those of their training, if there was one.
    """

    scaling: Standardisation
    weight: Tensor
    bias: Tensor
    losses: NDArray[np.float32] | None = None
    rates: tuple[float, ...] = ()

    @staticmethod
    def prior(scaling: Standardisation, heads: int, logits: Tensor) -> LinearHeads:
        """Heads that predict these logits (C,) for every example."""
        weight = scaling.mean.new_zeros(len(scaling.mean), heads, len(logits))
        return LinearHeads(scaling, weight, logits.to(weight).repeat(heads, 1))

    def of(self, x: Tensor) -> Tensor:
        """Logits (B, P, C) of standardised features (B, D)."""
        return torch.addmm(self.bias.flatten(), x, self.weight.flatten(1)).view(len(x), *self.bias.shape)

    def select(self, head: int) -> LinearHead:
        """One of the heads, on its own."""
        course = None if self.losses is None else Course.of(self.losses[head].tolist(), self.rates)
        return LinearHead(self.scaling, self.weight[:, head].clone(), self.bias[head].clone(), course)


@dataclass(frozen=True)
class LinearHead:
    """One linear head: standardise, then weight (D, C) and bias (C,)."""

    scaling: Standardisation
    weight: Tensor
    bias: Tensor
    course: Course | None = None

    @staticmethod
    def unfitted(width: int, classes: int, device: torch.device) -> LinearHead:
        """A head of that form, D = width, whose tensors are to be filled."""
        zeros = torch.zeros(width + 1, classes, device=device)
        scaling = Standardisation(torch.zeros(width, device=device), torch.zeros(width, device=device))
        return LinearHead(scaling, zeros[:-1].clone(), zeros[-1].clone())

    def tensors(self) -> dict[str, Tensor]:
        """What it is made of, by name."""
        return {
            "mean": self.scaling.mean,
            "inverse": self.scaling.inverse,
            "weight": self.weight,
            "bias": self.bias,
        }

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Logits (N, C) of raw features (N, D), which may be a memory map."""
        chunks = [
            self.of(torch.from_numpy(np.array(features[i : i + CHUNK])).to(self.weight.device)).cpu()
            for i in range(0, len(features), CHUNK)
        ]
        return np.asarray(torch.cat(chunks).numpy())

    def of(self, x: Tensor) -> Tensor:
        """Logits (B, C) of raw features (B, D)."""
        return torch.addmm(self.bias, self.scaling(x), self.weight)


class _Adam:
    """Adam on all heads at once, each with its own learning rate and penalty."""

    def __init__(self, heads: LinearHeads, settings: Sequence[Setting]) -> None:
        self.heads = heads
        self.steps = 0
        new = heads.bias.new_tensor
        self.lr = new([s.lr for s in settings]).unsqueeze(1)  # (P, 1)
        self.decay = new([s.weight_decay for s in settings]).unsqueeze(1)
        self.moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in (heads.weight, heads.bias)]

    def step(self, x: Tensor, residual: Tensor, share: float) -> None:
        """Move by the gradient of features (B, D) and ∂loss/∂logits (B, P, C); `share` of the peak rate."""
        self.steps += 1
        gradient = (x.T @ residual.flatten(1)).view_as(self.heads.weight)  # (D, P, C)
        gradient.addcmul_(self.heads.weight, self.decay)
        gradients = (gradient, residual.sum(0))
        for value, slope, (first, second) in zip(
            (self.heads.weight, self.heads.bias), gradients, self.moments, strict=True
        ):
            first.lerp_(slope, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
            scale = (second / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
            value.addcdiv_(self.lr * (share / (1 - BETAS[0] ** self.steps)) * first, scale, value=-1)


def _descent(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss (P,) of the logits (B, P, C), and its gradient (B, P, C) with respect to them."""
    if targets.ndim == 2:
        wanted = targets.to(logits.dtype).unsqueeze(1).expand_as(logits)
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(2).mean(0)
        return loss, (logits.sigmoid() - wanted).div_(len(logits))
    labelled = targets >= 0
    share = (labelled / labelled.sum().clamp(min=1))[:, None]  # (B, 1)
    spot = targets.long().clamp(min=0)[:, None, None].expand(-1, logits.shape[1], 1)  # (B, P, 1)
    residual = _softmax(logits)
    # From what is there already; a class is never less likely than the smallest number.
    likely = residual.gather(2, spot).squeeze(2).clamp_(min=torch.finfo(residual.dtype).tiny)  # (B, P)
    loss = -likely.log_().mul_(share).sum(0)
    residual.scatter_add_(2, spot, residual.new_tensor(-1.0).expand(spot.shape))
    return loss, residual.mul_(share.unsqueeze(2))


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over classes (B, P, C)."""
    if logits.shape[2] >= FEW_CLASSES:
        return logits.softmax(2)
    return logits.mT.contiguous().softmax(1).mT.contiguous()


def _principal_axes(
    rows: Callable[[Tensor], Tensor], scaling: Standardisation, examples: int
) -> Tensor | None:
    """Eigenvectors (D, D) of the covariance of the standardised features; None beyond ROTATED channels.

    Adam scales each coordinate by itself, which helps where they are uncorrelated; channels seldom are. A
    rotation leaves the penalty, and so the optimum, as it is.
    """
    if len(scaling.mean) > ROTATED:
        return None
    covariance = scaling.mean.new_zeros(len(scaling.mean), len(scaling.mean))
    for start in range(0, examples, CHUNK):
        x = scaling(rows(torch.arange(start, min(start + CHUNK, examples))))
        covariance.addmm_(x.T, x, alpha=1 / examples)
    # In float32 the solver gives up where most directions are empty: fewer examples than channels.
    axes: Tensor = torch.linalg.eigh(covariance.double()).eigenvectors.to(covariance.dtype)
    return axes


def _turned(
    rows: Callable[[Tensor], Tensor], scaling: Standardisation, axes: Tensor | None, shape: tuple[int, ...]
) -> Callable[[Tensor], Tensor]:
    """Standardised features (B, D) along the axes, by index: turned once where they can be kept."""

    def turn(index: Tensor) -> Tensor:
        x = scaling(rows(index))
        return x if axes is None else x @ axes

    if axes is None or math.prod(shape) * axes.element_size() > RESIDENT:
        return turn
    kept = axes.new_empty(shape)
    for start in range(0, len(kept), CHUNK):
        kept[start : start + CHUNK] = turn(torch.arange(start, min(start + CHUNK, len(kept))))
    return lambda index: kept[index.to(kept.device)]


def _log_prior(targets: Tensor, classes: int) -> Tensor:
    """Logits (C,) of the share of each class, one example added to either side."""
    if targets.ndim == 2:
        positive = targets.sum(0, dtype=torch.float32) + 1
        return (positive / (len(targets) + 2 - positive)).log()
    return (torch.bincount(targets[targets >= 0].long(), minlength=classes).float() + 1).log()


def _source(features: NDArray[Any], device: torch.device) -> Callable[[Tensor], Tensor]:
    if device.type != "cpu" and features.nbytes <= RESIDENT:
        resident = torch.from_numpy(np.array(features)).to(device)
        return lambda index: resident[index.to(device)]
    return lambda index: torch.from_numpy(features[index.numpy()]).to(device)
