"""Low-shot classification by linear SVMs on frozen features (arXiv:1905.01235, section 6.1)."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import check_against, check_labels, fitted_classes, labels_of
from downstream.classification.one_vs_rest import (
    GOYAL19_COSTS,
    Heads,
    best_costs,
    checked_costs,
    costs_at_edge,
    unit_rows,
)
from downstream.classification.shots import SameAtEveryK, Shots, score_on_shots, shot_metrics, shot_rows
from downstream.features.extraction import extract
from downstream.features.pooling import WindowPool
from downstream.heads.svm import Coordinates, SquaredHinge
from downstream.protocol import BlindPredictor, Measure, Metric, Predictions, Protocol, Runtime, Trial
from downstream.selection import StageHeads, best
from pretext.data.dataset import Split
from pretext.encoder import Encoder


class Choice(NamedTuple):
    """One stage: C of each k as val chose it, and the classifiers (D + 1, K · draws · C) fitted with it."""

    trial: Trial
    heads: Heads
    at_edge: tuple[str, ...]
    train_score: float


class Few(NamedTuple):
    """One k: scores on val by C; classifiers (D + 1, draws · C) of the best, and their score on the shots."""

    values: NDArray[np.float64]
    heads: Tensor
    train_score: float


@dataclass(frozen=True)
class Images:
    """Features of unit length of one stage: of all images that are drawn (n, D), and of val (M, D)."""

    drawn: Tensor
    val: Tensor

    def coordinates(self, index: NDArray[np.intp]) -> tuple[Coordinates, Tensor]:
        """Coordinates of these drawn images, their own where they are less than half, and those of val."""
        some = torch.from_numpy(index).to(self.drawn.device)
        if 2 * len(index) <= len(self.drawn):
            own = Coordinates.of(self.drawn[some])
            return own, own.place(self.val)
        shared, there = self._shared
        return shared.take(some), there

    @cached_property
    def _shared(self) -> tuple[Coordinates, Tensor]:
        shared = Coordinates.of(self.drawn)
        return shared, shared.place(self.val)


@dataclass(frozen=True)
class FewShotSvm(Protocol, ABC):
    """Linear SVMs fitted on k images a class and others; see `LowShot`."""

    shots: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 96)
    draws: int = 5
    negatives: int = 19
    costs: tuple[float, ...] = GOYAL19_COSTS
    dimension: int = 9600

    version = 1
    paper = "arXiv:1905.01235"
    task = "classification"
    trains_encoder = False
    headless = "its score is a mean over many SVMs, each of a few images"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shots", tuple(int(k) for k in self.shots))
        object.__setattr__(self, "costs", checked_costs(self.name, self.costs))
        ranges = {
            "shots": len(self.shots) > 0 and min(self.shots) >= 1 and len(set(self.shots)) == len(self.shots),
            "draws": self.draws >= 1,
            "negatives": self.negatives >= 1,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"{self.name}: {name}={getattr(self, name)!r} is out of range")
        WindowPool(self.dimension)

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and C of each k."""
        return ("stage", "C") if len(self.costs) > 1 else ("stage",)

    def check(self, train: Split, *held: Split) -> None:
        """See `check_labels`; every class has the images that the largest k takes."""
        check_labels(train, *held)
        Shots(self.shots, self.draws, self.negatives).check(train, fitted_classes(train))

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedShots:
        """Draw the shots, fit every stage on them with every C, select on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; k larger than a class
                allows.
        """
        self.check(train, val)
        classes, labels = fitted_classes(train), labels_of(train)
        drawn = Shots(self.shots, self.draws, self.negatives).of(train, classes)
        rows = np.flatnonzero(np.any([signs.any((1, 2)) for signs in drawn.values()], 0))
        drawn = {k: signs[rows] for k, signs in drawn.items()}
        pool = (WindowPool(self.dimension),)
        on_train, on_val = extract(encoder, train, pool, runtime), extract(encoder, val, pool, runtime)
        choices: dict[str, Choice] = {}
        trials: list[Trial] = []
        for done, key in enumerate(on_train):
            images = Images(
                unit_rows(on_train[key][rows], runtime.device), unit_rows(on_val[key], runtime.device)
            )
            fits = [self._fit_k(images, signs, val, labels[rows]) for signs in drawn.values()]
            stage_trials, choice = self._choose(key.stage, fits)
            trials += stage_trials
            if math.isfinite(choice.trial.val):
                choices[key.stage] = choice
            runtime.progress("SVMs on few images", done + 1, len(on_train))
        winner = choices[best(trials).stage]
        return FittedShots(
            stage=winner.trial.stage,
            trials=tuple(trials),
            at_edge=winner.at_edge,
            train_score=winner.train_score,
            encoder=encoder,
            runtime=runtime,
            protocol=self,
            multi_label=labels.ndim == 2,
            classes=classes,
            chosen=choices,
        )

    def _fit_k(self, images: Images, signs: NDArray[np.int8], val: Split, labels: NDArray[Any]) -> Few:
        """One k from signs (n, draws, C): in each draw every class × C together, then one C for all."""
        fits, on_val = [], []
        for draw in range(self.draws):
            column = signs[:, draw]
            index = np.flatnonzero(column.any(1))
            examples, there = images.coordinates(index)
            weights = self._solve(examples, torch.from_numpy(column[index]))
            on_val.append((there @ weights.flatten(1)).view(len(there), *weights.shape[1:]).cpu().numpy())
            fits.append((index, examples, weights))
        scores = np.stack(on_val, 2)[:, :, None]  # (M, costs, 1, draws, C)
        metric = next(iter(shot_metrics(self.shots[:1], labels_of(val)).values()))
        values = np.array([_judged(metric, scores[:, i], val) for i in range(len(self.costs))])
        place = int(best_costs(values[None])[0][0])
        chosen = [(index, examples, w[:, place]) for index, examples, w in fits]
        if np.isnan(values[place]):
            return Few(values, torch.cat([examples.axes @ w for _, examples, w in chosen], 1), math.nan)
        seen = [
            score_on_shots((examples.rows @ w).cpu().numpy(), signs[index, draw], labels[index])
            for draw, (index, examples, w) in enumerate(chosen)
        ]
        heads = torch.cat([examples.axes @ w for _, examples, w in chosen], 1)
        return Few(values, heads, float(np.mean(seen)))

    def _solve(self, examples: Coordinates, signs: Tensor) -> Tensor:
        """Weights (R, costs, C) for signs (n, C)."""
        classes = signs.shape[1]
        weights = examples.rows.new_empty(examples.rows.shape[1], len(self.costs) * classes)
        tasks = torch.arange(classes).repeat(len(self.costs))
        costs = torch.tensor(self.costs).repeat_interleave(classes)
        for part in SquaredHinge().solve(examples, signs, tasks, costs):
            weights[:, part.problems.to(weights.device)] = part.weights
        return weights.view(-1, len(self.costs), classes)

    def _choose(self, stage: str, fits: list[Few]) -> tuple[list[Trial], Choice]:
        values = np.stack([few.values for few in fits])  # (K, costs)
        means = values.mean(0)
        trials = [Trial(stage, {"C": c}, float(v)) for c, v in zip(self.costs, means, strict=True)]
        if len(self.costs) > 1:
            places, highest = best_costs(values)
            listed = " ".join(f"{self.costs[i]:g}" for i in places)
            trials.append(Trial(stage, {"C": listed}, float(highest.mean())))
        choice = Choice(
            trials[-1],
            Heads(torch.cat([few.heads for few in fits], 1)),
            costs_at_edge(values, self.costs, "k"),
            float(np.mean([few.train_score for few in fits])),
        )
        return trials, choice

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `shot_metrics`."""
        return shot_metrics(self.shots, labels_of(split))

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_classifiers`."""
        return {name: SameAtEveryK(predictor) for name, predictor in blind_classifiers().items()}


