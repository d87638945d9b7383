"""Nearest neighbours as a protocol, on features that are known."""

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
    planted,
    single_label,
    small_encoder,
)
from torch.nn import functional as F

from downstream.classification.knn import NearestNeighbours
from downstream.protocol import Runtime
from pretext.backbones import Stage

KNN = NearestNeighbours(pools=(1,), ks=(1, 10, 20), temperatures=(0.07, 0.1))


def scored(encoder, runtime: Runtime, make) -> tuple[float, str]:  # type: ignore[no-untyped-def]
    fitted = KNN.fit(encoder, make("train", 400, 1), make("val", 200, 2), runtime)
    test = make("test", 400, 3)
    metric = next(iter(KNN.metrics(test).values()))
    return metric(fitted.predict(test)[fitted.stage]), fitted.stage


def test_label_features_give_everything_and_their_stage_is_chosen(tmp_path: Path) -> None:
    assert scored(one_hot_label(), Runtime(cache=tmp_path), single_label) == (1.0, "label")
    assert scored(multi_hot_label(), Runtime(cache=tmp_path), multi_label)[0] > 0.99


def test_constant_features_give_chance(tmp_path: Path) -> None:
    value, _ = scored(constant(), Runtime(cache=tmp_path), single_label)
    assert value == pytest.approx(1 / CLASSES)
    value, _ = scored(constant(), Runtime(cache=tmp_path), multi_label)
    labels = multi_label("test", 400, 3).labels
    assert labels is not None
    assert value == pytest.approx(labels.mean(), abs=1e-6)


