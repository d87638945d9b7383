"""End-to-end fine-tuning: one loop, shared by classification, detection and segmentation."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from downstream.course import Course
from downstream.features.extraction import batches
from downstream.protocol import Runtime
from downstream.selection import Diverged
from pretext.data.dataset import Split
from pretext.encoder import Encoder

CHECK_EVERY = 20
"""Steps between two looks at the losses; each look waits for the device."""

E = TypeVar("E", bound=StrEnum)


class Norm(StrEnum):
    """What the encoder's BatchNorm does while fine-tuning: keep its statistics, or follow the batches."""

    EVAL = "eval"
    TRAIN = "train"


class Optimiser(StrEnum):
    """SGD with momentum 0.9, or AdamW."""

    SGD = "sgd"
    ADAMW = "adamw"


@dataclass(frozen=True, kw_only=True)
class Tuning(ABC):
    """How a model is trained, but for how long and by which schedule; those are its subclasses' affair.

    Optimiser, learning rate and weight decay have no defaults: they belong together, and one optimiser's rate
    and decay are not another's.

    Args:
        batch_size: examples a step.
        lr: peak learning rate of the head.
        backbone_lr: factor on `lr` for the encoder; 0 leaves its parameters where they are.
        weight_decay: on all weights of two and more axes; biases and norms are spared.
        clip: largest gradient norm over all parameters, or None.
        optimiser: which optimiser, "sgd" or "adamw".
        norm: what the encoder's BatchNorm does, "eval" or "train".
        frozen_stages: stages of the encoder that stay as they are to the bit, BatchNorm statistics included.

    Raises:
        ValueError: a value outside its range; the message names the field and the value.
    """

    batch_size: int = 32
    lr: float
    backbone_lr: float = 1.0
    weight_decay: float
    clip: float | None = 10.0
    optimiser: Optimiser
    norm: Norm = Norm.EVAL
    frozen_stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Plain strings and lists come from configuration files.
        object.__setattr__(self, "optimiser", _member(Optimiser, "optimiser", self.optimiser))
        object.__setattr__(self, "norm", _member(Norm, "norm", self.norm))
        object.__setattr__(self, "frozen_stages", tuple(self.frozen_stages))
        for name, good in self._ranges().items():
            if not good:
                raise ValueError(f"{type(self).__name__}: {name}={getattr(self, name)!r} is out of range")

    def _ranges(self) -> dict[str, bool]:
        """Whether each field lies in its range."""
        return {
            "batch_size": self.batch_size >= 1,
            "lr": self.lr > 0,
            "backbone_lr": self.backbone_lr >= 0,
            "weight_decay": self.weight_decay >= 0,
            "clip": self.clip is None or self.clip > 0,
        }

    @property
    @abstractmethod
    def length(self) -> str:
        """How long training takes, in words."""

    @abstractmethod
    def steps(self, examples: int) -> int:
        """Steps of the whole training on so many examples."""

    @abstractmethod
    def factor(self, step: int, steps: int) -> float:
        """What the peak learning rate is multiplied by in a step, from 0, of so many."""

    @abstractmethod
    def batches(self, examples: int, generator: torch.Generator) -> Iterator[Tensor]:
        """The examples (B,) int64 of every step."""

    def steps_a_pass(self, examples: int) -> int:
        """Steps in which every example is seen once."""
        return math.ceil(examples / self.batch_size)

    def groups(self, model: nn.Module, encoder: Encoder | None) -> list[dict[str, Any]]:
        """Parameters that move, by learning rate and weight decay, as optimisers take them."""
        inside = set() if encoder is None else {id(p) for p in encoder.parameters()}
        groups = []
        for part, factor in ((True, self.backbone_lr), (False, 1.0)):
            for matrix in (True, False):
                params = [
                    p
                    for p in model.parameters()
                    if p.requires_grad and (id(p) in inside) is part and (p.ndim > 1) is matrix
                ]
                decay = self.weight_decay if matrix else 0.0
                groups.append({"params": params, "lr": factor * self.lr, "weight_decay": decay})
        return [group for group in groups if group["params"]]