def _judged(metric: Metric, scores: NDArray[np.float32], val: Split) -> float:
    """The metric of scores (M, 1, draws, C) on val; NaN where an SVM was not solved."""
    return metric(shot_rows(scores, val)) if np.isfinite(scores).all() else math.nan


@final
@dataclass(frozen=True)
class LowShot(FewShotSvm):
    """Linear SVMs fitted on k images a class and 19 k others, as arXiv:1905.01235 does on VOC 2007.

    Features, objective and values of C are those of `goyal19_voc07_svm`. k images that show the class and
    19 k that do not are drawn from train in 5 independent draws, the same for every encoder. Where an image
    has one class, as in Places, k images of each class are drawn, and those of the others are its negatives.
    One C is chosen for each k, by the score on val averaged over draws and classes; the mean over k of the
    best scores chooses the stage. Published is C chosen on test: that is `lowshot_legacy`.

    The primary metric is the mean over all k and draws, the others are those of each k: the area under the
    envelope of the precision-recall curve, or top-1 where an image has one class. The rows keep every draw.
    The encoder-blind predictors that scores are read against are fitted on all of train.

    Args:
        shots: values of k. All of them must be drawn for every class, else fitting is refused.
        draws: independent draws.
        negatives: images without the class for each one with it.
        costs: values of C.
        dimension: numbers that each stage is pooled to at most.

    Raises:
        ValueError: a value out of range.
    """

    name = "lowshot"


@final
@dataclass(frozen=True)
class LowShotLegacy(FewShotSvm):
    """`lowshot` as the released code aggregates it: C of each k is chosen on test, by the mean over draws.

    Numbers beside which published ones can be put; not to be compared with those of other protocols.
    """

    name = "lowshot_legacy"
    legacy = True


@dataclass(frozen=True, kw_only=True)
class FittedShots(StageHeads[Choice]):
    """SVMs of every k, draw and class, for each stage."""

    protocol: FewShotSvm
    multi_label: bool
    classes: int

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows of every stage, see `shot_rows`."""
        check_against(test, self.multi_label, self.classes)
        protocol, pool = self.protocol, WindowPool(self.protocol.dimension)
        found: dict[str, Predictions] = {}
        for key, features in extract(self.encoder, test, (pool,), self.runtime).items():
            scores = self.chosen[key.stage].heads.scores(features)
            shape = (len(test), len(protocol.shots), protocol.draws, self.classes)
            found[key.stage] = shot_rows(scores.reshape(shape), test)
        return found
