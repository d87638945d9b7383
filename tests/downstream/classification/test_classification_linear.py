"""The linear probe and the blind classifiers, on features that are known."""

from pathlib import Path

import numpy as np
import pytest
from planted import (
    CLASSES,
    SIZE,
    constant,
    labelled,
    multi_hot_label,
    multi_label,
    one_hot_label,
    single_label,
    small_encoder,
)

from downstream.classification.baselines import blind_classifiers, luminance_histogram, rgb_histogram
from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import Runtime
from pretext.data.dataset import Split
from pretext.data.split import make_split

GRID = LinearGrid(lrs=(1e-2, 3e-2), weight_decays=(0.0, 1e-3), epochs=20, batch_size=64)
PROBE = LinearProbe(pools=(1,), grid=GRID)


def scored(probe: LinearProbe, encoder, runtime: Runtime, make) -> tuple[float, str]:  # type: ignore[no-untyped-def]
    fitted = probe.fit(encoder, make("train", 400, 1), make("val", 200, 2), runtime)
    test = make("test", 400, 3)
    metric = next(iter(probe.metrics(test).values()))
    return metric(fitted.predict(test)[fitted.stage]), fitted.stage


def test_label_features_give_everything_and_their_stage_is_chosen(tmp_path: Path) -> None:
    assert scored(PROBE, one_hot_label(), Runtime(cache=tmp_path), single_label) == (1.0, "label")
    assert scored(PROBE, multi_hot_label(), Runtime(cache=tmp_path), multi_label) == (1.0, "labels")


def test_constant_features_give_chance(tmp_path: Path) -> None:
    value, _ = scored(PROBE, constant(), Runtime(cache=tmp_path), single_label)
    assert value == pytest.approx(1 / CLASSES)
    value, _ = scored(PROBE, constant(), Runtime(cache=tmp_path), multi_label)
    labels = multi_label("test", 400, 3).labels
    assert labels is not None
    assert value == pytest.approx(labels.mean(), abs=1e-9)


def test_permuted_labels_stay_at_chance_through_selection(tmp_path: Path) -> None:
    test = single_label("test", 300, 0)
    values = []
    for seed in range(8):
        train, val = (
            single_label(name, 150, 2 * seed + i + 1, True) for i, name in enumerate(("train", "val"))
        )
        fitted = PROBE.fit(one_hot_label(), train, val, Runtime(cache=tmp_path))
        values.append(PROBE.metrics(test)["top1"](fitted.predict(test)[fitted.stage]))
    # Five groups of equal features, each given a class at random: a standard deviation of 0.18 / √8.
    assert np.mean(values) == pytest.approx(1 / CLASSES, abs=0.19)