@pytest.mark.parametrize("make", [single_label, multi_label])
def test_permuted_labels_stay_at_chance_through_selection(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    many = NearestNeighbours(ks=(1, 5, 20, 100), temperatures=(0.07, 0.2), pools=(1, 2))
    train, val = make("train", 400, 1, permuted=True), make("val", 100, 2, permuted=True)
    fitted = many.fit(small_encoder(), train, val, Runtime(cache=tmp_path))
    test = make("test", 1000, 3)
    assert test.labels is not None
    metric = next(iter(many.metrics(test).values()))
    chance = 1 / CLASSES if make is single_label else test.labels.mean()
    # Binomial: 0.2 with a standard deviation of 0.0126.
    assert metric(fitted.predict(test)[fitted.stage]) == pytest.approx(chance, abs=0.05)
    assert max(trial.val for trial in fitted.trials) > chance  # what selecting on test would have reported
    assert fitted.train_score == pytest.approx(chance, abs=0.1)


def test_every_stage_and_setting_is_tried_and_each_stage_keeps_its_best(tmp_path: Path) -> None:
    knn = NearestNeighbours(ks=(3, 5), temperatures=(0.07, 0.1), pools=(1, 2))
    encoder, val = small_encoder(), multi_label("val", 60, 2)
    fitted = knn.fit(encoder, multi_label("train", 120, 1), val, Runtime(cache=tmp_path))
    assert len(fitted.trials) == len(encoder.stage_names) * 2 * 2 * 2
    predicted = fitted.predict(val)
    assert set(predicted) == set(encoder.stage_names)
    for stage, choice in fitted.chosen.items():
        assert choice.trial.val == max(t.val for t in fitted.trials if t.stage == stage)
        assert knn.metrics(val)["mAP"](predicted[stage]) == pytest.approx(choice.trial.val)
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert (fitted.stage, fitted.selected) == (best.stage, best.setting)
    assert set(fitted.selected) == {"k", "temperature", "pool"}


def test_features_are_pooled_and_not_centred(tmp_path: Path) -> None:
    """By hand: a common offset, which centring would take away, decides who is near."""
    points = torch.tensor([[10.0, 1.0], [10.0, -1.0], [1.0, 10.0]])
    encoder = planted(
        "points", (Stage("points", 2, 8), lambda x: points[x[:, 0, 0, 0].long()][:, :, None, None])
    )

    def split(name: str, kinds: list[int], labels: list[int]):  # type: ignore[no-untyped-def]
        made = labelled(np.array(labels), name)
        made.pixels[:, 0, 0, 0] = kinds  # type: ignore[index]
        return made

    train = split("train", [0, 2, 2, 1], [0, 1, 1, 0])
    knn = NearestNeighbours(pools=(1,), ks=(2,), temperatures=(0.1,))
    fitted = knn.fit(encoder, train, split("val", [0, 2], [0, 1]), Runtime(cache=tmp_path))
    scores = fitted.predict(split("test", [0, 1, 2], [0, 0, 1]))["points"]["scores"]
    np.testing.assert_allclose(scores, [[1, 0], [1, 0], [0, 1]], atol=1e-6)
    with_three = NearestNeighbours(pools=(1,), ks=(3,), temperatures=(0.1,))
    fitted = with_three.fit(encoder, train, split("val", [0, 2], [0, 1]), Runtime(cache=tmp_path))
    scores = fitted.predict(split("test", [0, 0, 0], [0, 0, 0]))["points"]["scores"]
    unit = F.normalize(points)
    weight = torch.exp(unit @ unit[0] / 0.1)  # of itself, of its mirror, of the other class
    wanted = float(weight[2] / weight.sum())
    assert scores[0, 1] == pytest.approx(wanted, rel=1e-4)


def test_score_on_train_leaves_each_image_out(tmp_path: Path) -> None:
    """Noise remembered by its own image would score 1 with k = 1."""
    nearest_one = NearestNeighbours(pools=(1,), ks=(1,), temperatures=(0.07,))
    train, val = single_label("train", 400, 1, permuted=True), single_label("val", 100, 2)
    fitted = nearest_one.fit(small_encoder(), train, val, Runtime(cache=tmp_path))
    assert fitted.train_score == pytest.approx(1 / CLASSES, abs=0.1)
    fitted = nearest_one.fit(one_hot_label(), single_label("train", 400, 1), val, Runtime(cache=tmp_path))
    assert fitted.train_score == 1.0


def test_more_neighbours_than_training_images_is_an_error(tmp_path: Path) -> None:
    runtime, splits = Runtime(cache=tmp_path), (single_label("train", 50, 1), single_label("val", 20, 2))
    NearestNeighbours(pools=(1,), ks=(50,)).fit(one_hot_label(), *splits, runtime)
    with pytest.raises(ValueError, match="knn: k=51 neighbours, but split 'train' has 50 images"):
        NearestNeighbours(pools=(1,), ks=(10, 51)).fit(one_hot_label(), *splits, runtime)
    with pytest.raises(ValueError, match="k=20 neighbours, but split 'train' has 10 images"):
        NearestNeighbours(pools=(1,), ks=(20,), train_limit=10).fit(one_hot_label(), *splits, runtime)


def test_features_that_are_not_finite_name_stage_and_example(tmp_path: Path) -> None:
    bad = planted("bad", (Stage("spoiled", 3, 8), lambda x: torch.full((len(x), 3, 2, 2), float("nan"))))
    with pytest.raises(FloatingPointError, match="'spoiled': the feature of example 0 of split 'train'"):
        KNN.fit(bad, single_label("train", 50, 1), single_label("val", 20, 2), Runtime(cache=tmp_path))


def test_bad_labels_and_settings_are_named(tmp_path: Path) -> None:
    runtime, good = Runtime(cache=tmp_path), np.arange(30) % 3
    larger = good.copy()
    larger[4] = 3
    with pytest.raises(ValueError, match="split 'val': example 4 has label 3; train has 3 classes"):
        KNN.fit(constant(), labelled(good), labelled(larger, "val"), runtime)
    with pytest.raises(ValueError, match="no example of class 1"):
        KNN.fit(constant(), labelled(good * 2), labelled(good, "val"), runtime)
    for fields, shown in (
        ({"ks": ()}, "ks"),
        ({"ks": (0, 5)}, "ks"),
        ({"temperatures": (0.0,)}, "temperatures"),
        ({"temperatures": (float("nan"),)}, "temperatures"),
        ({"pools": ()}, "pools"),
    ):
        with pytest.raises(ValueError, match=f"NearestNeighbours: {shown}=.* is out of range"):
            NearestNeighbours(**fields)
