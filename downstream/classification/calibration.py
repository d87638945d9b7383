"""Calibration of the linear probe: are its probabilities as often right as they say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.classification.labels import (
    check_against,
    classification_metrics,
    fitted_classes,
    labels_of,
)
from downstream.classification.linear import FittedProbe, LinearProbe
from downstream.classification.reliability import brier, calibration, likelihood, temperature
from downstream.course import Course
from downstream.protocol import (
    BlindPredictor,
    Direction,
    Fitted,
    Measure,
    Predictions,
    Protocol,
    Runtime,
    Scale,
    Trial,
)
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

ERROR = Scale(direction=Direction.LOWER)
"""A share of which less is better."""

NATS = Scale("nats", Direction.LOWER, (0.0, None))
"""A likelihood has no worst value."""

CERTAIN = 100.0
"""A logit whose softmax and sigmoid are 1 in float64, but for 4e-44."""


@dataclass(frozen=True)
class Calibration(Protocol):
    """Expected calibration error of the linear probe (arXiv:1706.04599), 15 bins; less is better.

    The probe is fitted and chosen by accuracy (mAP) on val, as `linear` does; its calibration chooses
    nothing. Read beside it: the same after temperature scaling on val, Brier score, negative log-likelihood,
    and accuracy. Who predicts the shares of the classes is calibrated without knowing anything: a calibration
    means nothing without the accuracy beside it, and what it is read against claims the most frequent class
    with certainty.

    Args:
        probe: the linear probe.
    """

    probe: LinearProbe = field(default_factory=LinearProbe)

    name = "calibration"
    version = 2
    paper = "arXiv:1706.04599"
    task = "calibration"
    trains_encoder = False
    headless = "its probe is that of linear, which keeps it"

    @property
    def selects(self) -> tuple[str, ...]:
        """What the probe selects."""
        return self.probe.selects

    def check(self, train: Split, *held: Split) -> None:
        """As the probe."""
        self.probe.check(train, *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedCalibration:
        """Fit the probe on train, select on val, and fit each stage's temperature on val.

        Raises:
            ValueError: as `LinearProbe.fit`.
        """
        train = limit(train, self.probe.train_limit)
        probe = self.probe.fit(encoder, train, val, runtime)
        temperatures = {
            stage: temperature(rows["scores"], rows["labels"]) for stage, rows in probe.predict(val).items()
        }
        on_train = with_temperature(probe.predict(train)[probe.stage], temperatures[probe.stage])
        return FittedCalibration(
            stage=probe.stage,
            trials=probe.trials,
            at_edge=probe.at_edge,
            train_score=calibration(scaled=False)(on_train),
            course=probe.course,
            probe=probe,
            temperatures=temperatures,
        )

    def metrics(self, split: Split) -> dict[str, Measure]:
        """ECE; the same scaled by temperature; Brier; likelihood; then the metrics of the probe."""
        return {
            "ECE": Measure(calibration(scaled=False), ERROR),
            "ECE_scaled": Measure(calibration(scaled=True), ERROR),
            "Brier": Measure(brier(scaled=False), ERROR),
            "NLL": Measure(likelihood(scaled=False), NATS),
        } | classification_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """Certainty without knowledge."""
        return {"certain_majority": CertainMajority()}


@dataclass(frozen=True)
class FittedCalibration(Fitted):
    """The probe, and a temperature for each stage."""

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    probe: FittedProbe
    temperatures: Mapping[str, float]
    course: Course | None = None

    @property
    def held_out(self) -> None:
        """Nothing: val was scored by accuracy, train by its calibration."""

    @property
    def selected(self) -> dict[str, float | int | str]:
        """What the probe selected, and the temperature that was fitted to it on val."""
        return self.probe.selected | {"temperature": self.temperatures[self.stage]}

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"scores": (N, C) logits, "temperature": (N,), "labels"} of every stage."""
        return {
            stage: with_temperature(rows, self.temperatures[stage])
            for stage, rows in self.probe.predict(test).items()
        }


@dataclass(frozen=True)
class CertainMajority(BlindPredictor):
    """The most frequent class of train for every image, with certainty.

    Where an image has several classes: those that more than half of the training images have.
    """

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Count the classes of train."""
        classes, labels = fitted_classes(train), labels_of(train)
        several = labels.ndim == 2
        logits: NDArray[Any] = (
            np.where(labels.mean(0) > 0.5, CERTAIN, -CERTAIN)
            if several
            else CERTAIN * np.eye(classes)[np.bincount(labels).argmax()]
        )

        def predict(split: Split) -> Predictions:
            truth = check_against(split, several, classes)
            scores = np.broadcast_to(logits.astype(np.float32), (len(split), classes)).copy()
            return with_temperature({"scores": scores, "labels": truth}, 1.0)

        return predict


def with_temperature(rows: Predictions, value: float) -> dict[str, NDArray[Any]]:
    """The rows with the same temperature in each."""
    return {**rows, "temperature": np.full(len(rows["labels"]), value)}
