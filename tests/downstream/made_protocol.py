"""A small but real protocol for tests: ridge regression on the mean of each stage's map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.metrics.bootstrap import example_mean
from downstream.protocol import (
    BlindPredictor,
    Fitted,
    Measure,
    Predictions,
    Protocol,
    Runtime,
    Trial,
    fractions,
)
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet, Split
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.inputs import RGB

accuracy = example_mean(lambda rows: rows["scores"].argmax(1) == rows["target"])


def error_free(rows: Predictions) -> float:
    """Not additive, so that the slow path of the bootstrap is used: the worst class's recall."""
    right = rows["scores"].argmax(1) == rows["target"]
    return float(min(right[rows["target"] == c].mean() for c in np.unique(rows["target"])))


def make_encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(RGB(), SmallNet(3, (4, 4, 4, 4, 4))).eval()


def make_data(examples: int = 60, seed: int = 0) -> DataSet:
    """Bright images are class 1, with noise: every encoder can tell, no blind predictor can."""
    generator = np.random.default_rng(seed)

    def split(name: str) -> Split:
        labels = np.arange(examples) % 2
        pixels = generator.integers(0, 160, (examples, 16, 16, 3)) + 60 * labels[:, None, None, None]
        return make_split(name, pixels.astype(np.uint8), labels=labels)

    return DataSet("photos", split("train"), split("val"), split("test"), label_names=("dark", "bright"))


@dataclass
class Probe(Fitted):
    heads: dict[str, NDArray[np.float64]]
    encoder: Encoder
    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float

    @property
    def selected(self) -> dict[str, float | int | str]:
        return next(t.setting for t in self.trials if t.stage == self.stage)

    def predict(self, test: Split) -> dict[str, Predictions]:
        maps = features(self.encoder, test)
        return {s: {"scores": x @ self.heads[s], "target": np.asarray(test.labels)} for s, x in maps.items()}


def features(encoder: Encoder, split: Split) -> dict[str, NDArray[np.float64]]:
    images = torch.from_numpy(np.asarray(split.pixels[:])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        maps = encoder(images).maps
    return {
        name: np.concatenate([m.mean((2, 3)).double().numpy(), np.ones((len(split), 1))], axis=1)
        for name, m in maps.items()
    }


class Prior(BlindPredictor):
    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        share = np.bincount(np.asarray(train.labels), minlength=2) / len(train)
        return lambda split: {"scores": np.tile(share, (len(split), 1)), "target": np.asarray(split.labels)}


@dataclass(frozen=True)
class MeanProbe(Protocol):
    ridge: float = 1e-3

    name = "mean_probe"
    version = 1
    task = "classification"
    trains_encoder = False

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> Fitted:
        heads, trials, on_train = {}, [], {}
        held = features(encoder, val)
        for stage, x in features(encoder, train).items():
            target = np.eye(2)[np.asarray(train.labels)]
            heads[stage] = np.linalg.solve(x.T @ x + self.ridge * np.eye(x.shape[1]), x.T @ target)
            on_train[stage] = accuracy({"scores": x @ heads[stage], "target": np.asarray(train.labels)})
            score = accuracy({"scores": held[stage] @ heads[stage], "target": np.asarray(val.labels)})
            trials.append(Trial(stage, {"ridge": self.ridge}, score))
        best = max(trials, key=lambda t: t.val).stage
        return Probe(heads, encoder, best, tuple(trials), (), on_train[best])

    def metrics(self, split: Split) -> dict[str, Measure]:
        return fractions({"accuracy": accuracy, "worst_recall": error_free})

    def blind(self) -> dict[str, BlindPredictor]:
        return {"label_prior": Prior()}


def replaced(fitted: Fitted, **fields: Any) -> Fitted:
    for name, value in fields.items():
        setattr(fitted, name, value)
    return fitted
