"""Retrieval against scikit-learn, hand-worked rankings and all orders of ties."""

from itertools import permutations
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
from sklearn.metrics import average_precision_score

from downstream.classification.ranking import average_precision, rank, recall
from downstream.classification.retrieval import Retrieval, mean_average_precision
from downstream.heads import neighbours
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Runtime, take

CPU = torch.device("cpu")
RETRIEVAL = Retrieval(pools=(1,), recalls=(1, 5))


def test_average_precision_by_hand() -> None:
    similarity = torch.tensor(
        [[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5], [1, 2, 3, 4]]
    )
    relevant = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    wanted = [(1 + 2 / 3) / 2, 1 / 4, 1 / 4, 0]
    assert average_precision(similarity, relevant).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("levels", [3, 20, 10**6])
def test_average_precision_is_scikit_learns_with_ties(levels: int) -> None:
    generator = np.random.default_rng(levels)
    similarity = generator.integers(0, levels, (40, 60)).astype(np.float32)
    relevant = generator.random((40, 60)) < 0.2
    relevant[:, 0] = True
    found = average_precision(torch.from_numpy(similarity), torch.from_numpy(relevant)).numpy()
    wanted = [average_precision_score(r, s) for r, s in zip(relevant, similarity, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_recall_is_the_mean_over_all_orders_of_ties() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        similarity = generator.integers(0, 3, 6)
        relevant = generator.random(6) < 0.4
        for k in (1, 2, 4, 6):
            hits = [
                relevant[sorted(order, key=lambda i, s=similarity: -s[i])[:k]].any()
                for order in permutations(range(6))
            ]
            found = recall(torch.from_numpy(similarity[None]).float(), torch.from_numpy(relevant[None]), k)
            assert float(found) == pytest.approx(np.mean(hits), abs=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_ranking_is_a_double_loop_in_pieces_of_any_size(
    several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(5)
    queries, gallery = generator.normal(size=(9, 4)), generator.normal(size=(31, 4))
    wanted, labels = generator.integers(0, 3, 9), generator.integers(0, 3, 31)
    if several:
        wanted = (generator.random((9, 3)) < 0.4).astype(np.uint8)
        labels = (generator.random((31, 3)) < 0.4).astype(np.uint8)
        wanted[2] = 0  # shares nothing with any
    monkeypatch.setattr(neighbours, "BANK", 4 * 7)
    monkeypatch.setitem(neighbours.RANKED, "cpu", 31 * 2)
    found = rank(queries.astype(np.float32), wanted, gallery.astype(np.float32), labels, (1, 5), CPU)
    for m, query in enumerate(queries):
        order = sorted(range(31), key=lambda i, q=query: -(q @ gallery[i]) / np.linalg.norm(gallery[i]))
        hits = [bool((wanted[m] & labels[i]).any()) if several else wanted[m] == labels[i] for i in order]
        precision = [np.mean(hits[: r + 1]) for r, hit in enumerate(hits) if hit]
        assert found["relevant"][m] == sum(hits)
        assert found["average_precision"][m] == pytest.approx(
            np.mean(precision) if precision else 0, abs=1e-6
        )
        assert found["recall@1"][m] == hits[0]
        assert found["recall@5"][m] == any(hits[:5])


def test_a_query_does_not_retrieve_itself() -> None:
    gallery = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32)
    own = np.arange(4)
    found = rank(gallery, np.array([0, 0, 1, 1]), gallery, np.array([0, 0, 1, 1]), (1, 3), CPU, own)
    assert found["relevant"].tolist() == [1, 1, 1, 1]
    assert found["average_precision"].tolist() == [1, 1, 1, 1]
    alone = rank(gallery, own, gallery, own, (1, 3), CPU, own)
    assert alone["relevant"].tolist() == alone["recall@3"].tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="recall@4 of a gallery of 3 images"):
        rank(gallery, own, gallery, own, (4,), CPU, own)


def test_queries_without_an_answer_are_left_out_of_the_mean() -> None:
    rows = {"average_precision": np.array([0.5, 0.0, 1.0]), "relevant": np.array([2.0, 0.0, 1.0])}
    assert mean_average_precision(rows) == pytest.approx(0.75)
    index = resamples("digest", 3, 20)
    index = index[[not (row == 1).all() for row in index]]
    again = [mean_average_precision(take(rows, row)) for row in index]
    np.testing.assert_allclose(bootstrap(mean_average_precision, rows, index), again)
    with pytest.raises(ValueError, match="none of 1 queries has a relevant image"):
        mean_average_precision(take(rows, np.array([1])))


def scored(encoder, runtime: Runtime, make) -> tuple[dict[str, float], str, float]:  # type: ignore[no-untyped-def]
    fitted = RETRIEVAL.fit(encoder, make("train", 400, 1), make("val", 100, 2), runtime)
    test = make("test", 200, 3)
    rows = fitted.predict(test)[fitted.stage]
    values = {name: metric(rows) for name, metric in RETRIEVAL.metrics(test).items()}
    return values, fitted.stage, fitted.train_score


def test_label_features_retrieve_everything_and_their_stage_is_chosen(tmp_path: Path) -> None:
    values, stage, train = scored(one_hot_label(), Runtime(cache=tmp_path), single_label)
    assert values == {"mAP": 1, "recall@1": 1, "recall@5": 1}
    assert (stage, train) == ("label", 1.0)
    values, _, _ = scored(multi_hot_label(), Runtime(cache=tmp_path), multi_label)
    assert values["mAP"] == pytest.approx(1)


@pytest.mark.parametrize("encoder", [constant, small_encoder])
def test_constant_features_and_noise_give_chance(tmp_path: Path, encoder) -> None:  # type: ignore[no-untyped-def]
    values, _, train = scored(encoder(), Runtime(cache=tmp_path), single_label)
    exact = encoder is constant
    assert values["mAP"] == pytest.approx(1 / CLASSES, abs=1e-6 if exact else 0.02)
    assert values["recall@1"] == pytest.approx(1 / CLASSES, abs=1e-6 if exact else 0.09)
    chance = 1 - np.prod([(320 - i) / (400 - i) for i in range(5)])
    assert values["recall@5"] == pytest.approx(chance, abs=1e-5 if exact else 0.1)
    assert train == pytest.approx(79 / 399, abs=1e-6 if exact else 0.02)


def test_every_stage_is_tried_and_val_scores_are_the_metric(tmp_path: Path) -> None:
    many = Retrieval(recalls=(1,), pools=(1, 2))
    encoder, val = small_encoder(), multi_label("val", 40, 2)
    fitted = many.fit(encoder, multi_label("train", 90, 1), val, Runtime(cache=tmp_path))
    assert len(fitted.trials) == 2 * len(encoder.stage_names)
    for stage, rows in fitted.predict(val).items():
        values = [trial.val for trial in fitted.trials if trial.stage == stage]
        assert many.metrics(val)["mAP"](rows) == pytest.approx(max(values))
    assert fitted.selected == max(fitted.trials, key=lambda trial: trial.val).setting


def test_blind_retrieval_is_chance_or_colour(tmp_path: Path) -> None:
    train, test = single_label("train", 200, 1), single_label("test", 100, 2)
    rows = {name: made.fit(train, test, Runtime())(test) for name, made in RETRIEVAL.blind().items()}
    assert mean_average_precision(rows["constant"]) == pytest.approx(1 / CLASSES, abs=1e-6)
    for name in ("rgb_histogram", "luminance_histogram"):  # noise
        assert mean_average_precision(rows[name]) == pytest.approx(1 / CLASSES, abs=0.03)
    shaded = [np.arange(60) % 2, (np.arange(60) + 1) % 2]
    splits = [labelled(labels, name) for labels, name in zip(shaded, ("train", "test"), strict=True)]
    for split, labels in zip(splits, shaded, strict=True):
        split.pixels[labels == 1] //= 4  # type: ignore[index]
    for name in ("rgb_histogram", "luminance_histogram"):
        predict = RETRIEVAL.blind()[name].fit(*splits, Runtime())
        assert mean_average_precision(predict(splits[1])) == pytest.approx(1)


def test_a_limited_gallery_is_the_blind_predictors_too(tmp_path: Path) -> None:
    small = Retrieval(pools=(1,), recalls=(1,), train_limit=40)
    train, test = single_label("train", 100, 1), single_label("test", 30, 2)
    fitted = small.fit(one_hot_label(), train, single_label("val", 20, 3), Runtime(cache=tmp_path))
    relevant = fitted.predict(test)["label"]["relevant"]
    assert relevant.mean() < 12  # of 40, not of 100
    for predictor in small.blind().values():
        np.testing.assert_array_equal(predictor.fit(train, test, Runtime())(test)["relevant"], relevant)


def test_bad_input_is_named(tmp_path: Path) -> None:
    runtime = Runtime(cache=tmp_path)
    splits = single_label("train", 50, 1), single_label("val", 20, 2)
    with pytest.raises(ValueError, match="recall@50, but split 'train' has 50 images"):
        Retrieval(pools=(1,), recalls=(1, 50)).fit(constant(), *splits, runtime)
    with pytest.raises(ValueError, match=r"Retrieval: recalls=\(0,\) is out of range"):
        Retrieval(pools=(1,), recalls=(0,))
    with pytest.raises(ValueError, match=r"Retrieval: pools=\(\) is out of range"):
        Retrieval(pools=())
    with pytest.raises(ValueError, match="split 'val' has several classes an image"):
        RETRIEVAL.fit(constant(), splits[0], multi_label("val", 20, 2), runtime)
