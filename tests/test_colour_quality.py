"""The measure of colorizers: known areas, borrowed colours, and what the summary pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.colour_quality import (
    BORROWED,
    GRAY,
    Areas,
    bin_weights,
    borrowed,
    gray,
    measure,
    painted,
    runs,
    summary,
)
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.color import rgb_to_lab
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretext.fit import pretrain
from pretext.fit.pretrain import Optimisation
from pretext.tasks.colorization import Colorization


def test_truth_is_perfect_gray_is_its_chroma_and_borrowed_colours_are_worse(
    few_scenes: DataSet, tmp_path: Path
) -> None:
    test = few_scenes.test
    weights = bin_weights(few_scenes.train, tmp_path)
    truth = measure(lambda rows, pixels: rgb_to_lab(pixels)[:, 1:], test, weights)
    whole = np.arange(len(test))
    np.testing.assert_allclose(Areas(truth[None]).of(whole), 100)
    plain = measure(gray, test, weights)
    pixels = torch.from_numpy(np.array(test.pixels[:])).permute(0, 3, 1, 2) / 255
    chroma = rgb_to_lab(pixels)[:, 1:].norm(dim=1).mean()
    assert Areas(plain[None]).of(whole)[0, 0] == pytest.approx(100 * (1 - float(chroma) / 150), abs=1e-3)
    lent = measure(borrowed(few_scenes.train, len(test)), test, weights)
    seeds = {GRAY: [0], BORROWED: [0]}
    found = summary({GRAY: Areas(plain[None]), BORROWED: Areas(lent[None])}, seeds, test)
    assert [row["name"] for row in found["rows"]] == [GRAY, BORROWED]
    (pair,) = found["pairs"]
    assert pair["pair"] == [GRAY, BORROWED]
    for k, name in enumerate(("auc", "auc_balanced")):
        low, high = pair["interval"][name]
        assert low < pair["difference"][k] < high


@pytest.mark.slow
def test_finished_runs_on_this_data_are_found(few_scenes: DataSet, tmp_path: Path) -> None:
    task = Colorization(Encoder(inputs.build("lightness"), SmallNet(1, [8, 8, 8, 8, 8])))
    pretrain(
        task,
        few_scenes.train,
        few_scenes.val,
        folder=tmp_path / "runs" / "one",
        cache=tmp_path / "cache",
        name="colorization",
        seed=3,
        epochs=1,
        batch_size=32,
        optimisation=Optimisation(torch.optim.AdamW),
    )
    (tmp_path / "runs" / "unfinished").mkdir()
    ((name, seed, found),) = runs(tmp_path, few_scenes)
    assert (name, seed) == ("colorization", 3)
    sums = measure(painted(found), few_scenes.test, bin_weights(few_scenes.train, tmp_path / "cache"))
    assert sums.shape == (len(few_scenes.test), 4)
    assert np.isfinite(sums).all()
