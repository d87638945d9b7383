"""Linear heads trained by SGD while augmented images stream through a frozen encoder, all in one pass."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.course import Course
from downstream.features.extraction import Frozen, batches, frozen, load_images
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation
from downstream.protocol import Runtime
from pretext.data.dataset import Split
from pretext.encoder import Encoder

CHECK_EVERY = 50
"""Steps between two looks at the features; each look waits for the device."""


class Source(NamedTuple):
    """What a head looks at: a stage, and one of several readings of it (empty where there is one)."""

    stage: str
    reading: str = ""


class Read(typing.Protocol):
    """How heads see an encoder."""

    def __call__(self, frozen: Frozen, images: Tensor) -> dict[Source, Tensor]:
        """Run the encoder on images (B, 3, H, W): (B, C, L) a source, C channels."""
        ...


class Heads(nn.Module):
    """P linear heads on one source: logits of all in one matrix product.

    Args:
        weight: (P, classes, C · L).
        bias: (P, classes).
        channels: C, where features are normalised by channel (BatchNorm without affine part); else None.
            Evaluation uses the averages over all batches seen: features of a frozen encoder do not drift.

    Attributes:
        courses: of the training of each head; none before it.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, channels: int | None) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.batches = 0
        self.courses: tuple[Course, ...] = ()
        self.normalised = channels is not None
        self.register_buffer("mean", torch.zeros(channels or 0))
        self.register_buffer("var", torch.ones(channels or 0))

    @staticmethod
    def begin(shape: Sequence[int], classes: int, recipe: SgdRecipe, seed: int) -> Heads:
        """Heads of one initial weight for features of shape (C, L), one head a learning rate."""
        channels, cells = shape
        generator = torch.Generator().manual_seed(seed)
        first = recipe.init_std * torch.randn(classes, channels * cells, generator=generator)
        count = len(recipe.lrs)
        return Heads(
            first.repeat(count, 1, 1), torch.zeros(count, classes), channels if recipe.normalise else None
        )

    @staticmethod
    def unfitted(shape: Sequence[int], classes: int, normalised: bool) -> Heads:
        """One head for features of shape (C, L), in eval mode, whose tensors are to be filled."""
        channels, cells = shape
        weight = torch.zeros(1, classes, channels * cells)
        return Heads(weight, torch.zeros(1, classes), channels if normalised else None).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, L) to logits (B, P, classes)."""
        if self.normalised:
            self.batches += self.training
            share = 1 / max(self.batches, 1)
            x = F.batch_norm(x, self.mean, self.var, training=self.training, momentum=share)
        logits = F.linear(x.flatten(1), self.weight.flatten(0, 1), self.bias.flatten())  # (B, P · classes)
        return logits.view(-1, *self.bias.shape)

    def alone(self, position: int) -> Heads:
        """One of the heads, by itself, in eval mode."""
        part = slice(position, position + 1)
        channels = len(self.mean) if self.normalised else None
        single = Heads(self.weight.detach()[part].clone(), self.bias.detach()[part].clone(), channels)
        single.mean, single.var = self.mean.clone(), self.var.clone()
        single.courses = self.courses[part]
        return single.eval()


def train_heads(
    encoder: Encoder,
    read: Read,
    train: Split,
    targets: NDArray[np.int64] | NDArray[np.uint8],
    classes: int,
    recipe: SgdRecipe,
    augment: Augmentation,
    runtime: Runtime,
) -> dict[Source, Heads]:
    """Train a head for every source and learning rate, on the same augmented images.

    A head comes out the same, but for rounding, whichever others are trained beside it. The loss is
    cross-entropy for (N,) targets, and for (N, classes) of 0 and 1 the binary cross-entropy summed over
    classes; the mean over images.

    Returns:
        The heads in eval mode, on `runtime.device`, in the order of `recipe.lrs`. The scores of one that
        diverged are NaN or infinite.

    Raises:
        FloatingPointError: a feature that is not finite; names the stage and the step.
        ValueError: images that are not square.
    """
    generator = torch.Generator().manual_seed(runtime.seed)
    wanted = torch.from_numpy(targets).to(runtime.device)
    total = recipe.steps(len(train))
    heads: dict[Source, Heads] = {}
    watch = _Watch(heads)
    sgd = _Sgd(recipe, recipe.scaled_lrs(len(train)))
    with frozen(encoder, runtime) as still:
        for step, (index, images) in enumerate(_images(train, recipe, generator, runtime.device)):
            seen = read(still, augment(images, generator))
            if not heads:
                for source, x in seen.items():
                    heads[source] = Heads.begin(x.shape[1:], classes, recipe, runtime.seed).to(x.device)
            with torch.enable_grad():
                losses = [losses_of(heads[s](x.float()), wanted[index.to(x.device)]) for s, x in seen.items()]
                torch.autograd.backward(torch.cat(losses).sum())
            sgd.step(heads.values(), recipe.rate(step, len(train)))
            finite = torch.stack([x.isfinite().all() for x in seen.values()])
            watch(finite, torch.cat(losses).detach(), step + 1 == total)
            runtime.progress("linear heads", step + 1, total)
    courses = watch.courses([recipe.rate(step, len(train)) for step in range(total)])
    for p, head in enumerate(heads.values()):
        head.courses = courses[p * len(recipe.lrs) : (p + 1) * len(recipe.lrs)]
    return {source: head.eval() for source, head in heads.items()}


def losses_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean loss (P,) of the logits (B, P, classes) of each head."""
    heads = logits.shape[1]
    if targets.ndim == 2:
        repeated = targets.to(logits.dtype).unsqueeze(1).expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits, repeated, reduction="none").sum(2).mean(0)
    each = F.cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(heads), reduction="none")
    return each.view(-1, heads).mean(0)


