"""Training an encoder with a head on it, once a learning rate, each from the same start; val chooses one."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from downstream.course import Course
from downstream.head import WithHead
from downstream.protocol import Runtime, Trial
from downstream.selection import Chosen, attempt, choose_over_stages, several
from downstream.tuning.finetuning import Tuning, finetune, private_copy, seeded
from pretext.data.dataset import Split
from pretext.encoder import Encoder

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""See `finetune`."""


class TunedModel(nn.Module, ABC):
    """An encoder with a head on it.

    Attributes:
        encoder: the part whose learning rate, BatchNorm and frozen stages the recipe is about.
        stage: the stage that records name.
    """

    encoder: Encoder
    stage: str


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, not copied; what lies under several names under the first alone."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        found.setdefault(id(value), (name, value))
    return dict(found.values())


M = TypeVar("M", bound=TunedModel)
T = TypeVar("T")


@dataclass(frozen=True)
class Trained(Generic[T]):
    """What was trained at one learning rate, and how its loss went; None where it diverged."""

    trial: Trial
    model: T
    course: Course | None


@dataclass(frozen=True)
class TunedProtocol(WithHead):
    """A model around a copy of the encoder is trained as a whole.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
    """

    recipe: Tuning

    trains_encoder = True

    @property
    def head_lrs(self) -> tuple[float, ...]:
        """Head learning rates to choose among on val, each a training of its own; none: the recipe's."""
        return ()

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.head_lrs)

    def frozen(self, encoder: Encoder) -> tuple[str, ...]:
        """Stages that are frozen beside the recipe's."""
        return ()

    def over_rates(
        self,
        encoder: Encoder,
        build: Callable[[Encoder], M],
        loss: Callable[[M], Loss],
        score: Callable[[M], float],
        splits: tuple[Split, Split],
        runtime: Runtime,
    ) -> Chosen[Trained[M]]:
        """Train one model a learning rate, keep the one that is best on val.

        Args:
            build: an untrained model around a private copy of the encoder.
            score: on val.
            splits: what is trained on, and val.
        """
        frozen = (*self.recipe.frozen_stages, *self.frozen(encoder))

        def tried() -> Iterator[Trained[M]]:
            for lr in self.head_lrs or (self.recipe.lr,):
                with seeded(runtime.seed, runtime.device):
                    model = build(private_copy(encoder, runtime.device)).to(runtime.device)
                recipe, what = replace(self.recipe, lr=lr, frozen_stages=frozen), f"fine-tune, lr {lr:g}"
                of = loss(model)
                train = partial(finetune, model, of, len(splits[0]), recipe, runtime, model.encoder, what)
                trial, course = attempt(model.stage, {"lr": lr}, train, partial(score, model))
                yield Trained(trial, model, course)

        return choose_over_stages(tried(), len(splits[1]))


@dataclass(frozen=True)
class WithRates(TunedProtocol):
    """The learning rates to choose among are a setting.

    Args:
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
    """

    lrs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))

    @property
    def head_lrs(self) -> tuple[float, ...]:
        """As given."""
        return self.lrs
