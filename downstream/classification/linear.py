"""Linear probe: a linear classifier on frozen, pooled features of every stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from downstream.classification.family import Classification
from downstream.classification.labels import (
    check_against,
    fitted_classes,
    labels_of,
    primary,
)
from downstream.course import Course
from downstream.features.extraction import Key, distinct, extract, map_sides
from downstream.features.reductions import GridPool, Reduction, checked_pools
from downstream.heads.linear_grid import LinearGrid, LinearHead
from downstream.protocol import (
    Fitted,
    Rows,
    Runtime,
    Trial,
    require_positive,
)
from downstream.selection import at_edge, best, best_by_stage, judged, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


class Choice(NamedTuple):
    """What val chose for one stage."""

    trial: Trial
    key: Key
    head: LinearHead


@dataclass(frozen=True)
class LinearProbe(Classification):
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
        pools: dict[Reduction, int] = {GridPool(pool): pool for pool in self.pools}
        sides = map_sides(encoder, train, runtime)
        on_train = distinct(extract(encoder, train, tuple(pools), runtime), sides)
        on_val = extract(encoder, val, tuple(pools), runtime)
        metric = primary(labels.ndim == 2)

        def heads() -> Iterator[Choice]:
            for done, (key, features) in enumerate(on_train.items()):
                fitted = self.grid.fit(features, labels, classes, runtime.device, runtime.seed)
                for p, setting in enumerate(self.grid.settings):
                    head = fitted.select(p)
                    value = judged(metric, {"scores": head.logits(on_val[key]), "labels": wanted})
                    plain = {**setting._asdict(), "pool": pools[key.reduction]}
                    yield Choice(Trial(key.stage, plain, value), key, head)
                runtime.progress("linear heads", done + 1, len(on_train))

        trials, chosen = best_by_stage(heads())
        winner = chosen[best(trials).stage]
        scores = winner.head.logits(on_train[winner.key])
        return FittedProbe(
            stage=winner.trial.stage,
            trials=trials,
            at_edge=at_edge(trials, winner.trial, len(val), {"pool": sides.get(winner.trial.stage, 1)}),
            train_score=metric({"scores": scores, "labels": labels}),
            course=winner.head.course,
            encoder=encoder,
            runtime=runtime,
            pools=tuple(pools),
            multi_label=labels.ndim == 2,
            chosen=chosen,
        )


@dataclass(frozen=True)
class FittedProbe(Fitted):
    """One head a stage, each with the setting that val chose; scores are logits."""

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    encoder: Encoder
    runtime: Runtime
    pools: tuple[Reduction, ...]
    multi_label: bool
    chosen: Mapping[str, Choice]
    course: Course | None = None

    @property
    def selected(self) -> dict[str, float | int | str]:
        """Learning rate, weight decay and pooling grid of the selected stage."""
        return dict(self.chosen[self.stage].trial.setting)

    def predict(self, test: Split) -> dict[str, Rows]:
        """Rows {"scores": (N, C) logits, "labels"} of every stage."""
        classes = self.chosen[self.stage].head.bias.shape[0]
        labels = check_against(test, self.multi_label, classes)
        features = extract(self.encoder, test, self.pools, self.runtime)
        return {
            stage: {"scores": choice.head.logits(features[choice.key]), "labels": labels}
            for stage, choice in self.chosen.items()
        }