@pytest.mark.parametrize("make", [single_label, multi_label])
def test_features_of_noise_stay_at_chance_through_selection(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    many = LinearProbe(pools=(1, 2), grid=LinearGrid(epochs=3))
    train, val = make("train", 400, 1, permuted=True), make("val", 100, 2, permuted=True)
    fitted = many.fit(small_encoder(), train, val, Runtime(cache=tmp_path))
    test = make("test", 1000, 3)
    assert test.labels is not None
    metric = next(iter(many.metrics(test).values()))
    chance = 1 / CLASSES if make is single_label else test.labels.mean()
    # Binomial: 0.2 with a standard deviation of 0.0126.
    assert metric(fitted.predict(test)[fitted.stage]) == pytest.approx(chance, abs=0.05)
    assert max(trial.val for trial in fitted.trials) > chance  # what selecting on test would have reported


def test_every_stage_and_setting_is_tried_and_each_stage_keeps_its_best(tmp_path: Path) -> None:
    probe = LinearProbe(pools=(1, 2), grid=GRID)
    encoder, test = small_encoder(), multi_label("test", 60, 3)
    fitted = probe.fit(
        encoder, multi_label("train", 120, 1), multi_label("val", 60, 2), Runtime(cache=tmp_path)
    )
    assert len(fitted.trials) == len(encoder.stage_names) * 2 * 4
    assert set(fitted.predict(test)) == set(encoder.stage_names)
    for stage, choice in fitted.chosen.items():
        assert choice.trial.val == max(t.val for t in fitted.trials if t.stage == stage)
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert (fitted.stage, fitted.selected) == (best.stage, best.setting)
    assert set(fitted.selected) == {"lr", "weight_decay", "pool"}


def test_val_score_of_a_trial_is_the_metric_on_val(tmp_path: Path) -> None:
    encoder, val = small_encoder(), multi_label("val", 60, 2)
    fitted = PROBE.fit(encoder, multi_label("train", 120, 1), val, Runtime(cache=tmp_path))
    for stage, rows in fitted.predict(val).items():
        assert PROBE.metrics(val)["mAP"](rows) == pytest.approx(fitted.chosen[stage].trial.val)


def test_train_score_shows_an_untrained_head(tmp_path: Path) -> None:
    splits = single_label("train", 200, 1), single_label("val", 100, 2)
    fitted = PROBE.fit(one_hot_label(), *splits, Runtime(cache=tmp_path))
    assert fitted.train_score == 1.0
    fitted = PROBE.fit(constant(), *splits, Runtime(cache=tmp_path))
    assert fitted.train_score == pytest.approx(1 / CLASSES)


def test_same_seed_same_rows_and_train_limit_counts(tmp_path: Path) -> None:
    encoder, test = small_encoder(), single_label("test", 40, 3)
    train, val = single_label("train", 200, 1), single_label("val", 50, 2)

    def scores(probe: LinearProbe, seed: int) -> np.ndarray:
        fitted = probe.fit(encoder, train, val, Runtime(cache=tmp_path, seed=seed))
        return fitted.predict(test)["conv5"]["scores"]

    np.testing.assert_array_equal(scores(PROBE, 0), scores(PROBE, 0))
    assert not np.array_equal(scores(PROBE, 0), scores(PROBE, 1))
    small = LinearProbe(pools=(1,), grid=GRID, train_limit=50)
    assert not np.allclose(scores(small, 0), scores(PROBE, 0))


def test_metrics_follow_the_kind_of_labels() -> None:
    assert list(PROBE.metrics(multi_label("test", 20, 0))) == ["mAP"]
    assert list(PROBE.metrics(single_label("test", 20, 0))) == ["top1", "mean_per_class"]
    many = labelled(np.arange(40) % 8)
    assert list(PROBE.metrics(many)) == ["top1", "top5", "mean_per_class"]


def bad(labels: np.ndarray, name: str = "train") -> Split:
    return labelled(labels, name)


def test_bad_labels_are_named(tmp_path: Path) -> None:
    runtime, encoder = Runtime(cache=tmp_path), constant()
    good = np.arange(30) % 3

    def fit(train: Split, val: Split) -> None:
        PROBE.fit(encoder, train, val, runtime)

    unlabelled = make_split("train", np.zeros((3, SIZE, SIZE, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="split 'train' has no image labels"):
        fit(unlabelled, bad(good, "val"))
    with pytest.raises(ValueError, match="no example of class 1, 3: it cannot be learned"):
        fit(bad(good * 2), bad(good, "val"))
    negative = good.copy()
    negative[7] = -1
    with pytest.raises(ValueError, match="example 7 has label -1; expected a class from 0"):
        fit(bad(negative), bad(good, "val"))
    larger = good.copy()
    larger[4] = 3
    with pytest.raises(ValueError, match="split 'val': example 4 has label 3; train has 3 classes"):
        fit(bad(good), bad(larger, "val"))
    multi = np.stack([good == 0, good == 1, good == 2], 1).astype(np.uint8)
    with pytest.raises(ValueError, match="split 'val' has 2 classes, train has 3"):
        fit(bad(multi), bad(multi[:, :2], "val"))
    with pytest.raises(ValueError, match="split 'val' has one class an image, train has several"):
        fit(bad(multi), bad(good, "val"))
    difficult = multi.copy()
    difficult[5, 1] = 2
    with pytest.raises(ValueError, match=r"example 5 has label .* expected 0 or 1"):
        fit(bad(difficult), bad(multi, "val"))
    empty = multi.copy()
    empty[:, 2] = 0
    with pytest.raises(ValueError, match="no example of class 2"):
        fit(bad(empty), bad(multi, "val"))


def blind(name: str, train: Split, test: Split) -> float:
    predictor = blind_classifiers()[name].fit(train, test, Runtime())
    return next(iter(PROBE.metrics(test).values()))(predictor(test))


def test_constant_and_prior_are_the_prevalence_in_mean_average_precision() -> None:
    train, test = multi_label("train", 300, 1), multi_label("test", 300, 2)
    assert test.labels is not None
    for name in ("constant", "label_prior"):
        assert blind(name, train, test) == pytest.approx(test.labels.mean(), abs=1e-6)


def test_prior_finds_the_most_frequent_class() -> None:
    labels = np.array([0, 1, 1, 1, 2] * 20)
    assert blind("label_prior", labelled(labels), labelled(labels, "test")) == pytest.approx(0.6)
    assert blind("constant", labelled(labels), labelled(labels, "test")) == pytest.approx(1 / 3)


def test_histograms_by_hand() -> None:
    pixels = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    pixels[0, 0, 0] = (255, 64, 130)
    pixels[1] = (10, 200, 63)
    found = rgb_histogram(pixels)
    assert found.shape == (2, 64)
    assert (found[0, 0], found[0, 3 * 16 + 1 * 4 + 2], found[1, 0 * 16 + 3 * 4 + 0]) == (3, 1, 4)
    assert found.sum() == 8
    luma = luminance_histogram(pixels)
    assert luma[1, (10 * 299 + 200 * 587 + 63 * 114) // 1000 // 4] == 4
    white = luminance_histogram(np.full((1, 1, 1, 3), 255, np.uint8))
    assert white[0, 63] == 1


def test_histogram_probes_see_colour_and_brightness_and_nothing_else() -> None:
    def coloured(name: str, seed: int, bright: bool) -> Split:
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 120)
        pixels = generator.integers(0, 100, (120, SIZE, SIZE, 3), dtype=np.uint8)
        pixels[:, :, :, 0] += (100 * labels[:, None, None]).astype(np.uint8)
        if not bright:  # green makes up for the luminance of red
            pixels[:, :, :, 1] += (51 * (1 - labels[:, None, None])).astype(np.uint8)
        return make_split(name, pixels, labels=labels)

    assert blind("rgb_histogram", coloured("train", 0, True), coloured("test", 1, True)) > 0.95
    assert blind("luminance_histogram", coloured("train", 0, True), coloured("test", 1, True)) > 0.95
    assert blind("rgb_histogram", coloured("train", 0, False), coloured("test", 1, False)) > 0.95
    for name in ("rgb_histogram", "luminance_histogram"):
        noise = single_label("train", 300, 1, permuted=True)
        assert blind(name, noise, single_label("test", 500, 2)) == pytest.approx(1 / CLASSES, abs=0.08)
