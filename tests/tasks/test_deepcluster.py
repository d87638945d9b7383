"""DeepCluster against scikit-learn, and its epochs."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from toy_fit import At, die

from pretext.data.loader import EpochLoader
from pretext.fit import Optimisation, Validation, load_task, pretrain
from pretext.task import Progress
from pretext.tasks.deepcluster import DeepCluster, _whitening
from pretext.tasks.lloyd import lloyd, nearest

K = 6
SGD = Optimisation(functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-5))


def small(seed: int = 0, **changes: Any) -> DeepCluster:
    return DeepCluster(
        toy.encoder("sobel", seed=seed), **{"clusters": K, "hidden": 16, "components": 8, **changes}
    )


def loader(count: int = 48) -> EpochLoader:
    return EpochLoader(toy.split(count, 5), 16, shuffle=False)


@torch.no_grad()
def clustered(task: DeepCluster, step: int = 0) -> torch.Tensor:
    task.eval()
    if not step:
        task.prepare(loader(), Path())
    weights = task.before_epoch(loader(), Progress(step, 9, 0.0)).weights
    assert weights is not None
    return weights


def test_k_means_equals_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal(centre, 1.0, (70, 5)) for centre in draw.normal(0, 2, (K, 5))])
    start = points[draw.permutation(len(points))[:K]]
    truth = KMeans(K, init=start, n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(points)
    centroids, assigned = lloyd(torch.from_numpy(points), torch.from_numpy(start), 20)
    assert assigned.tolist() == truth.labels_.tolist()
    np.testing.assert_allclose(centroids.numpy(), truth.cluster_centers_, rtol=1e-9)


def test_an_empty_cluster_takes_the_farthest_point() -> None:
    points = torch.tensor([[0.0], [1.0], [9.0]])
    _, assigned = lloyd(points, torch.tensor([[0.5], [100.0]]), 20)
    assert assigned.tolist() == [0, 0, 1]


def test_nearest_is_what_all_distances_say() -> None:
    points, centroids = torch.randn(5000, 3), torch.randn(7, 3)
    distance, index = torch.cdist(points, centroids).min(dim=1)
    found, squared = nearest(points, centroids)
    assert torch.equal(found, index)
    torch.testing.assert_close(squared, distance.square(), rtol=1e-4, atol=1e-4)


def test_whitening_is_that_of_scikit_learns_principal_components() -> None:
    x = np.random.default_rng(0).normal(size=(200, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1])
    centred = torch.from_numpy(x - x.mean(axis=0))
    white = (centred.float() @ _whitening(centred, 3)).numpy()
    truth = PCA(3, whiten=True, svd_solver="full").fit_transform(x) * math.sqrt(200 / 199)
    np.testing.assert_allclose(white * np.sign((white * truth).sum(axis=0)), truth, rtol=1e-4, atol=1e-4)


def test_directions_without_variance_are_dropped() -> None:
    x = torch.cat([torch.randn(50, 2), torch.zeros(50, 2)], dim=1)
    found = _whitening(x - x.mean(dim=0), 4)
    assert torch.isfinite(found).all()
    assert torch.equal(found[:, 2:], torch.zeros(4, 2))


def test_every_cluster_is_drawn_equally_often() -> None:
    task = small()
    weights = clustered(task)
    mass = torch.zeros(K, dtype=torch.float64).index_add_(0, task.targets, weights)
    assert mass[mass > 0].tolist() == pytest.approx([1.0] * int((mass > 0).sum()))
    assert len(task.targets.unique()) > 2


def test_the_cluster_of_an_image_is_what_validation_would_ask_of_it() -> None:
    task = small()
    clustered(task)
    images = next(iter(loader()))
    assert torch.equal(task.views(images, torch.Generator()).targets, task.targets[images.positions])
    with torch.no_grad():  # an epoch of training later
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert torch.equal(task.views(images, torch.Generator()).targets, task.targets[images.positions])
    assert not any("_clustered" in name for name in (*task.state_dict(), *dict(task.named_parameters())))


def test_the_last_layer_starts_anew_at_chance() -> None:
    task = small()
    clustered(task)
    before = task.top.weight.clone()
    with torch.no_grad():
        epoch = task.before_epoch(loader(), Progress(3, 9, 1.0))
    assert not torch.equal(before, task.top.weight)
    assert {id(p) for p in epoch.reset} == {id(p) for p in task.top.parameters()}
    images = next(iter(loader()))
    step = task.loss(task.views(images, torch.Generator()))
    assert float(step.loss.detach()) == pytest.approx(math.log(K), rel=0.02)
    assert task.param_groups()[1]["momentum"] == 0.0


def test_agreement_is_with_the_epoch_before() -> None:
    task = small()
    clustered(task)
    assert float(task.agreement) == 0  # there is none
    before = task.targets.clone()
    clustered(task, step=3)
    assert float(task.agreement) == pytest.approx(
        normalized_mutual_info_score(before, task.targets), abs=1e-6
    )
    assert 0 < float(task.agreement) <= 1


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="clusters is 49, of only 48 images"):
        small(clusters=49).check(48, 8)
    small(clusters=48).check(48, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clusters": 1}, "from 2, got 1"),
        ({"hidden": 0}, "from 1, got 0, 8, 20"),
        ({"dropout": 1.0}, "got 1.0"),
    ],
)
def test_values_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**change)


def fit(folder: Path, task: DeepCluster, *callbacks: Callback) -> list[str]:
    pretrain(
        task, toy.split(48, 5), toy.split(16, 1, "val"), folder=folder, cache=folder,
        name="deepcluster", seed=0, epochs=4, batch_size=8, optimisation=SGD, device="cpu",
        validation=Validation(bank=0, pictures=2),
        callbacks=callbacks, console=Console(file=io.StringIO()),
    )  # fmt: skip
    return [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]  # type: ignore[misc]


def test_a_run_killed_in_its_third_epoch_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole, broken, again = small(), small(), small()
    rows = fit(tmp_path / "whole", whole)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", broken, At(2, 1, die))
    torch.manual_seed(5)
    assert rows[0] == (resumed := fit(tmp_path / "broken", again))[0]
    at = rows[0].index("seconds")
    assert [row[:at] + row[at + 1 :] for row in rows] == [row[:at] + row[at + 1 :] for row in resumed]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    loaded = load_task(tmp_path / "broken")
    assert loaded.state_dict()["targets"].shape == (0,)
    assert torch.equal(loaded.state_dict()["centroids"], whole.centroids)