def score(
    encoder: Encoder, read: Read, heads: Mapping[Source, Heads], split: Split, runtime: Runtime
) -> dict[Source, NDArray[np.float32]]:
    """Logits (N, P, classes) of plain images, of the sources in `heads`.

    Raises:
        FloatingPointError: a feature that is not finite; names the stage and the example.
    """
    found = {s: np.empty((len(split), *head.bias.shape), np.float32) for s, head in heads.items()}
    with frozen(encoder, runtime) as still:
        for rows, images in batches(split, runtime.device):
            for source, x in read(still, images).items():
                if source in heads:
                    found[source][rows] = heads[source](x.float()).cpu().numpy()
                    _check_finite(x, found[source][rows], source, rows.start, split)
            runtime.progress(f"scores of {split.name}", rows.stop, len(split))
    return found


def _check_finite(x: Tensor, scores: NDArray[np.float32], source: Source, first: int, split: Split) -> None:
    """Tell features (B, C, L) that are not finite from heads that diverged, where scores (B, …) are not."""
    if np.isfinite(scores).all():
        return
    good = x.flatten(1).isfinite().all(1)
    if not bool(good.all()):
        example = first + int(good.int().argmin())
        raise FloatingPointError(
            f"{_named(source)}: the feature of example {example} of split {split.name!r} is not finite"
        )


class _Sgd:
    """SGD as in PyTorch (the rate outside the momentum), every head with a learning rate of its own."""

    def __init__(self, recipe: SgdRecipe, lrs: Sequence[float]) -> None:
        self.recipe = recipe
        self.lrs = lrs
        self.states: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self, heads: Iterable[Heads], rate: float) -> None:
        """Move by the gradients, at `rate` of the peak, and drop them."""
        recipe = self.recipe
        for head in heads:
            self._move(head.weight, rate, recipe.weight_decay)
            self._move(head.bias, rate * recipe.bias_lr, recipe.weight_decay if recipe.decay_bias else 0.0)

    def _move(self, value: nn.Parameter, rate: float, decay: float) -> None:
        if value.grad is None:
            raise RuntimeError("a linear head got no gradient")
        slope = value.grad.add_(value, alpha=decay)
        if value not in self.states:
            lrs = value.new_tensor(self.lrs).view(-1, *[1] * (value.ndim - 1))  # (P, 1, …)
            self.states[value] = torch.zeros_like(value), lrs
        momentum, lrs = self.states[value]
        momentum.mul_(self.recipe.momentum).add_(slope)
        way = slope.add_(momentum, alpha=self.recipe.momentum) if self.recipe.nesterov else momentum
        value.addcmul_(way, lrs, value=-rate)
        value.grad = None


class _Watch:
    """Keeps the losses of all heads, and looks from time to time whether all features were finite."""

    def __init__(self, heads: Mapping[Source, Heads]) -> None:
        self.heads = heads
        self.recent: list[tuple[Tensor, Tensor]] = []
        self.past: list[NDArray[np.float32]] = []
        self.seen = 0

    def __call__(self, finite: Tensor, losses: Tensor, last: bool) -> None:
        """Take of a step whether features are finite, by source (sources,), and the losses (sources · P,).

        Raises:
            FloatingPointError: some recent features were not finite, so that no head can be.
        """
        self.recent.append((finite, losses))
        if not last and len(self.recent) < CHECK_EVERY:
            return
        good, values = (torch.stack(column).cpu().numpy() for column in zip(*self.recent, strict=True))
        bad = np.argwhere(~good)
        if len(bad):
            step, column = bad[0]
            source = list(self.heads)[column]
            raise FloatingPointError(f"{_named(source)}: a feature of step {self.seen + step} is not finite")
        self.seen += len(self.recent)
        self.past.append(values)
        self.recent.clear()

    def courses(self, rates: Sequence[float]) -> tuple[Course, ...]:
        """How the losses of each column went, from the rate of each step."""
        return tuple(Course.of(losses, rates) for losses in np.concatenate(self.past).T.tolist())


def _images(
    train: Split, recipe: SgdRecipe, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a training, read one ahead: positions (B,) on the CPU, and images (B, 3, H, W)."""
    order = islice(_order(len(train), recipe, generator), recipe.steps(len(train)))
    with ThreadPoolExecutor(1) as reader:
        waiting: tuple[Tensor, Future[Tensor]] | None = None
        for index in order:
            following = index, reader.submit(load_images, train, index.numpy(), device)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def _order(examples: int, recipe: SgdRecipe, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(examples, generator=generator).tensor_split(recipe.steps_an_epoch(examples))


def _named(source: Source) -> str:
    return f"stage {source.stage!r}" + (f", {source.reading}" if source.reading else "")