@dataclass(frozen=True, kw_only=True)
class EpochRecipe(Tuning, ABC):
    """How to fine-tune by epochs: a warm-up, then a cosine to zero.

    Args:
        epochs: passes over the training examples; batches of one differ in size by one at most.
        least_steps: where the epochs make fewer steps, passes go on until there are so many: a few passes
            over few examples leave a head untrained. 0: the epochs alone, as where a paper states them.
        warmup: part of the steps, in [0, 1), during which the learning rate rises linearly.
    """

    epochs: int = 5
    least_steps: int = 0
    warmup: float = 0.1

    def _ranges(self) -> dict[str, bool]:
        return {
            "epochs": self.epochs >= 1,
            "least_steps": self.least_steps >= 0,
            **super()._ranges(),
            "warmup": 0 <= self.warmup < 1,
        }

    @property
    def length(self) -> str:
        """The epochs, "3+" where few examples get more of them."""
        more = "+" if self.least_steps else ""
        return f"{self.epochs}{more} {'epoch' if self.epochs == 1 else 'epochs'}"

    def steps(self, examples: int) -> int:
        """Steps of all epochs, and `least_steps` at least."""
        return max(self.epochs * self.steps_a_pass(examples), self.least_steps)

    def factor(self, step: int, steps: int) -> float:
        """Rise linearly to 1, fall to 0 by a cosine."""
        warmup = int(self.warmup * steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    def batches(self, examples: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Every example once a pass: a remainder of one example would stop BatchNorm."""
        return islice(self._passes(examples, generator), self.steps(examples))

    def _passes(self, examples: int, generator: torch.Generator) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(examples, generator=generator)
            yield from order.tensor_split(self.steps_a_pass(examples))


@final
@dataclass(frozen=True, kw_only=True)
class Recipe(EpochRecipe):
    """How to fine-tune by epochs, all layers of the encoder at one rate; see `EpochRecipe`."""


def _member(kind: type[E], field: str, value: str) -> E:
    if value not in [member.value for member in kind]:
        allowed = ", ".join(member.value for member in kind)
        raise ValueError(f"{field} must be one of {allowed}; got {value!r}")
    return kind(value)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw everything inside (initial weights, dropout) from `seed`; the outer state comes back after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def private_copy(encoder: Encoder, device: torch.device) -> Encoder:
    """Copy an encoder for training, on `device`; the caller's own stays as it is."""
    return copy.deepcopy(encoder).to(device).requires_grad_(True)


def random_flips(count: int, generator: torch.Generator) -> Tensor:
    """Decide for each of `count` images, evenly, whether to mirror it: (count,) bool on the CPU."""
    return torch.rand(count, generator=generator) < 0.5


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror those of the images or masks (B, …, W) left to right whose `flips` (B,) is set."""
    flips = flips.to(images.device).view(-1, *[1] * (images.ndim - 1))
    return torch.where(flips, images.flip(-1), images)


def outputs(model: nn.Module, split: Split, runtime: Runtime) -> Iterator[tuple[slice, Tensor]]:
    """Run a model over a split in order, in eval mode without gradients: rows, and its float32 output."""
    model.eval()
    for rows, pixels in batches(split, runtime.device):
        with (
            torch.no_grad(),
            torch.autocast(runtime.device.type, runtime.autocast, enabled=runtime.autocast is not None),
        ):
            output = model(pixels)
        yield rows, output.float()


def finetune(
    model: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    examples: int,
    recipe: Tuning,
    runtime: Runtime,
    encoder: Encoder | None = None,
    what: str = "fine-tune",
) -> Course:
    """Train `model` in place on `runtime.device`; the same seed gives the same weights.

    Args:
        model: everything that is trained, already on the device; left in eval mode.
        loss: (index, generator) → scalar loss of the training examples `index` (B,) int64 on the CPU;
            augmentation draws from `generator` (CPU).
        examples: number of training examples.
        encoder: the part of `model` that `backbone_lr`, `norm` and `frozen_stages` are about;
            None where the whole model is a head.

    Raises:
        ValueError: no examples, or a frozen stage that the encoder lacks.
        Diverged: a loss that is not finite, or a weight after the last step; names it.
        RuntimeError: a frozen tensor moved.
    """
    if examples < 1:
        raise ValueError(f"{what}: no training examples")
    frozen = [] if encoder is None else _frozen_modules(encoder, recipe)
    _freeze(frozen, encoder, recipe)
    before = [_state(module) for module in frozen]
    optimiser = _optimiser(model, encoder, recipe)
    steps = recipe.steps(examples)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: recipe.factor(step, steps))
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    generator = torch.Generator().manual_seed(runtime.seed)
    losses: list[float] = []
    unseen: list[Tensor] = []
    model.train()
    _still_norms(frozen, encoder, recipe)
    with seeded(runtime.seed, runtime.device), torch.enable_grad():
        for step, index in enumerate(recipe.batches(examples, generator), 1):
            with torch.autocast(runtime.device.type, runtime.autocast, enabled=runtime.autocast is not None):
                value = loss(index, generator)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(trained, recipe.clip)
            optimiser.step()
            schedule.step()
            unseen.append(value.detach())
            if len(unseen) == CHECK_EVERY or step == steps:
                losses += _finite(unseen, len(losses), what)
                unseen.clear()
            runtime.progress(what, step, steps)
    _check_unmoved(frozen, before)
    _check_finite(model, what)
    model.eval()
    return Course.of(losses, [recipe.factor(step, steps) for step in range(steps)])


def _frozen_modules(encoder: Encoder, recipe: Tuning) -> list[nn.Module]:
    if recipe.backbone_lr == 0 and recipe.norm is Norm.EVAL:
        return [encoder]
    for name in recipe.frozen_stages:
        if name not in encoder.stage_names:
            listed = ", ".join(encoder.stage_names)
            raise ValueError(f"frozen_stages has {name!r}; the encoder's stages are: {listed}")
    return [encoder.backbone.blocks[name] for name in recipe.frozen_stages]


def _freeze(frozen: Iterable[nn.Module], encoder: Encoder | None, recipe: Tuning) -> None:
    for module in frozen:
        module.requires_grad_(False)
    if encoder is not None and recipe.backbone_lr == 0:
        encoder.requires_grad_(False)


def _still_norms(frozen: Iterable[nn.Module], encoder: Encoder | None, recipe: Tuning) -> None:
    for module in frozen:
        module.eval()
    if encoder is not None and recipe.norm is Norm.EVAL:
        for module in encoder.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _optimiser(model: nn.Module, encoder: Encoder | None, recipe: Tuning) -> torch.optim.Optimizer:
    groups = recipe.groups(model, encoder)
    if recipe.optimiser is Optimiser.SGD:
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.AdamW(groups, fused=True)


def _finite(losses: list[Tensor], before: int, what: str) -> list[float]:
    values: list[float] = torch.stack(losses).float().tolist()
    for step, value in enumerate(values, before):
        if not math.isfinite(value):
            raise Diverged(f"{what}: the loss of step {step} is {value}")
    return values


def _check_finite(model: nn.Module, what: str) -> None:
    for name, value in _tensors(model):
        if not bool(value.isfinite().all()):
            raise Diverged(f"{what}: {name} is not finite after the last step")


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in _tensors(module)}


def _check_unmoved(frozen: Iterable[nn.Module], before: Iterable[dict[str, Tensor]]) -> None:
    for module, state in zip(frozen, before, strict=True):
        for name, value in _tensors(module):
            if not torch.equal(value, state[name]):
                raise RuntimeError(f"a frozen tensor moved while fine-tuning: {name}")
