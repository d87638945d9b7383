"""The linear SVMs of Goyal et al. (arXiv:1905.01235) on frozen features, C by cross-validation."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from downstream.classification.baselines import blind_classifiers
from downstream.classification.family import Labelled
from downstream.classification.head import Classifying
from downstream.classification.labels import check_against, fitted_classes, labels_of
from downstream.classification.one_vs_rest import (
    GOYAL19_COSTS,
    Heads,
    best_costs,
    checked_costs,
    costs_at_edge,
    signs_of,
    unit_rows,
    voc_metrics,
)
from downstream.classification.pooled import features_of, width_of
from downstream.classification.voc_ap import (
    DifficultLeftOut,
    average_precisions,
    voc_ap_area,
    with_difficult,
)
from downstream.features.extraction import Key, extract
from downstream.features.pooling import WindowPool
from downstream.head import Form, WithHead
from downstream.heads.svm import Coordinates, SquaredHinge
from downstream.protocol import BlindPredictor, Measure, Predictions, Runtime, Trial
from downstream.selection import StageHeads, best
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


class Choice(NamedTuple):
    """One stage: C of each class by cross-validation, and the classifiers fitted with it on all images."""

    trial: Trial
    key: Key
    heads: Heads
    at_edge: tuple[str, ...]


@dataclass(frozen=True)
class CrossValidatedSvm(WithHead, Labelled, ABC):
    """One linear SVM a class against the rest, C by cross-validation; see `Goyal19Svm`."""

    costs: tuple[float, ...]
    folds: int = 3
    dimension: int = 9600

    version = 1
    paper = "arXiv:1905.01235"
    trains_encoder = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "costs", checked_costs(self.name, self.costs))
        if self.folds < 2:
            raise ValueError(f"{self.name}: folds must be at least 2, got {self.folds}")
        WindowPool(self.dimension)

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and C of each class."""
        return ("stage", "C") if len(self.costs) > 1 else ("stage",)

    def requires(self, train: Split, *held: Split) -> None:
        """Each class has images, and others, for every fold of train and val together."""
        check_folds(_together(train, held[0])[1], self.folds, _named(train, held[0]))

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedSvms:
        """Cross-validate and fit every stage on train and val together.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; a class with fewer
                images, or fewer others, than folds.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        labels, signs = _together(train, val)
        fold = stratified_folds(signs, self.folds, _named(train, val))
        pools = (WindowPool(self.dimension),)
        on_train, on_val = (extract(encoder, split, pools, runtime) for split in (train, val))
        choices: dict[str, Choice] = {}
        trials: list[Trial] = []
        for done, key in enumerate(on_train):
            both = torch.cat([unit_rows(found[key], runtime.device) for found in (on_train, on_val)])
            coordinates = Coordinates.of(both)
            precision = self._cross_validate(coordinates, signs, fold, runtime)  # (C, costs)
            heads, costs = _fitted(coordinates, signs, self.costs, precision)
            trials += [_trial(key.stage, cost, precision[:, i]) for i, cost in enumerate(self.costs)]
            if len(self.costs) > 1:
                listed = " ".join(f"{cost:g}" for cost in costs)
                trials.append(_trial(key.stage, listed, best_costs(precision)[1]))
            if math.isfinite(trials[-1].val):
                at_edge = costs_at_edge(precision, self.costs, "classes")
                choices[key.stage] = Choice(trials[-1], key, heads, at_edge)
            runtime.progress("SVMs", done + 1, len(on_train))
        winner = choices[best(trials).stage]
        scores = [winner.heads.scores(found[winner.key]) for found in (on_train, on_val)]
        return FittedSvms(
            stage=winner.trial.stage,
            trials=tuple(trials),
            at_edge=winner.at_edge,
            train_score=voc_ap_area({"scores": np.concatenate(scores), "labels": labels}),
            encoder=encoder,
            runtime=runtime,
            pool=pools[0],
            multi_label=labels.ndim == 2,
            classes=signs.shape[1],
            chosen=choices,
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> Svms:
        """An SVM a class on the pooled stage.

        Raises:
            ValueError: a stage that the encoder has not.
        """
        key = Key(form.stage, WindowPool(self.dimension))
        width = width_of(encoder, key, form.size, runtime)
        return Svms(
            classes=form.classes,
            several=form.several,
            encoder=encoder,
            key=key,
            svms=Heads(torch.zeros(width + 1, form.classes, device=runtime.device)),
        )

    def _cross_validate(
        self, examples: Coordinates, signs: Tensor, fold: NDArray[np.int64], runtime: Runtime
    ) -> NDArray[np.float64]:
        """Average precision (C, costs), the mean over folds; every class × fold × C is solved together.

        NaN where one of the folds is not solved.
        """
        classes, folds = signs.shape[1], self.folds
        held = fold[:, :, None] == np.arange(folds)  # (N, C, folds)
        without = torch.where(torch.from_numpy(held), 0, signs[:, :, None]).flatten(1)
        tasks = torch.arange(classes * folds).repeat_interleave(len(self.costs))
        costs = torch.tensor(self.costs).repeat(classes * folds)
        found = np.empty(len(tasks))
        counted, positive = held.reshape(len(fold), -1), (signs > 0).numpy()

        def progress(done: int, total: int) -> None:
            runtime.progress("SVMs, cross-validation", done, total)

        for part in SquaredHinge().solve(examples, without, tasks, costs, progress):
            task = tasks[part.problems].numpy()
            scores = part.scores.cpu().numpy()
            precision = average_precisions(scores, positive[:, task // folds], counted[:, task])
            found[part.problems.numpy()] = np.where(np.isfinite(scores).all(0), precision, np.nan)
        return np.asarray(found.reshape(classes, folds, -1).mean(1))

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `voc_metrics`."""
        return voc_metrics(labels_of(split))

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_classifiers`."""
        return {name: DifficultLeftOut(predictor) for name, predictor in blind_classifiers().items()}


@final
@dataclass(frozen=True)
class Goyal19Svm(CrossValidatedSvm):
    """One linear SVM a class against the rest, as PASCAL VOC 2007 is judged in arXiv:1905.01235.

    Each stage is pooled to about 9,000 numbers (see `WindowPool`) and each image's feature divided by its
    length + 1e-5. LinearSVC's objective, positives weighing twice. Train and val together are the training
    images, as VOC's trainval is: C is chosen for each class by average precision, the mean over 3 stratified
    folds in the images' order; then the class is fitted again on all of them. The mean over classes of the
    chosen C's precision is the score on val that chooses the stage; test is seen once, after.

    The primary metric is the area under the envelope of the precision-recall curve, as in the released code;
    VOC 2007's 11 points and scikit-learn's steps stand beside it. A class that an image shows by difficult
    objects alone counts as absent when fitting and is left out when scoring, as released. Data with one class
    an image are judged class by class too; top-1 is by the highest score. The published images are warped to
    224 × 224, short side 256 before; here they are what the data set holds.

    Args:
        costs: values of C.
        folds: of the cross-validation.
        dimension: numbers that each stage is pooled to at most.
        train_limit: use that many images of train, drawn by the split's digest; all without it.

    Raises:
        ValueError: a value out of range.
    """

    costs: tuple[float, ...] = GOYAL19_COSTS

    name = "goyal19_voc07_svm"


@final
@dataclass(frozen=True)
class VisslSvm(CrossValidatedSvm):
    """`Goyal19Svm` with VISSL's values of C, by which the same features get other numbers.

    All else is as in `goyal19_voc07_svm`.
    """

    costs: tuple[float, ...] = (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0)

    name = "vissl_voc07_svm"


@dataclass(frozen=True, kw_only=True)
class Svms(Classifying):
    """One SVM a class on one stage; scores are signed distances times ‖w‖."""

    encoder: Encoder
    key: Key
    svms: Heads

    @property
    def gives_logits(self) -> bool:
        """A distance is no logit."""
        return False

    def tensors(self) -> dict[str, Tensor]:
        """The weights, the bias last."""
        return {"weight": self.svms.weight}

    def scores(self, images: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Signed distances times ‖w‖ (N, C)."""
        return self.svms.scores(features_of(self.encoder, images, self.key, runtime))

    def complete(self, rows: Predictions, split: Split) -> Predictions:
        """Classes that an image shows by difficult objects alone are left out."""
        return with_difficult(rows, split)


@dataclass(frozen=True, kw_only=True)
class FittedSvms(StageHeads[Choice]):
    """One SVM a class and stage; scores are signed distances times ‖w‖."""

    pool: WindowPool
    multi_label: bool
    classes: int

    @property
    def head(self) -> Svms:
        """That of the selected stage."""
        choice = self.chosen[self.stage]
        return Svms(
            classes=self.classes,
            several=self.multi_label,
            encoder=self.encoder,
            key=choice.key,
            svms=choice.heads,
        )

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"scores": (N, C), "labels"} of every stage, and "difficult" (N, C) where there are such."""
        labels = check_against(test, self.multi_label, self.classes)
        features = extract(self.encoder, test, (self.pool,), self.runtime)
        return {
            stage: with_difficult(
                {"scores": choice.heads.scores(features[choice.key]), "labels": labels}, test
            )
            for stage, choice in self.chosen.items()
        }


def _trial(stage: str, cost: float | str, precision: NDArray[np.float64]) -> Trial:
    lost = int(np.isnan(precision).sum())
    why = f"the SVMs of {lost} of {len(precision)} classes were not solved" if lost else ""
    return Trial(stage, {"C": cost}, float(precision.mean()), why)


def _fitted(
    examples: Coordinates, signs: Tensor, costs: tuple[float, ...], precision: NDArray[np.float64]
) -> tuple[Heads, tuple[float, ...]]:
    """One SVM for each column of `signs` (N, C), with the C that is best by `precision` (C, costs).

    Where all examples together are not solved with a C, it becomes NaN in `precision`, and the next is taken.
    """
    while True:
        places = best_costs(precision)[0]
        chosen = tuple(costs[i] for i in places)
        weights = examples.rows.new_empty(examples.rows.shape[1], len(chosen))
        for part in SquaredHinge().solve(examples, signs, torch.arange(len(chosen)), torch.tensor(chosen)):
            weights[:, part.problems.to(weights.device)] = part.weights
        lost = ~weights.isfinite().all(0).cpu().numpy()
        again = lost & np.isfinite(precision[np.arange(len(places)), places])
        if not again.any():
            return Heads(examples.axes @ weights), chosen
        precision[again, places[again]] = np.nan


def _together(train: Split, val: Split) -> tuple[NDArray[Any], Tensor]:
    """Labels of the images of both, and their signs (N, C)."""
    classes, own = fitted_classes(train), labels_of(train)
    labels = np.concatenate([own, check_against(val, own.ndim == 2, classes)])
    return labels, signs_of(labels, classes)


def _named(train: Split, val: Split) -> str:
    return f"splits {train.name!r} and {val.name!r} together"


def check_folds(signs: Tensor, folds: int, where: str) -> None:
    """Whether each class (N, C) can be held out in so many parts.

    Raises:
        ValueError: a class with fewer images, or fewer others, than folds.
    """
    for c, column in enumerate(signs.T):
        for what, count in (("images", (column > 0).sum()), ("other images", (column < 0).sum())):
            if count < folds:
                raise ValueError(f"class {c} has {count} {what} in {where}: too few for {folds} folds")


def stratified_folds(signs: Tensor, folds: int, where: str) -> NDArray[np.int64]:
    """The fold (N, C) in which each image is held out for each class, as scikit-learn's StratifiedKFold.

    Raises:
        ValueError: as `check_folds`.
    """
    check_folds(signs, folds, where)
    found = np.empty(signs.shape, np.int64)
    for c, column in enumerate(signs.T.numpy()):
        for k, (_, held) in enumerate(StratifiedKFold(folds).split(column, column)):
            found[held, c] = k
    return found
