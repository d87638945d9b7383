"""Calibration against torchmetrics, scikit-learn and by hand; of a probe on features that are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import CLASSES, constant, labelled, multi_label, one_hot_label, single_label, small_encoder
from scipy.special import expit, softmax
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from downstream.classification.calibration import Calibration, CertainMajority
from downstream.classification.linear import LinearProbe
from downstream.classification.reliability import brier, calibration, likelihood, temperature
from downstream.heads.linear_grid import LinearGrid
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Runtime, take

GRID = LinearGrid(lrs=(3e-2,), weight_decays=(0.0, 1e-3), epochs=10, batch_size=64)
CALIBRATION = Calibration(LinearProbe(pools=(1,), grid=GRID))


def rows(scores: np.ndarray, labels: np.ndarray, t: float = 1.0) -> dict[str, np.ndarray]:
    return {"scores": scores, "labels": labels, "temperature": np.full(len(scores), t)}


def drawn(several: bool, examples: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the very probabilities of the logits."""
    generator = np.random.default_rng(seed)
    scores = 2 * generator.normal(size=(examples, 4))
    if several:
        return scores, (generator.random(scores.shape) < expit(scores)).astype(np.uint8)
    cumulative = softmax(scores, axis=1).cumsum(1)
    return scores, (generator.random((examples, 1)) > cumulative).sum(1)


@pytest.mark.parametrize("t", [1.0, 0.3, 4.0])
def test_error_is_that_of_torchmetrics(t: float) -> None:
    scores, labels = drawn(False)
    probability = torch.from_numpy(softmax(scores / t, axis=1))
    wanted = float(multiclass_calibration_error(probability, torch.from_numpy(labels), 4, n_bins=15))
    assert calibration(scaled=True)(rows(scores, labels, t)) == pytest.approx(wanted, abs=1e-6)
    assert calibration(scaled=False)(rows(scores / t, labels)) == pytest.approx(wanted, abs=1e-6)
    scores, labels = drawn(True)
    flat = torch.from_numpy(expit(scores / t)).flatten(), torch.from_numpy(labels).flatten().long()
    wanted = float(binary_calibration_error(*flat, n_bins=15))
    assert calibration(scaled=True)(rows(scores, labels, t)) == pytest.approx(wanted, abs=1e-6)


def test_error_by_hand() -> None:
    # Confidence 0.9 in three images, two of them right; 0.6 in one, wrong.
    logit = np.log(9), np.log(1.5)
    scores = np.array([[logit[0], 0], [0, logit[0]], [logit[0], 0], [logit[1], 0]])
    labels = np.array([0, 1, 1, 1])
    wanted = (abs(3 * 0.9 - 2) + 0.6) / 4
    assert calibration(scaled=False)(rows(scores, labels)) == pytest.approx(wanted)
    certain = np.array([[100.0, 0], [100.0, 0]])
    assert calibration(scaled=False)(rows(certain, np.array([0, 0]))) == pytest.approx(0)
    assert calibration(scaled=False)(rows(certain, np.array([1, 1]))) == pytest.approx(1)
    ignorant = np.zeros((4, 2))  # says one half of everything, and is right
    assert calibration(scaled=False)(rows(ignorant, np.array([0, 1, 1, 0]))) == pytest.approx(0)


def test_brier_score_is_scikit_learns() -> None:
    scores, labels = drawn(False)
    wanted = brier_score_loss(labels, softmax(scores, axis=1), labels=[0, 1, 2, 3], scale_by_half=True)
    assert brier(scaled=False)(rows(scores, labels)) == pytest.approx(wanted)
    scores, labels = drawn(True)
    wanted = np.mean([brier_score_loss(labels[:, c], expit(scores[:, c])) for c in range(4)])
    assert brier(scaled=False)(rows(scores, labels)) == pytest.approx(wanted)


