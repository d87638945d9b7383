"""What is watched while pretraining: neighbours' votes."""

from __future__ import annotations

import functools
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from rich.console import Console
from sklearn.neighbors import KNeighborsClassifier

from pretext.fit import Optimisation, Validation, pretrain
from pretext.fit.monitor import knn_score, vote
from pretext.task import Images
from pretext.tasks.rotation import Rotation


def test_the_vote_agrees_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    bank, queries = draw.normal(size=(60, 8)), draw.normal(size=(20, 8))
    bank, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries))
    labels = draw.integers(0, 4, 60)
    weigh = lambda distance: np.exp((1 - distance) / 0.07)  # noqa: E731 - scikit-learn takes cosine distances
    reference = KNeighborsClassifier(20, weights=weigh, metric="cosine").fit(bank, labels)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), 4).float()
    found = vote(torch.from_numpy(queries).float(), torch.from_numpy(bank).float(), one_hot, 20)
    np.testing.assert_allclose(found.numpy(), reference.predict_proba(queries), atol=1e-5)


class Planted(torch.nn.Module):
    """Returns what the first pixel says as an image's vector."""

    def vector(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :, 0, 0]


@pytest.mark.parametrize("multilabel", [False, True])
def test_planted_features_score_one_and_constant_ones_chance(multilabel: bool) -> None:
    labels = torch.arange(90) % 3
    one_hot = torch.nn.functional.one_hot(labels, 3).float()
    given = one_hot if multilabel else labels
    pixels = one_hot[:, :, None, None].expand(-1, -1, 2, 2)
    telling = [Images(pixels, torch.arange(90), given)]
    constant = [Images(torch.ones_like(pixels), torch.arange(90), given)]
    assert knn_score(Planted(), telling, telling, 20) == pytest.approx(1.0)
    assert knn_score(Planted(), constant, constant, 90) == pytest.approx(1 / 3, abs=0.01)


def test_images_without_a_class_neither_vote_nor_are_asked() -> None:
    labels = torch.arange(90) % 3
    pixels = torch.nn.functional.one_hot(labels, 3).float()[:, :, None, None].expand(-1, -1, 2, 2)
    known = torch.where(torch.arange(90) < 30, labels, -1)
    bank = [Images(pixels, torch.arange(90), known)]
    asked = [Images(pixels, torch.arange(90), torch.where(torch.arange(90) < 60, -1, labels))]
    assert knn_score(Planted(), bank, asked, 5) == pytest.approx(1.0)


@pytest.mark.parametrize("multilabel", [False, True])
def test_where_no_val_image_has_a_label_nothing_is_scored(multilabel: bool) -> None:
    pixels = torch.rand(12, 3, 2, 2)
    some = torch.eye(3).repeat(4, 1) if multilabel else torch.arange(12) % 3
    none = torch.zeros(12, 3) if multilabel else torch.full((12,), -1)
    bank, asked = ([Images(pixels, torch.arange(12), given)] for given in (some, none))
    assert knn_score(Planted(), bank, asked, 5) is None
    if not multilabel:
        assert knn_score(Planted(), asked, bank, 5) is None


def test_pretraining_goes_on_where_no_val_image_has_a_label(tmp_path: Path) -> None:
    train, val = toy.split(24, 0), toy.split(8, 1, "val")
    assert val.labels is not None
    val = replace(val, labels=np.full_like(val.labels, -1))
    result = pretrain(
        Rotation(toy.encoder()), train, val, folder=tmp_path / "run", cache=tmp_path / "cache", name="toy",
        seed=0, epochs=1, batch_size=8, device="cpu", console=Console(file=io.StringIO()),
        optimisation=Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3)),
        validation=Validation(bank=16, pictures=2),
    )  # fmt: skip
    assert result.steps == 3
    assert "val/knn" not in result.measures
