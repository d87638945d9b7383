"""Low-shot SVMs: the draws, the metrics by hand, every step against scikit-learn, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from planted import (
    CLASSES,
    SIZE,
    labelled,
    multi_hot_label,
    multi_label,
    one_hot_label,
    single_label,
    small_encoder,
)
from sklearn.svm import LinearSVC

from downstream.classification.lowshot import LowShot, LowShotLegacy
from downstream.classification.shots import Shots, shot_metrics, shot_rows
from downstream.classification.voc_ap import voc_ap_area
from downstream.features.extraction import Key, extract
from downstream.features.pooling import WindowPool
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.metrics.scores import top_k_hits
from downstream.protocol import Predictions, Runtime, take
from pretext.data.dataset import Boxes, Split
from pretext.data.split import make_split

FEW = LowShot(shots=(1, 3), draws=2, negatives=3, costs=(1e-3, 0.1, 10.0), dimension=200)


def labels_of(split: Split) -> np.ndarray:
    assert split.labels is not None
    return np.asarray(split.labels)


def test_draws_of_several_classes_an_image() -> None:
    train = multi_label("train", 60, 0)
    labels = labels_of(train)
    drawn = Shots((1, 4), 3, 5).of(train, CLASSES)
    for k, signs in drawn.items():
        for c in range(CLASSES):
            assert ((signs[:, :, c] == 1).sum(0) == k).all()
            assert ((signs[:, :, c] == -1).sum(0) == 5 * k).all()
            assert labels[(signs[:, :, c] == 1).any(1), c].all()
            assert not labels[(signs[:, :, c] == -1).any(1), c].any()
        assert not np.array_equal(signs[:, 0], signs[:, 1])
    assert (drawn[4][drawn[1] != 0] == drawn[1][drawn[1] != 0]).all()
    again = Shots((4,), 2, 5).of(train, CLASSES)[4]
    np.testing.assert_array_equal(again, drawn[4][:, :2])
    other = Shots((4,), 3, 5).of(multi_label("train", 60, 1), CLASSES)[4]
    assert not np.array_equal(other, drawn[4])


def test_draws_of_one_class_an_image_are_each_others_negatives() -> None:
    train = single_label("train", 40, 0)
    signs = Shots((2,), 3, 19).of(train, CLASSES)[2]
    for draw in range(3):
        chosen = np.flatnonzero(signs[:, draw].any(1))
        assert np.bincount(labels_of(train)[chosen]).tolist() == [2] * CLASSES
        wanted = np.where(labels_of(train)[chosen, None] == np.arange(CLASSES), 1, -1)
        np.testing.assert_array_equal(signs[chosen, draw], wanted)


def test_difficult_images_are_not_drawn() -> None:
    labels = np.zeros((20, 2), np.uint8)
    labels[:4, 0], labels[4:8, 1] = 1, 1
    hard = np.arange(8, 14)  # show class 0 by a difficult object alone
    objects = [(i, int(labels[i, 1]), False) for i in range(8)] + [(int(i), 0, True) for i in hard]
    boxes = Boxes(
        np.searchsorted([i for i, _, _ in objects], np.arange(21)),
        np.tile(np.array([0, 0, 4, 4], np.float32), (len(objects), 1)),
        np.array([c for _, c, _ in objects]),
        np.array([difficult for _, _, difficult in objects]),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    train = make_split("train", pixels, labels=labels, boxes=boxes)
    signs = Shots((2,), 40, 5).of(train, 2)[2]
    assert not signs[hard, :, 0].any()
    assert (signs[hard, :, 1] == -1).any(1).all()


def test_metrics_by_hand_on_resamples_and_for_the_blind() -> None:
    generator = np.random.default_rng(0)
    several, single = multi_label("test", 30, 0), single_label("test", 30, 0)
    scores = generator.normal(size=(30, 2, 3, CLASSES)).astype(np.float32)
    for split in (several, single):
        rows, metrics = shot_rows(scores, split), shot_metrics((4, 8), labels_of(split))
        name = next(iter(metrics))
        assert list(metrics) == [name, f"{name}_k4", f"{name}_k8"]
        for i, k in enumerate((4, 8)):
            each = [
                voc_ap_area({"scores": scores[:, i, d], "labels": labels_of(split)})
                if split is several
                else top_k_hits(scores[:, i, d], labels_of(split), 1).mean()
                for d in range(3)
            ]
            assert metrics[f"{name}_k{k}"](rows) == pytest.approx(np.mean(each))
        assert metrics[name](rows) == pytest.approx(
            (metrics[f"{name}_k4"](rows) + metrics[f"{name}_k8"](rows)) / 2
        )
        draws = resamples("x", 30, 10)
        for metric in metrics.values():
            slow = [metric(take(rows, draw)) for draw in draws]
            np.testing.assert_allclose(bootstrap(metric, rows, draws), slow, atol=1e-6)
        prior = FEW.blind()["rgb_histogram"].fit(split, split, Runtime())(split)
        values = {round(metric(prior), 6) for metric in metrics.values()}
        assert len(values) == 1, "a predictor without shots scores the same at every k"


def scored(encoder, runtime: Runtime, make, permuted: bool = False) -> float:  # type: ignore[no-untyped-def]
    train, val = make("train", 120, 1, permuted=permuted), make("val", 60, 2, permuted=permuted)
    fitted = FEW.fit(encoder, train, val, runtime)
    test = make("test", 400, 3)
    rows: Predictions = fitted.predict(test)[fitted.stage]
    return next(iter(FEW.metrics(test).values()))(rows)


def test_label_features_give_everything_from_one_image(tmp_path: Path) -> None:
    assert scored(one_hot_label(), Runtime(cache=tmp_path), single_label) == 1.0
    assert scored(multi_hot_label(), Runtime(cache=tmp_path), multi_label) > 0.8  # others' classes show too


def test_permuted_labels_give_chance(tmp_path: Path) -> None:
    value = scored(small_encoder(), Runtime(cache=tmp_path), single_label, permuted=True)
    assert value == pytest.approx(1 / CLASSES, abs=0.04)
    value = scored(small_encoder(), Runtime(cache=tmp_path), multi_label, permuted=True)
    assert value == pytest.approx(labels_of(multi_label("test", 400, 3)).mean(), abs=0.06)


def unit(features: np.ndarray) -> np.ndarray:
    return np.asarray(features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5), np.float64)


def test_choice_on_val_and_test_scores_are_liblinears(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    train, val, test = (multi_label(name, n, n) for name, n in (("train", 70), ("val", 50), ("test", 40)))
    fitted = FEW.fit(encoder, train, val, runtime)
    key = Key("conv2", WindowPool(200))
    x, x_val, x_test = (
        unit(extract(encoder, split, (key.reduction,), runtime)[key]) for split in (train, val, test)
    )
    on_test = fitted.predict(test)["conv2"]["scores"]
    chosen = [float(cost) for cost in str(fitted.chosen["conv2"].trial.setting["C"]).split()]
    best = []
    for i, signs in enumerate(Shots(FEW.shots, FEW.draws, FEW.negatives).of(train, CLASSES).values()):
        values = np.zeros((3, FEW.draws * CLASSES))
        for task, column in enumerate(signs.reshape(70, -1).T):
            for j, cost in enumerate(FEW.costs):
                model = LinearSVC(
                    C=cost, class_weight={1: 2, -1: 1}, tol=1e-7, max_iter=50000, random_state=0
                )
                model.fit(x[column != 0], column[column != 0])
                rows = {
                    "scores": model.decision_function(x_val)[:, None],
                    "labels": labels_of(val)[:, [task % CLASSES]],
                }
                values[j, task] = voc_ap_area(rows)
                if cost == chosen[i]:
                    found = on_test[:, i, task // CLASSES, task % CLASSES]
                    np.testing.assert_allclose(found, model.decision_function(x_test), atol=0.02)
        means = values.mean(1)
        assert means.max() - means[FEW.costs.index(chosen[i])] < 2e-3
        best.append(means.max())
    assert fitted.chosen["conv2"].trial.val == pytest.approx(np.mean(best), abs=3e-3)


def test_every_stage_is_tried_and_the_trial_is_the_metric_on_val(tmp_path: Path) -> None:
    for make in (single_label, multi_label):
        encoder, val = small_encoder(), make("val", 40, 2)
        fitted = FEW.fit(encoder, make("train", 60, 1), val, Runtime(cache=tmp_path))
        assert len(fitted.trials) == len(encoder.stage_names) * 4
        metric = next(iter(FEW.metrics(val).values()))
        for stage, rows in fitted.predict(val).items():
            assert metric(rows) == pytest.approx(fitted.chosen[stage].trial.val, abs=1e-3)
        assert fitted.chosen[fitted.stage].trial.val == max(trial.val for trial in fitted.trials)
        assert len(str(fitted.selected["C"]).split()) == 2
        assert fitted.train_score > 0.9


def test_legacy_chooses_on_test_and_says_so() -> None:
    assert (LowShotLegacy().name, LowShotLegacy().legacy, LowShot().legacy) == ("lowshot_legacy", True, False)
    assert LowShotLegacy().shots == LowShot().shots == (1, 2, 4, 8, 16, 32, 64, 96)
    assert LowShot().selects == ("stage", "C")


def test_more_shots_than_there_are_is_refused(tmp_path: Path) -> None:
    val = single_label("val", 30, 2)
    scarce = np.array([*np.arange(36) % 4, 4, 4])
    with pytest.raises(
        ValueError, match=r"class 4 has 2 images in split 'train'; k = 3 needs 3: leave out every k above 2"
    ):
        FEW.fit(small_encoder(), labelled(scarce), val, Runtime(cache=tmp_path))
    common = (np.arange(40)[:, None] % np.array([2, 10]) > 0).astype(np.uint8)  # class 1 lacks in four
    with pytest.raises(
        ValueError,
        match=r"class 1 has 36 images in split 'train' and 4 without it; k = 3 needs 3 and 3 · 3 others: "
        "leave out every k above 1",
    ):
        FEW.fit(small_encoder(), labelled(common), labelled(common, "val"), Runtime(cache=tmp_path))
    for wrong in ({"shots": ()}, {"shots": (0,)}, {"shots": (2, 2)}, {"draws": 0}, {"negatives": 0}):
        with pytest.raises(ValueError, match=f"lowshot: {next(iter(wrong))}=.* is out of range"):
            LowShot(**wrong)
