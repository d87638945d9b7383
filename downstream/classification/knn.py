"""Weighted nearest neighbours on frozen features, after Instance Discrimination (arXiv:1805.01978)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.classification.family import Classification
from downstream.classification.labels import (
    check_against,
    fitted_classes,
    labels_of,
    primary,
)
from downstream.classification.pooled import Pooled, PooledHeads
from downstream.features.extraction import FeatureSet, Key
from downstream.features.pooling import checked_pools
from downstream.heads.neighbours import nearest, vote
from downstream.protocol import Predictions, Runtime, Trial
from downstream.selection import choose_over_stages, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

LEFT_OUT = 2000
"""Training images that are classified by the others for the score on train."""


class Choice(NamedTuple):
    """What val chose for one stage."""

    trial: Trial
    key: Key
    k: int
    temperature: float


@dataclass(frozen=True)
class NearestNeighbours(Classification):
    """Vote of the k training images with the most similar features, each with weight exp(cosine / T).

    Features are each stage's pooled map scaled to unit length, neither centred nor standardised, as published
    (arXiv:1805.01978, section 3.4). Where an image has several classes, each neighbour votes for all of its
    own. A score is the share of the weights that votes for the class. Stage, k, T and pooling are chosen on
    val; nothing is trained. Scores of other k and T do not compare: published are k = 200 with T = 0.07
    (arXiv:1805.01978), the best of k = 10, 20, 100, 200 with T = 0.07 (arXiv:2104.14294), and in libraries
    k = 200 with T = 0.1 and k = 20 with T = 0.07.

    Args:
        ks: numbers of neighbours to choose among, each at most the number of training images.
        temperatures: T to choose among.
        pools: pooling grids to choose among; 1 is global average pooling (see `GridPool`).
        train_limit: a bank of that many training images, drawn by the split's digest; all without it.

    Raises:
        ValueError: an empty grid or a value outside its range.
    """

    ks: tuple[int, ...] = (10, 20, 100, 200)
    temperatures: tuple[float, ...] = (0.01, 0.03, 0.07, 0.1, 0.3, 1.0)
    pools: tuple[int, ...] = (1, 2, 3, 4)

    name = "knn"
    version = 1
    paper = "arXiv:1805.01978"
    trains_encoder = False
    trains_head = False
    headless = "its neighbours are the training images themselves"

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        object.__setattr__(self, "ks", tuple(int(k) for k in self.ks))
        object.__setattr__(self, "temperatures", tuple(float(t) for t in self.temperatures))
        object.__setattr__(self, "pools", checked_pools("NearestNeighbours", self.pools))
        ranges = {
            "ks": len(self.ks) > 0 and min(self.ks) >= 1,
            "temperatures": len(self.temperatures) > 0 and all(0 < t < math.inf for t in self.temperatures),
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"NearestNeighbours: {name}={getattr(self, name)!r} is out of range")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and its setting where there are several."""
        return ("stage", *several(k=self.ks, temperature=self.temperatures, pool=self.pools))

    def requires(self, train: Split, *held: Split) -> None:
        """K at most the number of training images."""
        if max(self.ks) > len(train):
            raise ValueError(
                f"knn: k={max(self.ks)} neighbours, but split {train.name!r} has {len(train)} images"
            )

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedNeighbours:
        """Classify val by the training images with every setting of every stage, and select.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; k larger than train.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        wanted = check_against(val, labels.ndim == 2, classes)
        pooled = Pooled.of(encoder, train, val, self.pools, runtime)
        bank = Bank(pooled.train, labels, classes, runtime.device)
        metric = primary(labels.ndim == 2)

        def tried() -> Iterator[Choice]:
            for done, key in enumerate(pooled.train):
                for (k, temperature), scores in bank.scores(key, pooled.val[key], self.ks, self.temperatures):
                    value = metric({"scores": scores, "labels": wanted})
                    pool = pooled.grids[key.reduction]
                    trial = Trial(key.stage, {"k": k, "temperature": temperature, "pool": pool}, value)
                    yield Choice(trial, key, k, temperature)
                runtime.progress("nearest neighbours", done + 1, len(pooled.train))

        chosen = choose_over_stages(tried(), len(val), pooled.finest)
        winner = chosen.winner
        return FittedNeighbours(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=metric(bank.leave_one_out(winner)),
            encoder=encoder,
            runtime=runtime,
            bank=bank,
            pools=tuple(pooled.grids),
            chosen=chosen.by_stage,
            multi_label=labels.ndim == 2,
            classes=classes,
        )


@dataclass(frozen=True)
class Bank:
    """Training images whose labels are known."""

    features: FeatureSet
    labels: NDArray[Any]
    classes: int
    device: torch.device

    def scores(
        self,
        key: Key,
        queries: NDArray[Any],
        ks: tuple[int, ...],
        temperatures: tuple[float, ...],
        own: NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[tuple[int, float], NDArray[np.float32]]]:
        """Yield scores (M, C) for every pair of k and T, from one search for the largest k."""
        found = nearest(queries, self.features[key], max(ks), self.device, own)
        labels = torch.from_numpy(self.labels).to(self.device)
        for k, temperature in product(ks, temperatures):
            yield (k, temperature), vote(found, labels, self.classes, k, temperature).cpu().numpy()

    def one(
        self, choice: Choice, queries: NDArray[Any], own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Scores (M, C) by the chosen k and T."""
        return next(self.scores(choice.key, queries, (choice.k,), (choice.temperature,), own))[1]

    def leave_one_out(self, choice: Choice) -> Predictions:
        """Rows of training images, evenly spaced, each classified by all but itself."""
        own = np.unique(np.linspace(0, len(self.labels) - 1, LEFT_OUT).astype(np.int64))
        return {
            "scores": self.one(choice, self.features[choice.key][own], own),
            "labels": self.labels[own],
        }


@dataclass(frozen=True, kw_only=True)
class FittedNeighbours(PooledHeads[Choice]):
    """The training images, and k, T and pooling of each stage as val chose them."""

    bank: Bank

    def rows(self, choice: Choice, features: NDArray[Any], labels: NDArray[Any]) -> Predictions:
        """Rows {"scores": (N, C) shares of the vote, "labels"}."""
        return {"scores": self.bank.one(choice, features), "labels": labels}
