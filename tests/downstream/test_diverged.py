"""A setting that diverges costs itself: the others are judged as without it, and the record says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_records import SUBJECT

from downstream.classification.finetune import ClassificationFinetune
from downstream.classification.goyal19_svm import Goyal19Svm, _fitted
from downstream.classification.linear import LinearProbe
from downstream.classification.lowshot import LowShot
from downstream.classification.moco_linear import MocoLinear
from downstream.detection.finetune import DetectionFinetune
from downstream.detection.frozen import DetectionFrozen
from downstream.heads import svm
from downstream.heads.linear_grid import LinearGrid
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.judge.evaluate import evaluate
from downstream.judge.gates import DIVERGED
from downstream.judge.records import Record
from downstream.protocol import GateFailed, Protocol, Runtime
from downstream.segmentation.fcn import FCNFinetune
from downstream.segmentation.hypercolumn import Hypercolumn
from downstream.segmentation.linear import SegmentationLinear
from downstream.tuning.finetuning import Optimiser, Recipe
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder

WILD = 1e38
BRIEF = Recipe(epochs=1, batch_size=16, lr=1e-3, weight_decay=0.0, optimiser=Optimiser.ADAMW)


def grid(*lrs: float) -> LinearGrid:
    return LinearGrid(lrs=lrs, weight_decays=(0.0,), epochs=2)


PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "linear": lambda *lrs: LinearProbe(grid=grid(*lrs)),
    "moco_linear": lambda *lrs: MocoLinear(recipe=SgdRecipe(lrs, epochs=2, weight_decay=1.0)),
    "segmentation_linear": lambda *lrs: SegmentationLinear(grid=grid(*lrs)),
    "segmentation_hypercolumn": lambda *lrs: Hypercolumn(grid=grid(*lrs)),
    "finetune": lambda *lrs: ClassificationFinetune(BRIEF, lrs),
    "fcn_finetune": lambda *lrs: FCNFinetune(BRIEF, lrs=lrs),
    "detection_frozen": lambda *lrs: DetectionFrozen(BRIEF, lrs, last_stages=1, width=32),
    "detection_finetune": lambda *lrs: DetectionFinetune(BRIEF, lrs, width=32),
}


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(inputs.build("lightness"), SmallNet(1, (8, 8, 8, 8, 8))).eval()


def judged(protocol: Protocol, data: DataSet, folder: Path) -> Record:
    records = evaluate(
        encoder(), protocol, data, Runtime(cache=folder / "cache"),
        subject=replace(SUBJECT, input="lightness"), records=folder / "records", draws=5,
    )  # fmt: skip
    return next(r for r in records if r.result.selected and r.evaluation.primary)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_rate_that_diverges_is_left_out_and_flagged(name: str, few_scenes: DataSet, tmp_path: Path) -> None:
    make = PROTOCOLS[name]
    both = judged(make(WILD, 1e-3), few_scenes, tmp_path / "both").result
    alone = judged(make(1e-3), few_scenes, tmp_path / "alone").result
    assert both.setting == alone.setting
    assert both.setting["lr"] == 1e-3
    assert both.value == pytest.approx(alone.value, abs=1e-3)
    flag = next(flag for flag in both.flags if flag.startswith(DIVERGED))
    assert flag.endswith(": lr 1e+38")
    assert not any(flag.startswith((DIVERGED, "at_edge")) for flag in alone.flags)


@pytest.mark.parametrize("name", ["linear", "moco_linear", "segmentation_hypercolumn", "finetune"])
def test_where_every_rate_diverges_nothing_is_kept(name: str, few_scenes: DataSet, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"every setting diverged: stage '\w+', lr 1e\+38"):
        judged(PROTOCOLS[name](WILD), few_scenes, tmp_path)
    assert not list(tmp_path.glob("records/*.json"))


def test_a_cost_with_which_an_svm_is_not_solved_is_left_out(
    few_scenes: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = svm.SquaredHinge.solve

    def solve(self: svm.SquaredHinge, examples, signs, tasks, costs, *rest):  # type: ignore[no-untyped-def]
        for part in plain(self, examples, signs, tasks, costs, *rest):
            lost = costs[part.problems] == 10
            part.weights[:, lost], part.scores[:, lost] = torch.nan, torch.nan
            yield part

    monkeypatch.setattr(svm.SquaredHinge, "solve", solve)
    for protocol in (
        Goyal19Svm(costs=(0.1, 1.0, 10.0), folds=2, dimension=50),
        LowShot(shots=(1, 2), draws=2, costs=(0.1, 1.0, 10.0), dimension=50),
    ):
        result = judged(protocol, few_scenes, tmp_path / protocol.name).result
        assert "diverged:5 of 20: C 10" in result.flags
        assert set(str(result.setting["C"]).split()) <= {"0.1", "1"}


def test_a_cost_that_fails_on_all_images_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[float]] = []
    plain = svm.SquaredHinge.solve

    def solve(self: svm.SquaredHinge, examples, signs, tasks, costs, *rest):  # type: ignore[no-untyped-def]
        tried.append(costs.tolist())
        for part in plain(self, examples, signs, tasks, costs, *rest):
            part.weights[:, costs[part.problems] == 4] = torch.nan
            yield part

    monkeypatch.setattr(svm.SquaredHinge, "solve", solve)
    draw = torch.Generator().manual_seed(0)
    examples = svm.Coordinates.of(torch.rand(20, 3, generator=draw))
    signs = torch.where(torch.rand(20, 2, generator=draw) < 0.5, 1, -1).to(torch.int8)
    precision = np.array([[0.4, 0.2, 0.9], [0.5, 0.6, np.nan]])
    heads, chosen = _fitted(examples, signs, (1.0, 2.0, 4.0), precision)
    assert tried == [[4.0, 2.0], [1.0, 2.0]]
    assert chosen == (1.0, 2.0)
    assert bool(heads.weight.isfinite().all())
    np.testing.assert_array_equal(np.isnan(precision), [[False, False, True], [False, False, True]])
