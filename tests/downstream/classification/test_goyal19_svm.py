"""The VOC07 SVM protocol: step by step against scikit-learn, on known features, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import (
    CLASSES,
    constant,
    labelled,
    multi_hot_label,
    multi_label,
    one_hot_label,
    single_label,
    small_encoder,
)
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from downstream.classification.goyal19_svm import Goyal19Svm, VisslSvm, stratified_folds
from downstream.classification.one_vs_rest import GOYAL19_COSTS, costs_at_edge, signs_of
from downstream.classification.voc_ap import difficult_of
from downstream.features.extraction import Key, extract
from downstream.features.pooling import WindowPool
from downstream.protocol import Runtime
from pretext.data.dataset import Boxes, Split
from pretext.data.split import make_split

FEW = Goyal19Svm(costs=(1e-3, 0.1, 10.0), dimension=200)


def scored(protocol: Goyal19Svm, encoder, runtime: Runtime, make) -> tuple[float, str]:  # type: ignore[no-untyped-def]
    fitted = protocol.fit(encoder, make("train", 90, 1), make("val", 60, 2), runtime)
    test = make("test", 200, 3)
    metric = next(iter(protocol.metrics(test).values()))
    return metric(fitted.predict(test)[fitted.stage]), fitted.stage


def test_label_features_give_everything_and_their_stage_is_chosen(tmp_path: Path) -> None:
    full = Goyal19Svm()
    assert scored(full, multi_hot_label(), Runtime(cache=tmp_path), multi_label) == (1.0, "labels")
    assert scored(full, one_hot_label(), Runtime(cache=tmp_path), single_label) == (1.0, "label")
    assert scored(VisslSvm(), one_hot_label(), Runtime(cache=tmp_path), single_label) == (1.0, "label")


def test_constant_features_and_permuted_labels_give_chance(tmp_path: Path) -> None:
    test = multi_label("test", 1000, 3)
    assert test.labels is not None
    for encoder in (constant(), small_encoder()):
        train, val = (multi_label(name, 60, i, permuted=True) for i, name in enumerate(("train", "val")))
        fitted = FEW.fit(encoder, train, val, Runtime(cache=tmp_path))
        value = FEW.metrics(test)["mAP"](fitted.predict(test)[fitted.stage])
        assert value == pytest.approx(test.labels.mean(), abs=0.05)


def test_cross_validation_and_test_scores_are_scikit_learns(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    train, val, test = (multi_label(name, n, n) for name, n in (("train", 70), ("val", 50), ("test", 40)))
    fitted = FEW.fit(encoder, train, val, runtime)
    key = Key("conv3", WindowPool(200))
    features, seen = (
        np.concatenate([extract(encoder, split, (key.reduction,), runtime)[key] for split in splits])
        for splits in ((train, val), (test,))
    )
    features, seen = (
        x.astype(np.float64) / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-5) for x in (features, seen)
    )
    assert train.labels is not None
    assert val.labels is not None
    labels = np.concatenate([train.labels, val.labels]).astype(int) * 2 - 1
    scores = fitted.predict(test)["conv3"]["scores"]
    common = {t.setting["C"]: t.val for t in fitted.trials if t.stage == "conv3"}
    chosen = [float(cost) for cost in str(fitted.chosen["conv3"].trial.setting["C"]).split()]
    precision = np.empty((CLASSES, 3))
    for c in range(CLASSES):
        for i, cost in enumerate(FEW.costs):
            model = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, tol=1e-6, max_iter=20000, random_state=0)
            precision[c, i] = cross_val_score(
                model, features, labels[:, c], cv=3, scoring="average_precision"
            ).mean()
            if cost == chosen[c]:
                wanted = model.fit(features, labels[:, c]).decision_function(seen)
                np.testing.assert_allclose(scores[:, c], wanted, atol=0.02)
        assert precision[c].max() - precision[c][FEW.costs.index(chosen[c])] < 1e-3
    for i, cost in enumerate(FEW.costs):
        assert common[cost] == pytest.approx(precision[:, i].mean(), abs=2e-3)
    assert fitted.chosen["conv3"].trial.val == pytest.approx(precision.max(1).mean(), abs=2e-3)


def test_folds_are_scikit_learns() -> None:
    signs = signs_of(np.asarray(multi_label("train", 50, 0).labels), CLASSES)
    found = stratified_folds(signs, 3, "here")
    for c in range(CLASSES):
        column = signs[:, c].numpy()
        for k, (_, held) in enumerate(StratifiedKFold(3).split(column, column)):
            assert np.flatnonzero(found[:, c] == k).tolist() == held.tolist()


def test_every_stage_has_its_own_costs_and_the_best_on_val_is_chosen(tmp_path: Path) -> None:
    encoder, test = small_encoder(), single_label("test", 40, 3)
    fitted = FEW.fit(
        encoder, single_label("train", 90, 1), single_label("val", 40, 2), Runtime(cache=tmp_path)
    )
    rows = fitted.predict(test)
    assert set(rows) == set(encoder.stage_names)
    assert len(fitted.trials) == len(encoder.stage_names) * 4
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert (fitted.stage, fitted.chosen[fitted.stage].trial.val) == (best.stage, best.val)
    assert len(str(fitted.selected["C"]).split()) == CLASSES
    assert list(FEW.metrics(test)) == ["voc_ap_area", "voc_ap_11point", "mAP", "top1"]
    assert list(FEW.metrics(multi_label("test", 20, 0))) == ["voc_ap_area", "voc_ap_11point", "mAP"]
    assert fitted.train_score > 0.5


def test_val_is_trained_on_and_train_can_be_limited(tmp_path: Path) -> None:
    test, train = multi_label("test", 30, 3), multi_label("train", 60, 1)
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)

    def scores(protocol: Goyal19Svm, val: Split) -> np.ndarray:
        return protocol.fit(encoder, train, val, runtime).predict(test)["conv2"]["scores"]

    first = scores(FEW, multi_label("val", 30, 2))
    np.testing.assert_array_equal(scores(FEW, multi_label("val", 30, 2)), first)
    assert not np.allclose(scores(FEW, multi_label("val", 30, 5)), first)
    limited = Goyal19Svm(costs=FEW.costs, dimension=200, train_limit=40)
    assert not np.allclose(scores(limited, multi_label("val", 30, 2)), first)


def test_difficult_objects_are_left_out_of_test_for_all_that_is_scored(tmp_path: Path) -> None:
    plain = multi_label("test", 30, 3)
    assert plain.labels is not None
    absent = np.argwhere(plain.labels == 0)[:5]
    flat = [(int(i), int(c), False) for i, c in np.argwhere(plain.labels)]
    flat = sorted(flat + [(int(i), int(c), True) for i, c in absent])
    boxes = Boxes(
        np.searchsorted([i for i, _, _ in flat], np.arange(31)),
        np.tile(np.array([0, 0, 4, 4], np.float32), (len(flat), 1)),
        np.array([c for _, c, _ in flat]),
        np.array([hard for _, _, hard in flat]),
    )
    test = make_split("test", np.asarray(plain.pixels[:]), labels=np.asarray(plain.labels), boxes=boxes)
    train, val = multi_label("train", 60, 1), multi_label("val", 30, 2)
    runtime = Runtime(cache=tmp_path)
    rows = FEW.fit(multi_hot_label(), train, val, runtime).predict(test)["labels"]
    wanted = difficult_of(test)
    assert wanted is not None
    assert wanted.sum() == len(absent)
    np.testing.assert_array_equal(rows["difficult"], wanted)
    blind = FEW.blind()["label_prior"].fit(train, val, runtime)(test)
    np.testing.assert_array_equal(blind["difficult"], wanted)


def test_edges_count_only_where_a_longer_grid_might_help() -> None:
    values = np.array([[0.5, 0.4, 0.3], [0.1, 0.2, 0.1], [0.2, 0.2, 0.1], [0.1, 0.2, 0.3]])
    assert costs_at_edge(values, (0.1, 1.0, 10.0), "classes") == ("C for 2 of 4 classes",)
    assert costs_at_edge(values[:, [0, 2, 1]], (0.1, 10.0, 1.0), "classes") == ("C for 2 of 4 classes",)
    assert costs_at_edge(values[1:3], (0.1, 1.0, 10.0), "classes") == ()
    assert costs_at_edge(values[:, :1], (0.1,), "classes") == ()


def test_the_published_costs() -> None:
    assert GOYAL19_COSTS[:10] == (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    assert GOYAL19_COSTS[10:] == tuple(2.0**-k for k in range(4, 20))
    assert Goyal19Svm().selects == ("stage", "C")
    assert Goyal19Svm(costs=(1.0,)).selects == ("stage",)


def test_what_cannot_be_judged_is_named(tmp_path: Path) -> None:
    runtime, good = Runtime(cache=tmp_path), np.arange(30) % 3

    def fit(train: np.ndarray, val: np.ndarray = good) -> None:
        FEW.fit(constant(), labelled(train), labelled(val, "val"), runtime)

    with pytest.raises(ValueError, match=r"split 'train' has no example of class 1"):
        fit(good * 2)
    with pytest.raises(ValueError, match=r"split 'val': example 2 has label 3; train has 3 classes"):
        fit(good, np.array([0, 1, 3, 2]))
    rare = np.where(np.arange(30) == 4, 3, good)
    with pytest.raises(ValueError, match=r"class 3 has 1 images in splits 'train' and 'val' together"):
        fit(rare)
    everywhere = np.stack([np.ones(30), good == 0], 1).astype(np.uint8)
    with pytest.raises(ValueError, match=r"class 0 has 0 other images in .* too few for 3 folds"):
        fit(everywhere, everywhere)
    for costs in ((), (1.0, -1.0), (1.0, float("inf")), (1.0, 1.0)):
        with pytest.raises(ValueError, match="goyal19_voc07_svm: costs="):
            Goyal19Svm(costs=costs)
    with pytest.raises(ValueError, match="folds must be at least 2, got 1"):
        Goyal19Svm(folds=1)
    fitted = FEW.fit(constant(), labelled(good), labelled(good, "val"), runtime)
    with pytest.raises(ValueError, match="example 1 has label 4; train has 3 classes"):
        fitted.predict(labelled(np.array([0, 4]), "test"))
    assert torch.isfinite(fitted.chosen["constant"].heads.weight).all()
