"""What is watched while pretraining: neighbours' votes, sheets of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy
from sklearn.neighbors import KNeighborsClassifier

from pretext.fit.callbacks import sheet
from pretext.fit.monitor import knn_score, vote
from pretext.task import Images


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
    """Returns what the first pixel says as the last stage's map."""

    stage_names = ("only",)

    def forward(self, pixels: torch.Tensor) -> Any:
        return toy.Maps({"only": pixels[:, :, :1, :1]})


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


def test_a_sheet_is_one_row_an_image() -> None:
    black, white = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    picture = sheet({"black": black, "white": white}, gap=1)
    assert picture.shape == (2 * 6, 2 * 7, 3)
    assert int(picture[:, :7].min()) == 0
    assert int(picture[:, 7:].min()) == 255
    with pytest.raises(ValueError, match="one shape"):
        sheet({"black": black, "white": white[:1]})
