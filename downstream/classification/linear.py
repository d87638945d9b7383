"""Linear probe: a linear classifier on frozen, pooled features of every stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from downstream.classification.family import Classification
from downstream.classification.head import Classifying
from downstream.classification.labels import (
    check_against,
    fitted_classes,
    labels_of,
    primary,
)
from downstream.classification.pooled import Pooled, PooledHeads, features_of, width_of
from downstream.features.extraction import Key
from downstream.features.pooling import GridPool, checked_pools
from downstream.head import Form, WithHead
from downstream.heads.linear_grid import LinearGrid, LinearHead
from downstream.protocol import (
    Predictions,
    Runtime,
    Trial,
    require_positive,
)
from downstream.selection import choose_over_stages, judged, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


class Choice(NamedTuple):
    """What val chose for one stage."""

    trial: Trial
    key: Key
    head: LinearHead


@dataclass(frozen=True)
class LinearProbe(WithHead, Classification):
    """Logistic (several classes an image) or softmax regression on each stage's pooled features.

    Features are standardised by train alone. Every stage is fitted with every setting; the setting of each
    stage, and the stage itself, are chosen by the primary metric on val.

    Args:
        pools: pooling grids to choose among; 1 is global average pooling (see `GridPool`).
        grid: learning rates, weight decays and the budget.
        train_limit: fit on that many training examples, drawn by the split's digest; on all without it.
    """

    pools: tuple[int, ...] = (1, 2)
    grid: LinearGrid = field(default_factory=lambda: LinearGrid(epochs=12, least_steps=200))

    name = "linear"
    version = 1
    trains_encoder = False

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "pools", checked_pools("LinearProbe", self.pools))
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and its setting where there are several."""
        return ("stage", *several(lr=self.grid.lrs, weight_decay=self.grid.weight_decays, pool=self.pools))

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedProbe:
        """Fit all settings of all stages on train, select on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        wanted = check_against(val, labels.ndim == 2, classes)
        pooled = Pooled.of(encoder, train, val, self.pools, runtime)
        metric = primary(labels.ndim == 2)

        def heads() -> Iterator[Choice]:
            for done, (key, features) in enumerate(pooled.train.items()):
                fitted = self.grid.fit(features, labels, classes, runtime.device, runtime.seed)
                for p, setting in enumerate(self.grid.settings):
                    head = fitted.select(p)
                    value = judged(metric, {"scores": head.logits(pooled.val[key]), "labels": wanted})
                    plain = {**setting._asdict(), "pool": pooled.grids[key.reduction]}
                    yield Choice(Trial(key.stage, plain, value), key, head)
                runtime.progress("linear heads", done + 1, len(pooled.train))

        chosen = choose_over_stages(heads(), len(val), pooled.finest)
        winner = chosen.winner
        scores = winner.head.logits(pooled.train[winner.key])
        return FittedProbe(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=metric({"scores": scores, "labels": labels}),
            course=winner.head.course,
            encoder=encoder,
            runtime=runtime,
            pools=tuple(pooled.grids),
            multi_label=labels.ndim == 2,
            chosen=chosen.by_stage,
            classes=classes,
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> PooledLinear:
        """A linear layer on the pooled features of the stage.

        Raises:
            ValueError: a stage that the encoder has not, or a grid that is none.
        """
        key = Key(form.stage, GridPool(int(form.setting["pool"])))
        width = width_of(encoder, key, form.size, runtime)
        head = LinearHead.unfitted(width, form.classes, runtime.device)
        return PooledLinear(classes=form.classes, several=form.several, encoder=encoder, key=key, layer=head)


@dataclass(frozen=True, kw_only=True)
class PooledLinear(Classifying):
    """A linear layer on the pooled features of one stage."""

    encoder: Encoder
    key: Key
    layer: LinearHead

    def tensors(self) -> dict[str, Tensor]:
        """The layer's."""
        return self.layer.tensors()

    def scores(self, images: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Logits (N, C)."""
        return self.layer.logits(features_of(self.encoder, images, self.key, runtime))


@dataclass(frozen=True, kw_only=True)
class FittedProbe(PooledHeads[Choice]):
    """One head a stage, each with the setting that val chose; scores are logits."""

    @property
    def head(self) -> PooledLinear:
        """That of the selected stage."""
        choice = self.chosen[self.stage]
        return PooledLinear(
            classes=self.classes,
            several=self.multi_label,
            encoder=self.encoder,
            key=choice.key,
            layer=choice.head,
        )

    def rows(self, choice: Choice, features: NDArray[Any], labels: NDArray[Any]) -> Predictions:
        """Rows {"scores": (N, C) logits, "labels"}."""
        return {"scores": choice.head.logits(features), "labels": labels}