def test_likelihood_is_scikit_learns() -> None:
    scores, labels = drawn(False)
    wanted = log_loss(labels, softmax(scores / 2, axis=1), labels=[0, 1, 2, 3])
    assert likelihood(scaled=True)(rows(scores, labels, 2.0)) == pytest.approx(wanted)
    assert likelihood(scaled=False)(rows(scores / 2, labels)) == pytest.approx(wanted)
    scores, labels = drawn(True)
    wanted = np.mean([log_loss(labels[:, c], expit(scores[:, c])) for c in range(4)])
    assert likelihood(scaled=False)(rows(scores, labels)) == pytest.approx(wanted)


@pytest.mark.parametrize("several", [False, True])
def test_resampled_values_are_those_of_resampled_rows(several: bool) -> None:
    made = rows(*drawn(several, 50))
    index = resamples("digest", 50, 10)
    for metric in (calibration(scaled=False), brier(scaled=False), likelihood(scaled=True)):
        again = [metric(take(made, row)) for row in index]
        np.testing.assert_allclose(bootstrap(metric, made, index), again)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("factor", [0.2, 1.0, 6.0])
def test_temperature_undoes_a_factor(several: bool, factor: float) -> None:
    scores, labels = drawn(several, 4000)
    found = temperature(factor * scores, labels)
    assert found == pytest.approx(factor * temperature(scores, labels), rel=1e-3)
    assert found == pytest.approx(factor, rel=0.08)
    overconfident = rows(6 * scores, labels, temperature(6 * scores, labels))
    assert calibration(scaled=False)(overconfident) > 0.05
    assert calibration(scaled=True)(overconfident) < 0.03


@pytest.mark.parametrize("make", [single_label, multi_label])
def test_every_stage_is_scored_with_its_own_temperature(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    val, test = make("val", 80, 2), make("test", 60, 3)
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    fitted = CALIBRATION.fit(encoder, make("train", 120, 1), val, runtime)
    plain = CALIBRATION.probe.fit(encoder, make("train", 120, 1), val, runtime)
    assert fitted.trials == plain.trials
    assert fitted.stage == plain.stage
    assert fitted.selected == plain.selected | {"temperature": fitted.temperatures[plain.stage]}
    for stage, predicted in fitted.predict(test).items():
        np.testing.assert_array_equal(predicted["scores"], plain.predict(test)[stage]["scores"])
        on_val = plain.predict(val)[stage]
        assert (predicted["temperature"] == temperature(on_val["scores"], on_val["labels"])).all()
        for metric in CALIBRATION.metrics(test).values():
            assert metric(predicted) in metric.scale
    assert list(CALIBRATION.metrics(test))[:4] == ["ECE", "ECE_scaled", "Brier", "NLL"]


def test_knowing_everything_and_knowing_nothing_are_both_calibrated(tmp_path: Path) -> None:
    """Which is why accuracy stands beside it."""
    splits = single_label("train", 400, 1), single_label("val", 200, 2)
    test = single_label("test", 200, 3)
    for encoder, accuracy in ((one_hot_label(), 1.0), (constant(), 1 / CLASSES)):
        fitted = CALIBRATION.fit(encoder, *splits, Runtime(cache=tmp_path))
        values = {
            name: metric(fitted.predict(test)[fitted.stage])
            for name, metric in CALIBRATION.metrics(test).items()
        }
        assert values["top1"] == pytest.approx(accuracy)
        assert values["ECE_scaled"] < 0.03
        assert fitted.train_score < 0.2  # the budget is short: not yet as certain as it is right


def test_certainty_is_as_good_as_its_class_is_frequent() -> None:
    train, test = labelled(np.array([0, 1, 1, 2] * 10)), labelled(np.array([0, 1, 1, 1, 2] * 8), "test")
    predicted = CertainMajority().fit(train, test, Runtime())(test)
    for metric in (calibration(scaled=False), calibration(scaled=True), brier(scaled=False)):
        assert metric(predicted) == pytest.approx(0.4)
    several = multi_label("train", 200, 1)
    assert several.labels is not None
    predicted = CertainMajority().fit(several, several, Runtime())(several)
    assert calibration(scaled=False)(predicted) == pytest.approx(several.labels.mean())
