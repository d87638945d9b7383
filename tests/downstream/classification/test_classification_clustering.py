"""Clusters of known features; agreement with labels against scikit-learn and by hand."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from planted import CLASSES, constant, labelled, multi_label, one_hot_label, single_label, small_encoder
from sklearn.metrics import homogeneity_score

from downstream.classification.agreement import (
    Homogeneity,
    adjusted_rand,
    matched_accuracy,
    normalized_mutual_information,
)
from downstream.classification.clustering import Clustering
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Runtime, take

CLUSTERING = Clustering(pools=(1,), restarts=2)


def rows(cluster: list[int], labels: object) -> dict[str, np.ndarray]:
    return {"cluster": np.array(cluster), "labels": np.array(labels)}


def test_agreement_by_hand() -> None:
    perfect = rows([2, 2, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])  # names do not matter
    for metric in (normalized_mutual_information, adjusted_rand, matched_accuracy):
        assert metric(perfect) == pytest.approx(1)
    split = rows([0, 0, 1, 1], [0, 1, 0, 1])  # independent
    assert normalized_mutual_information(split) == pytest.approx(0, abs=1e-12)
    assert adjusted_rand(split) == 0  # −0.5 before it is cut
    assert matched_accuracy(split) == 0.5
    finer = rows([0, 1, 2, 3], [0, 0, 1, 1])  # I = ln 2, H = ln 4 and ln 2
    assert normalized_mutual_information(finer) == pytest.approx(2 / 3)
    assert matched_accuracy(finer) == 0.5
    one = rows([0, 0, 0, 0, 0], [0, 1, 1, 1, 2])
    assert normalized_mutual_information(one) == 0
    assert adjusted_rand(one) == 0
    assert matched_accuracy(one) == 0.6
    mixed = rows([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0])
    assert adjusted_rand(mixed) == 0  # (2 − 2.4) / (6 − 2.4) before it is cut
    mostly = rows([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0])
    # Pairs: 4 together in both, 6 by cluster, 7 by label, of 15.
    assert adjusted_rand(mostly) == pytest.approx((4 - 42 / 15) / (6.5 - 42 / 15))


def test_matched_accuracy_is_the_best_of_all_matches() -> None:
    generator = np.random.default_rng(0)
    for clusters, classes in ((4, 4), (5, 3), (3, 5)):
        made = rows(generator.integers(0, clusters, 50).tolist(), generator.integers(0, classes, 50))
        best = 0.0
        for names in permutations(range(max(clusters, classes)), clusters):
            best = max(best, float(np.mean(np.array(names)[made["cluster"]] == made["labels"])))
        assert matched_accuracy(made) == pytest.approx(best)


def test_homogeneity_is_scikit_learns_of_each_class() -> None:
    generator = np.random.default_rng(1)
    labels = (generator.random((80, 4)) < [0.1, 0.5, 0.3, 0.02]).astype(np.uint8)
    labels[:, 3] = 0  # does not vary: left out
    made = rows(generator.integers(0, 5, 80).tolist(), labels)
    wanted = np.mean([homogeneity_score(labels[:, c], made["cluster"]) for c in range(3)])
    assert Homogeneity()(made) == pytest.approx(wanted)
    index = resamples("digest", 80, 25)
    again = [Homogeneity()(take(made, row)) for row in index]
    np.testing.assert_allclose(bootstrap(Homogeneity(), made, index), again)
    assert Homogeneity()(rows([0, 1, 2, 3], [[0, 0], [0, 1], [1, 0], [1, 1]])) == 1
    assert Homogeneity()(rows([0, 0, 0, 0], [[0, 0], [0, 1], [1, 0], [1, 1]])) == 0


def scored(encoder, runtime: Runtime) -> tuple[dict[str, float], str, float]:  # type: ignore[no-untyped-def]
    fitted = CLUSTERING.fit(encoder, single_label("train", 300, 1), single_label("val", 100, 2), runtime)
    test = single_label("test", 200, 3)
    predicted = fitted.predict(test)[fitted.stage]
    values = {name: metric(predicted) for name, metric in CLUSTERING.metrics(test).items()}
    return values, fitted.stage, fitted.train_score


def test_label_features_are_found_and_their_stage_is_chosen(tmp_path: Path) -> None:
    values, stage, train = scored(one_hot_label(), Runtime(cache=tmp_path))
    assert values == pytest.approx({"NMI": 1, "ARI": 1, "matched_accuracy": 1})
    assert stage == "label"
    assert train == pytest.approx(1)


def test_constant_features_and_noise_give_chance(tmp_path: Path) -> None:
    values, _, train = scored(constant(), Runtime(cache=tmp_path))
    assert values == pytest.approx({"NMI": 0, "ARI": 0, "matched_accuracy": 1 / CLASSES})
    assert train == 0
    values, _, train = scored(small_encoder(), Runtime(cache=tmp_path))
    # NMI is not adjusted for chance: 5 × 5 cells of 200 images give some 16 / (2 · 200 · ln 5) = 0.025.
    assert values["NMI"] < 0.07
    assert values["ARI"] < 0.03
    assert values["matched_accuracy"] == pytest.approx(1.3 / CLASSES, abs=0.06)
    assert train < 0.06


def test_several_classes_are_read_by_homogeneity(tmp_path: Path) -> None:
    many = Clustering(pools=(1, 2), restarts=1)
    encoder, val = small_encoder(), multi_label("val", 60, 2)
    fitted = many.fit(encoder, multi_label("train", 120, 1), val, Runtime(cache=tmp_path))
    assert len(fitted.trials) == 2 * len(encoder.stage_names)
    assert list(many.metrics(val)) == ["homogeneity"]
    for stage, predicted in fitted.predict(val).items():
        values = [trial.val for trial in fitted.trials if trial.stage == stage]
        assert many.metrics(val)["homogeneity"](predicted) == pytest.approx(max(values))
    assert fitted.selected == max(fitted.trials, key=lambda trial: trial.val).setting


def test_number_of_clusters_and_seed(tmp_path: Path) -> None:
    splits = single_label("train", 100, 1), single_label("val", 50, 2)

    def clusters(protocol: Clustering, seed: int = 0) -> np.ndarray:
        fitted = protocol.fit(small_encoder(), *splits, Runtime(cache=tmp_path, seed=seed))
        return fitted.predict(splits[1])["conv5"]["cluster"]

    assert clusters(Clustering(pools=(1,), restarts=1)).max() < CLASSES
    assert len(np.unique(clusters(Clustering(pools=(1,), clusters=12, restarts=1)))) > CLASSES
    np.testing.assert_array_equal(clusters(CLUSTERING), clusters(CLUSTERING))
    one = Clustering(pools=(1,), clusters=1)
    assert (clusters(one) == 0).all()


def test_blind_clusters_are_chance_or_brightness(tmp_path: Path) -> None:
    train, test = single_label("train", 300, 1), single_label("test", 300, 2)
    blind = CLUSTERING.blind()
    assert list(blind) == ["random_clusters", "constant", "rgb_histogram", "luminance_histogram"]
    found = {name: made.fit(train, test, Runtime())(test) for name, made in blind.items()}
    assert normalized_mutual_information(found["constant"]) == 0
    assert len(np.unique(found["random_clusters"]["cluster"])) == CLASSES
    for name in ("random_clusters", "rgb_histogram", "luminance_histogram"):  # noise
        assert normalized_mutual_information(found[name]) < 0.06
    labels = np.arange(60) % 2
    shaded = labelled(labels, "train")
    shaded.pixels[labels == 1] //= 4  # type: ignore[index]
    for name in ("rgb_histogram", "luminance_histogram"):
        assert matched_accuracy(blind[name].fit(shaded, shaded, Runtime())(shaded)) == 1


def test_bad_input_is_named(tmp_path: Path) -> None:
    splits = single_label("train", 50, 1), single_label("val", 20, 2)
    with pytest.raises(ValueError, match="clustering: 51 clusters, but split 'train' has 50 images"):
        Clustering(pools=(1,), clusters=51).fit(constant(), *splits, Runtime(cache=tmp_path))
    with pytest.raises(ValueError, match="Clustering: clusters=0 is out of range"):
        Clustering(pools=(1,), clusters=0)
    with pytest.raises(ValueError, match="Clustering: restarts=0 is out of range"):
        Clustering(pools=(1,), restarts=0)
    with pytest.raises(ValueError, match="split 'val' has several classes an image"):
        CLUSTERING.fit(constant(), splits[0], multi_label("val", 20, 2), Runtime(cache=tmp_path))
